package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

// What protocols line and length have in common beyond how their messages are told apart: which requests set a state of the
// connection, and what stands in for a lost reply.

// maxStates bounds the state blocks of a protocol: each is tried on every request.
const maxStates = 64

// stateBlock is a state and where it was read.
type stateBlock struct {
	protocol.StateRule
	at   hcl.Range
	seen map[string]hcl.Range
}

func (r *reader) readState(states *[]stateBlock, b *hclsyntax.Block) {
	s := stateBlock{at: b.DefRange()}
	s.Name = label(b)
	s.seen = r.block(b, &shape{
		what:   "a state block",
		labels: []string{"name"},
		attributes: map[string]setter{
			"match":  r.regex(&s.Match),
			"expect": r.regex(&s.Expect),
			"void":   r.regex(&s.Void),
			"keep":   word(r, &s.All, []choice[bool]{{"last", false}, {"all", true}}),
		},
		required: []string{"match"},
	})
	*states = append(*states, s)
}

// states checks the state blocks of a protocol. replies: its requests have some.
func (r *reader) states(blocks []stateBlock, replies bool) []protocol.StateRule {
	var rules []protocol.StateRule
	first := map[string]hcl.Range{}
	for i, s := range blocks {
		before, twice := first[s.Name]
		switch {
		case i == maxStates:
			r.fail(s.at, fmt.Sprintf("There are more than %d states", maxStates), "Make one of those that are replaced together.")
			return rules
		case s.Name == "": // that has been said
		case !plainName(s.Name):
			r.fail(s.at, fmt.Sprintf("A state cannot have the name %q", s.Name), "Names of states are up to 64 letters, digits, - and _.")
		case twice:
			r.fail(s.at, fmt.Sprintf("There are two states %q", s.Name), fmt.Sprintf("The first one is at %s: give this one another name.", place(before)))
		}
		first[s.Name] = s.at
		if at, set := s.seen["expect"]; set && !replies {
			r.fail(at, `"expect" is impossible with this reply`,
				"Nothing answers the requests, so nothing says that the state was set: leave it out, and the state counts once it is sent.")
		}
		rules = append(rules, s.StateRule)
	}
	return rules
}

// plainName: what protocol.StateRule takes for a name.
func plainName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

// needReplies reports settings that mean nothing where requests have no replies.
func (r *reader) needReplies(seen map[string]hcl.Range, replies bool) {
	if at, set := seen["sync"]; set && !replies {
		r.fail(at, `"sync" is impossible with this reply`, "A request is a point of rest once it is answered, and here none is: leave it out.")
	}
	if at, set := seen["lost"]; set && !replies {
		r.fail(at, `"lost" is impossible with this reply`, "No request has a reply that could be lost: leave it out.")
	}
}

// lostReply puts an error of the text in place of a lost reply where that text stands; others remain. before is the number of errors
// ahead of this protocol: where there are more, the text may be right.
func (r *reader) lostReply(seen map[string]hcl.Range, before int, err error, hint string) error {
	if !errors.Is(err, protocol.ErrLost) || len(r.diags.Errs()) > before {
		return err
	}
	_, why, _ := strings.Cut(err.Error(), protocol.ErrLost.Error()+": ")
	r.fail(seen["lost"], `"lost" is not one whole reply: `+why, hint)
	return nil
}

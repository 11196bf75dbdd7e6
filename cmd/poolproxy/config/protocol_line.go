package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

func (r *reader) readLine(u *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	c := protocol.LineConfig{MaxLine: 64 << 10}
	delimiter, abort, lost := "\n", "", ""
	before := len(r.diags.Errs())
	var states []stateBlock
	seen := r.block(b, &shape{
		what:   "protocol line",
		labels: []string{"line"},
		attributes: map[string]setter{
			"delimiter": r.str(&delimiter, 8),
			"reply": word(r, &c.Reply, []choice[protocol.ReplyKind]{
				{"one", protocol.ReplyOne}, {"none", protocol.ReplyNone}, {"until", protocol.ReplyUntil}, {"stream", protocol.ReplyStream},
			}),
			"until":    r.regex(&c.Until),
			"safe":     r.regexes(&c.Safe),
			"one_way":  r.regexes(&c.OneWay),
			"quit":     r.regexes(&c.Quit),
			"sync":     r.regexes(&c.Sync),
			"greeting": r.regex(&c.Greeting),
			"abort":    r.str(&abort, maxAbort),
			"lost":     r.str(&lost, maxAbort),
			"max_line": size(r, &c.MaxLine, 16, 16<<20),
		},
		once: map[string]func(*hclsyntax.Block){"transaction": r.readTransaction(&c)},
		many: map[string]func(*hclsyntax.Block){"state": func(b *hclsyntax.Block) { r.readState(&states, b) }},
	})
	u.ending, u.spoken, u.safe = delimiter, seen, len(c.Safe)+len(states) > 0
	u.replies = c.Reply == protocol.ReplyOne || c.Reply == protocol.ReplyUntil
	c.Delimiter, c.Abort, c.Lost = []byte(delimiter), bytesOrNil(abort), bytesOrNil(lost)
	r.checkReply(&c, seen)
	c.States = r.states(states, u.replies)
	r.needReplies(seen, u.replies)
	p, err := protocol.NewLine(c)
	return p, r.lostReply(seen, before, err, `Its last line is the one that ends a reply, with its delimiter: lost = "ERR try again\n".`)
}

// checkReply reports settings that contradict the kind of reply.
func (r *reader) checkReply(c *protocol.LineConfig, seen map[string]hcl.Range) {
	if at, set := seen["until"]; set && c.Reply != protocol.ReplyUntil {
		r.fail(at, `"until" has no effect without reply = "until"`, `Write reply = "until", or leave until out.`)
	} else if !set && c.Reply == protocol.ReplyUntil {
		r.fail(seen["reply"], `reply = "until" needs "until"`, `Say which line ends a reply: until = "^OK".`)
	}
	if at, set := seen["one_way"]; set && (c.Reply == protocol.ReplyNone || c.Reply == protocol.ReplyStream) {
		r.fail(at, `"one_way" has no effect with this reply`, "No line is answered by a line of its own anyway: leave it out.")
	}
}

// readTransaction reads what makes one of many requests.
func (r *reader) readTransaction(c *protocol.LineConfig) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		r.block(b, &shape{
			what:       "a transaction block",
			attributes: map[string]setter{"begin": r.regex(&c.Begin), "end": r.regex(&c.End)},
			required:   []string{"begin", "end"},
		})
	}
}

// bytesOrNil is nil for "": no abort text.
func bytesOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

package protocol

import (
	"errors"
	"fmt"
	"regexp"
)

// Where a protocol knows nothing of what its messages mean (line, length), its user says with regular expressions which requests
// set a state of their connection. What is here is common to such protocols.

// ErrLost is wrapped by the errors of NewLine and NewLength about the field Lost.
var ErrLost = errors.New("lost must be one whole reply")

const (
	maxStates    = 64
	maxStateName = 64
	maxStateText = 64 << 10 // a longer message is not matched
)

// StateRule says which requests set or void one kind of state: a login, a setting. They count as safe, since what they do is lost
// with their connection. A request sets the state of the first rule whose Match matches it, and voids those of all whose Void does.
type StateRule struct {
	// Name is letters, digits, - and _, not used twice. It is the StateChange.Key.
	Name string

	// Match matches such a request. What its named groups capture are the StateChange.Values.
	Match *regexp.Regexp

	// Expect matches the reply to it where the state was set; nil: any reply does. Only where requests have replies.
	Expect *regexp.Regexp

	// Void matches requests that take the state back (a logout), whatever the reply to them is; nil: none does. One that Match
	// matches as well takes back what was, and sets the state anew.
	Void *regexp.Regexp

	// All keeps every such request, not just the last: the Key is the name, a space and a running number.
	All bool
}

// checkStates reports what is wrong with the rules. replies: requests have some.
func checkStates(rules []StateRule, replies bool) error {
	if len(rules) > maxStates {
		return fmt.Errorf("%d states, at most %d are possible", len(rules), maxStates)
	}
	seen := map[string]bool{}
	for i, rule := range rules {
		switch {
		case !isStateName(rule.Name):
			return fmt.Errorf("state %d has the name %.80q, must be 1 to %d letters, digits, - and _", i+1, rule.Name, maxStateName)
		case seen[rule.Name]:
			return fmt.Errorf("two states have the name %q", rule.Name)
		case rule.Match == nil:
			return fmt.Errorf("state %q has no match", rule.Name)
		case rule.Expect != nil && !replies:
			return fmt.Errorf("state %q has an expect, but requests have no replies", rule.Name)
		}
		seen[rule.Name] = true
	}
	return nil
}

// isStateName: a space would make one name a part of another's keys (StateChange.Void).
func isStateName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxStateName
}

// textDetail is Request.Detail of requests that set a state, and of parts of a unit. The outcome is filled in by the parser of
// replies.
type textDetail struct {
	changes  []StateChange
	unit     *Unit
	expect   *regexp.Regexp // the reply must match; nil: any does
	greeting bool           // this is no request: the server speaks first
	outcome  Outcome
}

func (d *textDetail) Changes() []StateChange { return d.changes }
func (d *textDetail) Unit() *Unit            { return d.unit }
func (d *textDetail) Outcome() Outcome       { return d.outcome }
func (d *textDetail) Blocks() bool           { return false }

var _ Connection = (*textDetail)(nil)

// textDetailOf is nil for requests without one.
func textDetailOf(req *Request) *textDetail {
	if req == nil {
		return nil
	}
	d, _ := req.Detail.(*textDetail)
	return d
}

// looks reports whether the text of the reply matters.
func (d *textDetail) looks() bool { return d != nil && d.expect != nil }

// greets reports whether this is what the server says first. That is held until it is complete, as long as it is not longer than
// maxHeld: a client that has a part of one server's greeting could not be given that of another.
func (d *textDetail) greets() bool { return d != nil && d.greeting }

// answered notes the end of the reply. ok: text is what is to be matched; else it was too long.
func (d *textDetail) answered(text []byte, ok bool) {
	switch {
	case d == nil:
	case d.expect == nil || ok && d.expect.Match(text):
		d.outcome = OutcomeDone
	default:
		d.outcome = OutcomeFailed
	}
}

// greetingRequest stands for what the server says first, as if it had been asked.
func greetingRequest() *Request {
	return &Request{Safe: true, Expect: ExpectOne, Label: "greeting", Detail: &textDetail{greeting: true}}
}

// inTransaction is StateChange.Never.
const inTransaction = "it was set within a transaction, and nothing tells whether the transaction's end has kept it"

// stateRules are the rules of one session's requests.
type stateRules struct {
	rules  []StateRule
	number int // of changes whose rule keeps all
}

// of returns the detail of a request of this text, nil if it changes nothing. within: it is a part of a transaction.
func (s *stateRules) of(text []byte, within bool) *textDetail {
	var d *textDetail
	for i := range s.rules {
		rule := &s.rules[i]
		if rule.Void == nil || !rule.Void.Match(text) {
			continue
		}
		if d == nil {
			d = &textDetail{}
		}
		if within {
			d.changes = append(d.changes, StateChange{Key: s.key(rule), Never: inTransaction})
		} else {
			d.changes = append(d.changes, StateChange{Key: rule.Name, Void: true})
		}
	}
	for i := range s.rules {
		rule := &s.rules[i]
		groups := rule.Match.FindSubmatch(text)
		if groups == nil {
			continue
		}
		if d == nil {
			d = &textDetail{}
		}
		d.expect = rule.Expect
		change := StateChange{Key: s.key(rule), Values: namedGroups(rule.Match, groups)}
		if within {
			change.Never = inTransaction
		}
		d.changes = append(d.changes, change)
		break
	}
	return d
}

// key is that of a new change.
func (s *stateRules) key(rule *StateRule) string {
	if !rule.All {
		return rule.Name
	}
	s.number++
	return fmt.Sprintf("%s %d", rule.Name, s.number)
}

// namedGroups are copies of what the named groups captured, nil if there are none. A group that took no part is "".
func namedGroups(re *regexp.Regexp, groups [][]byte) map[string]string {
	var values map[string]string
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[name] = string(groups[i])
	}
	return values
}

// oneReply checks that text is one whole reply, no less and no more, by the protocol's own parser.
func oneReply(replies Replies, text []byte) error {
	req := &Request{Expect: ExpectOne}
	cut, err := replies.Next(req, text)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrLost, err)
	case !cut.End:
		return fmt.Errorf("%w: its end is missing", ErrLost)
	case cut.N < len(text):
		return fmt.Errorf("%w: the reply ends after %d of %d bytes", ErrLost, cut.N, len(text))
	}
	return nil
}

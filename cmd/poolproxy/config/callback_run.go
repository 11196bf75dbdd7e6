package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/poolproxy/poolproxy/session"
)

// mostSend bounds what a callback says to a server, in bytes.
const mostSend = 1 << 20

// callback is a callback block with send. It implements session.Callback and session.Continuer, never changes, and may be called from
// any goroutine.
type callback struct {
	place    string         // where it stands, for errors
	match    *regexp.Regexp // nil: it is meant for every failover
	send     hcl.Expression
	expect   *regexp.Regexp // nil: any answer will do
	onward   bool           // what the server answers goes on with the interrupted reply
	ending   []byte         // protocol line: what ends a message; it is not matched
	captured map[string][]string
}

// Call answers at once. Errors name the callback; they hold nothing of what the client has said.
func (c *callback) Call(at session.Moment, answer func(session.Reaction, error)) {
	if !at.Failover {
		answer(session.Reaction{}, nil)
		return
	}
	reaction, err := c.react(at)
	if err != nil {
		err = fmt.Errorf("failover callback (%s): %w", c.place, err)
	}
	answer(reaction, err)
}

func (c *callback) react(at session.Moment) (session.Reaction, error) {
	if at.Request == nil && (c.match != nil || c.onward) {
		return session.Reaction{}, nil
	}
	request := c.message(at.Request)
	var groups [][]byte
	if c.match != nil {
		if groups = c.match.FindSubmatch(request); groups == nil {
			return session.Reaction{}, nil
		}
	}
	send, err := c.text(at, request, groups)
	switch {
	case err != nil:
		return session.Reaction{}, err
	case len(send) == 0 && c.onward:
		return session.Reaction{}, errors.New("send gives nothing, so there is nothing that could continue the reply")
	case len(send) == 0:
		return session.Reaction{}, nil
	case len(send) > mostSend:
		return session.Reaction{}, fmt.Errorf("send gives %d bytes, more than %d", len(send), mostSend)
	case !bytes.HasSuffix(send, c.ending):
		return session.Reaction{}, fmt.Errorf("what send gives does not end with %q, so the server would wait for more", c.ending)
	}
	reaction := session.Reaction{Send: send, Continue: c.onward}
	if c.expect != nil {
		reaction.Expect = c.judge
	}
	return reaction, nil
}

// Continues reports whether the callback is there to continue the reply to this request (session.Continuer).
func (c *callback) Continues(request []byte) bool {
	return c.onward && (c.match == nil || c.match.Match(c.message(request)))
}

// message is a message without what ends it, and, as in the protocol's own patterns, without a carriage return before that.
func (c *callback) message(p []byte) []byte {
	if len(c.ending) == 0 {
		return p
	}
	p = bytes.TrimSuffix(p, c.ending)
	return bytes.TrimSuffix(p, []byte("\r"))
}

// judge is the reaction's Expect.
func (c *callback) judge(reply []byte) error {
	if c.expect.Match(c.message(reply)) {
		return nil
	}
	return fmt.Errorf("failover callback (%s): the server's answer of %d bytes does not match expect = %q", c.place, len(reply), c.expect)
}

// text evaluates send. Nothing is to be sent where it is empty or null.
func (c *callback) text(at session.Moment, request []byte, groups [][]byte) ([]byte, error) {
	v, diags := c.send.Value(&hcl.EvalContext{Variables: c.values(at, request, groups), Functions: sendFunctions})
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return nil, fmt.Errorf("send: %s: %s", d.Summary, d.Detail)
		}
	}
	v, err := convert.Convert(v, cty.String)
	switch {
	case err != nil:
		return nil, fmt.Errorf("send gives no text: %w", err)
	case v.IsNull():
		return nil, nil
	case !v.IsKnown():
		return nil, errors.New("send gives nothing that is known")
	}
	return textBytes(v), nil
}

// types are the types of the variables that send may name.
func (c *callback) types() map[string]cty.Type {
	request := map[string]cty.Type{"text": cty.String}
	if c.match != nil {
		for _, name := range c.match.SubexpNames() {
			if name != "" {
				request[name] = cty.String
			}
		}
	}
	state := map[string]cty.Type{}
	for block, groups := range c.captured {
		captured := map[string]cty.Type{}
		for _, group := range groups {
			captured[group] = cty.String
		}
		state[block] = cty.Object(captured)
	}
	return map[string]cty.Type{
		"session": cty.Object(map[string]cty.Type{"id": cty.Number, "client": cty.String, "leg": cty.Number}),
		"element": cty.Object(map[string]cty.Type{"name": cty.String, "address": cty.String}),
		"request": cty.Object(request),
		"reply":   cty.Object(map[string]cty.Type{"bytes": cty.Number}),
		"state":   cty.Object(state),
	}
}

// unknown are the variables before there is a failover.
func (c *callback) unknown() map[string]cty.Value {
	variables := map[string]cty.Value{}
	for name, t := range c.types() {
		variables[name] = cty.UnknownVal(t)
	}
	return variables
}

// values are the variables at a failover. What was not captured, and a request where none is in flight, is the empty text.
func (c *callback) values(at session.Moment, text []byte, groups [][]byte) map[string]cty.Value {
	request := map[string]cty.Value{"text": bytesText(text)}
	if c.match != nil {
		for i, name := range c.match.SubexpNames() {
			if name != "" {
				request[name] = bytesText(groups[i])
			}
		}
	}
	state := map[string]cty.Value{}
	for block, groups := range c.captured {
		captured := map[string]cty.Value{}
		for _, group := range groups {
			captured[group] = bytesText([]byte(at.State[block][group]))
		}
		state[block] = cty.ObjectVal(captured)
	}
	return map[string]cty.Value{
		"session": cty.ObjectVal(map[string]cty.Value{
			"id": cty.NumberUIntVal(at.Session), "client": bytesText([]byte(at.Client)), "leg": cty.NumberUIntVal(uint64(at.Leg)),
		}),
		"element": cty.ObjectVal(map[string]cty.Value{
			"name": bytesText([]byte(at.Element)), "address": bytesText([]byte(at.Address)),
		}),
		"request": cty.ObjectVal(request),
		"reply":   cty.ObjectVal(map[string]cty.Value{"bytes": cty.NumberIntVal(at.ReplyBytes)}),
		"state":   cty.ObjectVal(state),
	}
}

// sendFunctions are the functions of send.
var sendFunctions = map[string]function.Function{
	"upper":  stdlib.UpperFunc,
	"lower":  stdlib.LowerFunc,
	"format": stdlib.FormatFunc,
	"strlen": ofText(cty.Number, func(p []byte) cty.Value { return cty.NumberIntVal(int64(len(p))) }),
	"base64encode": ofText(cty.String, func(p []byte) cty.Value {
		return cty.StringVal(base64.StdEncoding.EncodeToString(p))
	}),
}

// ofText is a function of the bytes of a text.
func ofText(result cty.Type, f func([]byte) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(result),
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f(textBytes(args[0])), nil },
	})
}

// Strings of cty are Unicode in normal form, which the bytes of a client need not be; and what was matched must be sent as it was said.
// So each byte beyond ASCII stands as one character of a private range, which no normal form changes.
const (
	byteRunes = 0xef00 // byte 0x80 is U+EF80, byte 0xff is U+EFFF
	notNumber = '\uef00'
)

// absurd matches texts that would be taken for numbers with an exponent, for infinity, or for numbers of more than 64 digits. Nobody
// counts like that, but a client that says 1e999999999 would have that many zeros written, and long numbers take long. So these are
// texts, and calculating with them is an error.
var absurd = regexp.MustCompile(`^[+-]?(?:[0-9._]*[eEpP][+-]?[0-9_]+|[iI]nf|[0-9._]{65,})$`)

// bytesText is the string value of bytes.
func bytesText(p []byte) cty.Value {
	var b strings.Builder
	if absurd.Match(p) {
		b.WriteRune(notNumber)
	}
	for _, c := range p {
		if c < 0x80 {
			b.WriteByte(c)
		} else {
			b.WriteRune(byteRunes + rune(c))
		}
	}
	return cty.StringVal(b.String())
}

// textBytes are the bytes of a string value. It reverses bytesText.
func textBytes(v cty.Value) []byte {
	var p []byte
	for _, c := range v.AsString() {
		switch {
		case c == notNumber:
		case c >= byteRunes+0x80 && c <= byteRunes+0xff:
			p = append(p, byte(c-byteRunes))
		default:
			p = append(p, string(c)...)
		}
	}
	return p
}

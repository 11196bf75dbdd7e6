package config

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/poolproxy/poolproxy/protocol"
)

// Bounds of protocol length, in bytes. Those that depend on each other are checked by protocol.NewLength.
const (
	mostHeader = 4 << 10
	mostAdjust = 1 << 30
)

func (r *reader) readLength(u *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	c := protocol.LengthConfig{Width: 4, MaxMessage: 16 << 20}
	abort, lost := "", ""
	before := len(r.diags.Errs())
	var states []stateBlock
	seen := r.block(b, &shape{
		what:   "protocol length",
		labels: []string{"length"},
		attributes: map[string]setter{
			"offset": r.integer(&c.Offset, 0, mostHeader),
			"width":  r.integer(&c.Width, 1, 8),
			"endian": word(r, &c.LittleEndian, []choice[bool]{{"big", false}, {"little", true}}),
			"counts": word(r, &c.Counts, []choice[protocol.LengthCounts]{
				{"payload", protocol.CountsPayload}, {"message", protocol.CountsMessage},
			}),
			"adjust":      r.integer(&c.Adjust, -mostAdjust, mostAdjust),
			"header":      r.integer(&c.HeaderSize, 1, mostHeader),
			"max_message": size(r, &c.MaxMessage, 1, 1<<40),
			"reply": word(r, &c.Reply, []choice[protocol.ReplyKind]{
				{"one", protocol.ReplyOne}, {"none", protocol.ReplyNone},
			}),
			"safe":     r.patterns(&c.Safe),
			"greeting": r.boolean(&c.Greeting),
			"sync":     r.regexes(&c.Sync),
			"abort":    r.str(&abort, maxAbort),
			"lost":     r.str(&lost, maxAbort),
		},
		many: map[string]func(*hclsyntax.Block){"state": func(b *hclsyntax.Block) { r.readState(&states, b) }},
	})
	u.spoken, u.safe = seen, len(c.Safe)+len(states) > 0
	u.replies = c.Reply == protocol.ReplyOne
	c.Abort, c.Lost = bytesOrNil(abort), bytesOrNil(lost)
	c.States = r.states(states, u.replies)
	r.needReplies(seen, u.replies)
	p, err := protocol.NewLength(c)
	return p, r.lostReply(seen, before, err, `It has a header with its length, like any other: lost = "\u0000\u0000\u0000\u0002no".`)
}

const patternHint = `Write a list of places and bytes in hexadecimal: [{ offset = 4, bytes = "0a0b" }].`

// patterns reads a list of byte patterns.
func (r *reader) patterns(dst *[]protocol.Pattern) setter {
	return func(a *hclsyntax.Attribute) {
		items, ok := r.entries(a, patternHint)
		if !ok {
			return
		}
		for _, item := range items {
			if p, ok := r.pattern(item); ok {
				*dst = append(*dst, p)
			}
		}
	}
}

// pattern reads one { offset = 4, bytes = "0a0b" }.
func (r *reader) pattern(e hcl.Expression) (p protocol.Pattern, ok bool) {
	pairs, diags := hcl.ExprMap(e)
	if diags.HasErrors() {
		r.fail(e.Range(), "This is not a pattern", patternHint)
		return p, false
	}
	ok = true
	for _, pair := range pairs {
		switch name := keyText(pair.Key); name {
		case "offset":
			offset, good := r.whole("offset", pair.Value, 0, mostHeader)
			p.Offset, ok = offset, ok && good
		case "bytes":
			text, good := r.text("bytes", pair.Value, patternHint)
			ok = ok && good
			var err error
			if p.Bytes, err = hex.DecodeString(strings.ReplaceAll(text, " ", "")); err != nil {
				r.fail(pair.Value.Range(), `"bytes" is not hexadecimal`, patternHint)
				ok = false
			}
		default:
			r.fail(pair.Key.Range(), fmt.Sprintf("A pattern has no %q", name), patternHint)
			ok = false
		}
	}
	if ok && len(p.Bytes) == 0 {
		r.fail(e.Range(), "The pattern has no bytes", patternHint)
		ok = false
	}
	return p, ok
}

// keyText is the key of an object, with or without quotes; "" where it is no string.
func keyText(e hcl.Expression) string {
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

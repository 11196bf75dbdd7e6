package config

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/protocol"
)

func (r *reader) readLine(u *userBlock, b *hclsyntax.Block) (protocol.Protocol, error) {
	c := protocol.LineConfig{MaxLine: 64 << 10}
	delimiter, abort := "\n", ""
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
			"abort":    r.str(&abort, maxAbort),
			"max_line": size(r, &c.MaxLine, 16, 16<<20),
		},
		later: laterInProtocol,
	})
	u.replies = c.Reply == protocol.ReplyOne || c.Reply == protocol.ReplyUntil
	c.Delimiter, c.Abort = []byte(delimiter), bytesOrNil(abort)
	if at, set := seen["until"]; set && c.Reply != protocol.ReplyUntil {
		r.fail(at, `"until" has no effect without reply = "until"`, `Write reply = "until", or leave until out.`)
	} else if !set && c.Reply == protocol.ReplyUntil {
		r.fail(seen["reply"], `reply = "until" needs "until"`, `Say which line ends a reply: until = "^OK".`)
	}
	if at, set := seen["one_way"]; set && !u.replies {
		r.fail(at, `"one_way" has no effect with this reply`, "No line is answered by a line of its own anyway: leave it out.")
	}
	return protocol.NewLine(c)
}

// bytesOrNil is nil for "": no abort text.
func bytesOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

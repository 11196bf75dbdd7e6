package config

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/session"
)

// maxCallbacks bounds the callbacks of one pool_user: each may cost a failover a round trip.
const maxCallbacks = 16

// callbackBlock is a callback of a failover block and where it was read.
type callbackBlock struct {
	rule    callback
	exec    []string
	timeout time.Duration
	digest  string
	at      hcl.Range
	seen    map[string]hcl.Range
	broken  bool // something in it could not be read
}

func (r *reader) readCallback(u *userBlock, b *hclsyntax.Block) {
	c := &callbackBlock{at: b.DefRange(), timeout: defaultExec, digest: r.digest(b)}
	c.rule.place = place(c.at)
	u.callbacks = append(u.callbacks, c)
	before := len(r.diags.Errs())
	c.seen = r.block(b, &shape{
		what: "a callback",
		attributes: map[string]setter{
			"match":    r.regex(&c.rule.match),
			"send":     func(a *hclsyntax.Attribute) { c.rule.send = a.Expr },
			"expect":   r.regex(&c.rule.expect),
			"continue": r.truth(&c.rule.onward),
			"exec":     r.command(&c.exec),
			"timeout":  r.duration(&c.timeout, 10*time.Millisecond, time.Hour),
		},
	})
	r.checkCallback(c)
	c.broken = len(r.diags.Errs()) > before
}

// checkCallback finds settings of a callback that do not go together.
func (r *reader) checkCallback(c *callbackBlock) {
	at, exec := c.seen["exec"]
	switch _, send := c.seen["send"]; {
	case exec && send:
		r.fail(at, `A callback has both "send" and "exec"`, "Make two callbacks of it: they are asked in the order in which they stand.")
		return
	case !exec && !send:
		r.fail(c.at, "The callback does nothing", `Write send = "..." or exec = ["/path/to/program"].`)
		return
	case exec:
		for _, name := range []string{"match", "expect", "continue"} {
			if at, set := c.seen[name]; set {
				r.fail(at, fmt.Sprintf("%q has no effect with exec", name), "The program decides what is sent: leave it out.")
			}
		}
		return
	}
	if at, set := c.seen["timeout"]; set {
		r.fail(at, `"timeout" has no effect without exec`, "It bounds the time that a program may take: leave it out. Servers have reply_timeout.")
	}
	if at, set := c.seen["expect"]; set && c.rule.onward {
		r.fail(at, `"expect" has no effect with continue = true`, "What comes back is the client's, and goes on with the interrupted reply.")
	}
}

// truth reads true or false.
func (r *reader) truth(dst *bool) setter {
	return func(a *hclsyntax.Attribute) {
		if v, ok := r.value(a.Expr, cty.Bool, a.Name, "true or false", "Write it without quotes."); ok {
			*dst = v.True()
		}
	}
}

// settleCallbacks checks the callbacks against the protocol, and makes them.
func (r *reader) settleCallbacks(u *userBlock) {
	if len(u.callbacks) > maxCallbacks {
		r.fail(u.callbacks[maxCallbacks].at, fmt.Sprintf("The failover block has %d callbacks", len(u.callbacks)),
			fmt.Sprintf("It may have %d.", maxCallbacks))
	}
	for _, c := range u.callbacks {
		if given(c.seen, "exec") {
			u.Callbacks = append(u.Callbacks, proxy.Callback{Exec: c.exec, Timeout: c.timeout})
			continue
		}
		if u.kind != "" {
			r.settleCallback(u, c)
		}
		if !c.broken {
			c.rule.ending = []byte(u.ending)
			r.checkSend(u, &c.rule)
			u.Callbacks = append(u.Callbacks, proxy.Callback{Rule: &c.rule, Digest: c.digest})
		}
	}
}

// settleCallback finds what this protocol makes impossible. Only of a line may a server send the rest: in all other protocols what it
// answers begins with a head or a length of its own.
func (r *reader) settleCallback(u *userBlock, c *callbackBlock) {
	if at, set := c.seen["match"]; set && !u.replies {
		r.fail(at, fmt.Sprintf("match is impossible with this protocol %s", u.kind),
			"It does not know when a request is in flight: leave match out.")
	}
	if !c.rule.onward {
		return
	}
	at := c.seen["continue"]
	switch {
	case u.kind != "line":
		r.fail(at, fmt.Sprintf("continue is impossible with protocol %s", u.kind),
			"A server cannot go on in the middle of one of its replies: leave continue out. The replies are joined without it, where that is possible.")
	case !u.replies:
		r.fail(at, "continue is impossible with this protocol line", "No line belongs to a request, so no reply can be interrupted: leave continue out.")
	case u.Failover.Replay == session.ReplaySession:
		r.fail(at, `continue contradicts replay = "session"`,
			"With that a new server is told all since the session began, and its replies are compared: leave continue out.")
	}
}

package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
)

const (
	defaultCheckEvery   = 2 * time.Second
	defaultCheckTimeout = time.Second
	defaultRise         = 2
	defaultFall         = 3

	mostQuestion = 4096 // bytes of what is sent
)

// healthKinds are what a health_check may do, and what goes with each. The first one that is set decides.
var healthKinds = []struct {
	name string
	kind proxy.HealthKind
	with []string
}{
	{"exec", proxy.HealthExec, nil},
	{"http", proxy.HealthHTTP, []string{"status"}},
	{"expect", proxy.HealthExpect, []string{"connect", "send"}},
	{"connect", proxy.HealthConnect, nil},
}

// healthIn tells those who write a health_check in another block where it belongs.
var healthIn = map[string]string{"health_check": inElement}

const inElement = "a pool_element"

// healthBlock is a health_check while it is read.
type healthBlock struct {
	proxy.HealthCheck
	at   hcl.Range
	seen map[string]hcl.Range
}

// readHealth reads the health_check of a pool_element.
func (r *reader) readHealth(e *elementBlock, b *hclsyntax.Block) {
	h := &healthBlock{at: b.DefRange()}
	h.Interval, h.Timeout, h.Rise, h.Fall = defaultCheckEvery, defaultCheckTimeout, defaultRise, defaultFall
	send := ""
	before := len(r.diags.Errs())
	h.seen = r.block(b, &shape{
		what: "a health_check",
		attributes: map[string]setter{
			"connect":  r.address(&h.Address),
			"send":     r.str(&send, mostQuestion),
			"expect":   r.regex(&h.Expect),
			"http":     r.page(h),
			"status":   r.integer(&h.Status, 100, 599),
			"exec":     r.command(&h.Exec),
			"interval": r.duration(&h.Interval, 10*time.Millisecond, time.Hour),
			"timeout":  r.duration(&h.Timeout, 10*time.Millisecond, time.Hour),
			"rise":     r.integer(&h.Rise, 1, 100),
			"fall":     r.integer(&h.Fall, 1, 100),
		},
	})
	h.Send = bytesOrNil(send)
	if len(r.diags.Errs()) == before { // else what contradicts may be what could not be read
		r.settleHealth(h)
	}
	e.health = h
}

// settleHealth finds out what is to be done, from what is set, and what contradicts that.
func (r *reader) settleHealth(h *healthBlock) {
	for _, k := range healthKinds {
		if !h.has(k.name) {
			continue
		}
		h.Kind = k.kind
		for _, other := range []string{"connect", "expect", "http", "exec", "status", "send"} {
			switch {
			case !h.has(other) || other == k.name || slices.Contains(k.with, other):
			case other == "send" && k.name == "connect":
				r.fail(h.seen[other], `"send" needs "expect"`, sendNeeds)
				return
			default:
				r.fail(h.seen[other], fmt.Sprintf("%q does not go with %q", other, k.name), "A health_check does one thing: leave one of the two out.")
				return
			}
		}
		r.settleHealthTimes(h)
		return
	}
	switch {
	case h.has("send"):
		r.fail(h.seen["send"], `"send" needs "expect"`, sendNeeds)
	case h.has("status"):
		r.fail(h.seen["status"], `"status" needs "http"`, `Say which page is asked for: http = "http://127.0.0.1:8080/health".`)
	default:
		r.fail(h.at, "This health_check checks nothing",
			`Write one of: connect = "host:port"; send = "PING\n" and expect = "^PONG"; http = "http://host:port/path"; exec = ["/path/of/program"].`)
	}
}

const sendNeeds = `Say which answer is a good one: expect = "^PONG".`

// settleHealthTimes checks that a check is over when the next one begins.
func (r *reader) settleHealthTimes(h *healthBlock) {
	if h.Timeout <= h.Interval {
		return
	}
	at, set := h.seen["timeout"]
	if !set { // only the default was longer
		h.Timeout = h.Interval
		return
	}
	r.fail(at, fmt.Sprintf("timeout (%s) is longer than interval (%s)", durationText(h.Timeout), durationText(h.Interval)),
		"A check must be over when the next one begins: make the interval longer, or the timeout shorter.")
}

func (h *healthBlock) has(name string) bool {
	_, set := h.seen[name]
	return set
}

// page reads the address of a page: "http://host:port/path".
func (r *reader) page(h *healthBlock) setter {
	return func(a *hclsyntax.Attribute) {
		hint := `Write: "http://host:port/path".`
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Opaque != "":
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the address of a page", a.Name), hint)
		case u.Scheme == "https":
			r.fail(a.Expr.Range(), "A health_check cannot ask over TLS in this version", `Use exec with a program that can, or a plain "http://" page.`)
		case u.Scheme != "http":
			r.fail(a.Expr.Range(), fmt.Sprintf("%q begins with %q", a.Name, u.Scheme), hint)
		case u.User != nil || u.Fragment != "":
			r.fail(a.Expr.Range(), fmt.Sprintf("%q has a user or a fragment", a.Name), "Neither is sent: leave it out.")
		default:
			host := u.Host
			if u.Port() == "" {
				host = strings.TrimSuffix(host, ":") + ":80"
			}
			h.Host, h.Path = u.Host, u.RequestURI()
			r.parseAddress(&h.Address, host, a.Name, a.Expr.Range(), hint, false)
		}
	}
}

// checkHealth gives a health_check to its pool_element: without an address of its own it asks the server's.
func (r *reader) checkHealth(e *elementBlock) {
	if e.health == nil {
		return
	}
	c := e.health.HealthCheck
	if !c.Address.IsValid() {
		c.Address = e.Server
	}
	if c.Kind != proxy.HealthExec && c.Address == e.Listen && e.Listen.IsValid() {
		r.fail(e.health.at, fmt.Sprintf("The health_check of pool_element %q asks the pool_element itself", e.Name),
			"It must ask the server: write the server's address.")
	}
	e.Health = &c
}

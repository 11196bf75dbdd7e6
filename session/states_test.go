package session

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

func TestStates(t *testing.T) {
	var l states
	keys := func(list []state) (out string) {
		for _, x := range list {
			out += x.key + "=" + string(x.send) + ";"
		}
		return out
	}
	for i, key := range []string{"a", "b", "ch x", "ch y", "a", "chx"} {
		l.set(state{key: key, send: fmt.Append(nil, i), end: int64(10 * (i + 1))})
	}
	if got := keys(l.list); got != "b=1;ch x=2;ch y=3;a=4;chx=5;" {
		t.Error(got)
	}
	for end, want := range map[int64]string{0: "", 19: "", 20: "b=1;", 40: "b=1;ch x=2;ch y=3;", 50: "b=1;ch x=2;ch y=3;a=4;", 99: "b=1;ch x=2;ch y=3;a=4;chx=5;"} {
		if got := keys(l.upTo(end)); got != want {
			t.Errorf("up to %d: %s", end, got)
		}
	}
	l.void("ch")
	if got := keys(l.list); got != "b=1;a=4;chx=5;" || l.bytes != 3+5+3*messageBytes {
		t.Errorf("%s, %d bytes", got, l.bytes)
	}
	if l.possible() != nil || l.values() != nil {
		t.Errorf("%v, %v", l.possible(), l.values())
	}
	l.set(state{key: "n", never: "it is so", values: map[string]string{"v": "1"}})
	if err := l.possible(); err == nil || !strings.Contains(err.Error(), "it is so") || l.values()["n"]["v"] != "1" {
		t.Errorf("%v, %v", err, l.values())
	}
	l.void("")
	if len(l.list) != 0 || l.bytes != 0 || l.possible() != nil {
		t.Errorf("%v, %d bytes", l.list, l.bytes)
	}
}

// A state counts when the server has said that it was set, not before, and not if it was refused; one that the reply to which was
// lost is set by the request itself, which is repeated.
func TestStateCountsWhenAnswered(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: logins(t, "")})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says("LOGIN a\nLOGIN b\nOPT 1\n", false)
	s.has("OPT 1\n").says("re a\nno\n", false)
	c.sometime("re a\nno\n")
	s.die(true)
	c.sometime("re a\nno\nre OPT 1\n")
	if got := string(r.stations[1].server().got); got != "LOGIN a\nOPT 1\n" {
		t.Errorf("the new server got %q", got)
	}
	s.gone, s.app = false, echo
	r.stations[1].die(true)
	r.w.RunFor(time.Second)
	c.says("GET 1\n", false)
	c.sometime("re a\nno\nre OPT 1\nre GET 1\n")
	if got := string(s.server().got); got != "LOGIN a\nOPT 1\nGET 1\n" {
		t.Errorf("the third server got %q", got)
	}
	r.close()
}

// States that are set by requests without replies are kept as they come, and are set again without an answer.
func TestStatesWithoutReplies(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream, States: []protocol.StateRule{{Name: "topic", Match: regexp.MustCompile("^SUB"), All: true}}})
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: p})
	for _, s := range r.stations {
		s.app = silent
	}
	c := r.client()
	c.says("SUB a\nSUB b\n", false)
	r.stations[0].has("SUB b\n").says("a 1\nb", false)
	c.sometime("a 1\n")
	r.w.RunFor(time.Second) // what was said is acknowledged
	r.stations[0].die(true)
	r.stations[1].has("SUB a\nSUB b\n").says("b 2\n", false)
	c.sometime("a 1\nb 2\n")
	r.close()
}

// A line that comes by itself, is too long to be held, and is cut: another server must go on with the same.
func TestUnaskedLineIsJoined(t *testing.T) {
	for name, alike := range map[string]bool{"alike": true, "another": false} {
		t.Run(name, func(t *testing.T) {
			p := lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream})
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: p, memory: 1 << 20, legs: 1 << 20})
			r.stations[0].greeting = big(100 << 10)
			r.stations[1].greeting = big(100<<10) + "\nand\n"
			if !alike {
				r.stations[1].greeting = "c" + r.stations[1].greeting
			}
			c := r.client()
			c.sometime(big(100 << 10))
			r.stations[0].die(true)
			if alike {
				c.sometime(big(100<<10) + "\nand\n")
				c.says("x\n", false)
				r.stations[1].has("x\n")
			} else {
				r.until("it is cut", func() bool { return c.reset })
			}
			r.close()
		})
	}
}

// What is remembered of states is bounded, and a session that has more of them says so.
func TestStatesAreBounded(t *testing.T) {
	var did []string
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: redisLike()})
	for _, s := range r.stations {
		s.app = redisServer(&did)
	}
	c := r.client()
	for i := range 2000 {
		c.says(fmt.Sprintf("SUBSCRIBE channel-%d\r\n", i), false)
		r.w.RunFor(time.Millisecond)
	}
	r.until("all are subscribed", func() bool { return strings.Count(string(c.got), "subscribe") == 2000 })
	if n := len(c.session.states.list); n > 16<<10/messageBytes || c.session.states.bytes > 17<<10 {
		t.Errorf("%d states, %d bytes", n, c.session.states.bytes)
	}
	if i := c.session.Info(); i.Protection != Unprotected || !strings.Contains(i.Reason, "passed retrieval.memory") {
		t.Errorf("%+v", i)
	}
	r.close()
}

// A request that sets a state and is longer than what is kept of such: the session says that it cannot be moved.
func TestStateTooLong(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: quick, protocol: lineProtocol(t, protocol.LineConfig{MaxLine: 1 << 20,
		States: []protocol.StateRule{{Name: "login", Match: regexp.MustCompile("^LOGIN")}}}), memory: 1 << 20, legs: 1 << 20})
	c := r.client()
	line := "LOGIN " + big(maxOwn) + "\n"
	c.says(line, false)
	c.sometime("re " + line)
	if i := c.session.Info(); i.Protection != Unprotected || !strings.Contains(i.Reason, "is longer than 65536 bytes") {
		t.Errorf("%+v", i)
	}
	r.close()
}

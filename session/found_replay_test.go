package session

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// What the simulation has found in replay (proxy, TestSimulation), one test each.

const getRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func web() protocol.Protocol { return protocol.NewHTTP(protocol.HTTPConfig{}) }

// A safe request that a server has executed before it died was answered with "was not carried out" at the deadline.
func TestFoundExecutedDenied(t *testing.T) {
	r := newRig(t, options{protocol: web(), failover: quick})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says(getRequest, false)
	r.until("come", func() bool { return s.server() != nil && string(s.server().got) == getRequest })
	s.die(false)
	r.until("answered", func() bool { return len(c.got) > 0 })
	if got := string(c.got); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "may have been carried out") {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// With replay = "session" the error at the first deadline became part of what the next server had to say, and the session hung.
func TestFoundErrorInHistory(t *testing.T) {
	r := newRig(t, options{protocol: web(), failover: with(quick, func(f *Failover) { f.Replay = ReplaySession })})
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says(getRequest, false)
	r.until("answered", func() bool { return len(c.got) > 0 })
	if got := string(c.got); !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("the session goes on behind %q", got)
	}
	c.says("", true)
	r.w.RunFor(time.Minute)
	if !c.finished {
		t.Error("the connection is not closed")
	}
	r.close()
}

// greeter is protocol line whose servers speak first, in two lines.
func greeter(t *testing.T) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Greeting: regexp.MustCompile("^ready"), Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}})
}

const greetingText = "hello\nready\n"

// A server that died in the middle of its greeting left a half of it with the client, which then got a whole one.
func TestFoundGreetingTwice(t *testing.T) {
	r := newRig(t, options{protocol: greeter(t), elements: 2, priority: true, failover: quick})
	r.stations[0].greeting, r.stations[1].greeting = "hello\n", greetingText
	c := r.client()
	r.until("open", func() bool { return r.stations[0].server() != nil && c.session.leg.open })
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.until("the other", func() bool { return r.stations[1].server() != nil })
	c.says("GET 1\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); got != greetingText+"re GET 1\n" {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// With replay = "session" the greeting was a part of what the next server had to say, and was swallowed there.
func TestFoundGreetingInHistory(t *testing.T) {
	r := newRig(t, options{protocol: greeter(t), elements: 2, priority: true,
		failover: with(quick, func(f *Failover) { f.Replay = ReplaySession })})
	r.stations[0].greeting, r.stations[1].greeting = greetingText, greetingText
	c := r.client()
	c.says("GET 1\n", false)
	r.until("1", func() bool { return strings.HasSuffix(string(c.got), "re GET 1\n") })
	r.stations[0].die(true)
	c.says("GET 2\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); got != greetingText+"re GET 1\nre GET 2\n" || c.reset {
		t.Errorf("the client got %q, reset %t", got, c.reset)
	}
	r.close()
}

// saying is a callback that says a line and wants it echoed.
type saying string

func (x saying) Call(_ Moment, answer func(Reaction, error)) {
	answer(Reaction{Send: []byte(x + "\n"), Expect: func(reply []byte) error {
		if string(reply) != "re "+string(x)+"\n" {
			return fmt.Errorf("it said %q", reply)
		}
		return nil
	}}, nil)
}

// On the first leg the greeting was taken for the answer to the first callback.
func TestFoundGreetingAnswersCallback(t *testing.T) {
	r := newRig(t, options{protocol: greeter(t), failover: quick, callbacks: []Callback{saying("GET me")}})
	r.stations[0].greeting = greetingText
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); got != greetingText+"re GET 1\n" {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// Where a protocol has no words for a lost reply, the rest of a transaction that has lost its server was swallowed: a hang.
func TestFoundBrokenUnitUnanswered(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Begin: regexp.MustCompile("^BEGIN"), End: regexp.MustCompile("^END"), Abort: []byte("ERR sorry\n")})
	r := newRig(t, options{protocol: p, elements: 2, priority: true, failover: quick})
	c := r.client()
	c.says("BEGIN\n", false)
	r.until("begun", func() bool { return string(c.got) == "re BEGIN\n" })
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	c.says("END\n", false)
	r.w.RunFor(time.Second)
	if !c.reset && !c.finished {
		t.Errorf("the client waits for ever, having %q", c.got)
	}
	r.close()
}

// With ack = "read", an acknowledgement that was sent at once, before the server had read what it acknowledged, was the last: where the
// store was full, nobody asked again.
func TestFoundNeverAskedAgain(t *testing.T) {
	r := newRig(t, options{reads: true, failover: with(quick, func(f *Failover) { f.Ack = AckRead })})
	s := r.stations[0]
	unread := 0
	s.unread = func() int { return unread }
	c := r.client()
	c.says("TELL 1\n", false)
	r.until("open", func() bool { return c.session.leg.open && c.session.leg.acked == 7 })
	const size = 12 << 10
	unread = size
	c.says(strings.Repeat("x", size-1)+"\n", false)
	r.w.RunFor(time.Second)
	unread = 0
	r.w.RunFor(time.Second)
	if n := c.session.leg.acked; n != 7+size {
		t.Errorf("%d of %d bytes are acknowledged", n, 7+size)
	}
	r.close()
}

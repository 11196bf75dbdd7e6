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

// A one-way message that was not acknowledged yet came again behind a state that was set after it, though the answer to that says that
// the server had read it.
func TestFoundOneWayBehindLaterState(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}, Abort: []byte("ERR sorry\n"),
		States: []protocol.StateRule{{Name: "user", Match: regexp.MustCompile("^USER")}}})
	r := newRig(t, options{protocol: p, elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Unsafe = UnsafeReplay })})
	c := r.client()
	c.says("TELL 1\nUSER 2\n", false)
	r.until("answered", func() bool { return string(c.got) == "re USER 2\n" })
	r.stations[0].host.Kill()
	r.w.RunFor(20 * time.Second)
	if got := string(r.stations[1].server().got); got != "USER 2\n" {
		t.Errorf("the new server got %q", got)
	}
	r.close()
}

// transactions is protocol line with BEGIN and END, one-way TELL, and words for a lost reply.
func transactions(t *testing.T) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Begin: regexp.MustCompile("^BEGIN"), End: regexp.MustCompile("^END"), Lost: []byte("LOST\n"),
		OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}, Abort: []byte("ERR sorry\n")})
}

// The first request of a transaction was answered by an error at the deadline, and the others were carried out without it.
func TestFoundUnitWithoutBeginning(t *testing.T) {
	r := newRig(t, options{protocol: transactions(t), failover: quick}) // deadline 3 s
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says("BEGIN\nTELL 1\nSE", false)
	r.until("told", func() bool { return string(c.got) == "LOST\n" })
	s.gone = false
	c.says("T 2\nTELL 3\nEND\nGET 4\n", false)
	r.w.RunFor(5 * time.Second)
	if got := string(c.got); got != "LOST\nLOST\nLOST\nre GET 4\n" || string(s.server().got) != "GET 4\n" {
		t.Errorf("the client got %q, the server %q", got, s.server().got)
	}
	r.close()
}

// A one-way message in a transaction that was lost ended the session; a request of it that was coming was sent to the next server
// as far as it had come.
func TestFoundOneWayInBrokenUnit(t *testing.T) {
	r := newRig(t, options{protocol: transactions(t), elements: 2, priority: true, failover: quick})
	c := r.client()
	c.says("BEGIN\nSET 1\n", false)
	r.until("answered", func() bool { return string(c.got) == "re BEGIN\nre SET 1\n" })
	r.stations[0].app = silent
	c.says("TELL 2\nSE", false)
	r.until("come", func() bool { return strings.HasSuffix(string(r.stations[0].server().got), "TELL 2\nSE") })
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	c.says("T 3\nEND\nGET 4\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); got != "re BEGIN\nre SET 1\nLOST\nLOST\nre GET 4\n" || string(r.stations[1].server().got) != "GET 4\n" {
		t.Errorf("the client got %q, the new server %q", got, r.stations[1].server().got)
	}
	r.close()
}

// With ack = "read", a one-way message that came in two parts was waited for: it has no answer.
func TestFoundWaitsForNoAnswer(t *testing.T) {
	r := newRig(t, options{reads: true, failover: with(quick, func(f *Failover) { f.Ack = AckRead })})
	s := r.stations[0]
	s.unread = func() int { return 0 }
	c := r.client()
	c.says("TELL", false)
	r.until("come", func() bool { return s.server() != nil && string(s.server().got) == "TELL" })
	c.says(" 1\nSET 2\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); got != "re SET 2\n" {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// An element's sidecar that stood still for longer than the fence (SIGSTOP, a machine that swaps) gave the old server what it found in
// its socket when it went on, and what it had kept, though another server had both by then.
func TestFoundStoodStill(t *testing.T) {
	for _, kept := range []bool{false, true} {
		r := newRig(t, options{elements: 2, priority: true, memory: 64 << 10, legs: 64 << 10, failover: with(quick, func(f *Failover) {
			f.Unsafe, f.Resume, f.Fence, f.Deadline = UnsafeReplay, 500*time.Millisecond, time.Second, 30*time.Second
		})})
		old := r.stations[0]
		c := r.client()
		c.says("GET 1\n", false)
		r.until("answered", func() bool { return len(c.got) > 0 })
		if kept {
			old.server().room = 0
			c.says("SET 2\n", false)
			r.until("kept", func() bool { return spilled(old.e) > 0 })
			old.host.Freeze()
		} else {
			old.host.Freeze()
			c.says("SET 2\n", false)
		}
		r.until("carried out elsewhere", func() bool { return strings.HasSuffix(string(c.got), "re SET 2\n") })
		if kept {
			old.server().room = -1
			for _, leg := range old.e.legs {
				leg.Writable() // the first thing that it hears when it goes on
			}
		}
		old.host.Thaw()
		r.w.RunFor(10 * time.Second)
		if got := string(old.server().got); got != "GET 1\n" {
			t.Errorf("kept %t: the old server has got %q", kept, got)
		}
		r.close()
	}
}

// spilled is how many bytes an element keeps that its servers did not take.
func spilled(e *Element) (n int) {
	for _, leg := range e.legs {
		n += leg.out.spill.Len()
	}
	return n
}

// With ack = "read", an unsafe request that waited for an answer when the server ended waited for ever, and with it the client's end: the
// session was never over.
func TestFoundWaitsForEndedServer(t *testing.T) {
	r := newRig(t, options{reads: true, failover: with(quick, func(f *Failover) { f.Ack, f.OnServerClose = AckRead, CloseIsClose })})
	s := r.stations[0]
	s.unread = func() int { return 0 }
	s.app = silent
	c := r.client()
	c.says("GET 1\nSET 2\nSET 3\n", false)
	r.until("come", func() bool { return s.server() != nil && strings.HasSuffix(string(s.server().got), "SET 2\n") })
	s.server().says("", true)
	c.says("", true)
	r.w.RunFor(time.Minute)
	if n := r.user.Count(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	r.close()
}

// With replay = "session" the states that were set before a sync point and replaced behind it were not restored: what came between was
// repeated without them.
func TestFoundStateBeforeSync(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}, Sync: []*regexp.Regexp{regexp.MustCompile("^SYNC")},
		States: []protocol.StateRule{{Name: "user", Match: regexp.MustCompile("^USER"), Void: regexp.MustCompile("^OUT")}}})
	for _, later := range []string{"USER 4", "OUT"} {
		r := newRig(t, options{protocol: p, elements: 2, priority: true,
			failover: with(quick, func(f *Failover) { f.Replay, f.Unsafe = ReplaySession, UnsafeReplay })})
		c := r.client()
		c.says("USER 1\nSYNC 2\nGET 3\n"+later+"\n", false)
		r.until("answered", func() bool { return strings.HasSuffix(string(c.got), "re "+later+"\n") })
		r.stations[0].die(true)
		c.says("GET 5\n", false)
		r.w.RunFor(time.Second)
		if got := string(r.stations[1].server().got); got != "USER 1\nGET 3\n"+later+"\nGET 5\n" {
			t.Errorf("the new server got %q", got)
		}
		r.close()
	}
}

// The next server says less than the one before in reply to what is repeated: the reply to a new request is not taken for what is missing, for
// then the client would wait for it until more has come, if ever.
func TestShorterReplies(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Replay = ReplaySession })})
	r.stations[1].app = func(e *end) {
		for range strings.Count(string(e.got[e.answered:]), "\n") {
			e.says("re\n", false)
		}
		e.answered = len(e.got)
	}
	c := r.client()
	c.says("GET something\n", false)
	r.until("an answer", func() bool { return r.answered("re GET something\n") })
	r.stations[0].die(true)
	c.says("GET 2\n", false)
	r.until("the end", func() bool { return c.reset })
	if string(c.got) != "re GET something\n" {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

package session

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
)

var readFailover = with(quick, func(f *Failover) { f.Ack = AckRead })

// reader makes a station's kernel tell how much its servers have read; the test sets how many bytes are unread.
func (s *station) reader(unread *int) {
	s.e.c.Unread = func(Socket) (int, bool) { return *unread, true }
}

// oneWay is a protocol of one-way messages that may be repeated.
func oneWay(t testing.TB) protocol.Protocol {
	return lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyNone, Safe: []*regexp.Regexp{regexp.MustCompile(".")}})
}

// With ack = "read" a one-way message that died unread in the server's receive queue is sent to the next server.
func TestUnreadOneWaySentAgain(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: readFailover, protocol: oneWay(t)})
	unread := 0
	r.stations[0].app, r.stations[1].app = silent, silent
	r.stations[0].reader(&unread)
	c := r.client()
	c.says("a1\n", false)
	r.until("read", func() bool { return c.session.leg.acked == 3 })
	unread = 9
	c.says("a2\na3\na4\n", false)
	r.until("written", func() bool { return string(r.serving().got) == "a1\na2\na3\na4\n" })
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.w.RunFor(2 * time.Second)
	if s := r.stations[1].server(); s == nil || string(s.got) != "a2\na3\na4\n" {
		t.Errorf("the next server was not given what was unread: %+v", s)
	}
	r.close()
}

// A pool user hears that everything was read also when nothing else happens meanwhile.
func TestReadIsTold(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		r := newRig(t, options{failover: readFailover, protocol: oneWay(t)})
		unread := 1 << 20
		s := r.stations[0]
		s.app = silent
		s.e.c.Unread = func(x Socket) (int, bool) { return min(unread, len(x.(*end).got)), true }
		c := r.client()
		text := strings.Repeat("0123456789abcde\n", 8<<10)
		c.says(text, false)
		r.w.RunFor(5 * time.Second)
		if resumed {
			r.cut(s)
			r.w.RunFor(2 * time.Second)
		}
		unread = 0
		r.until("all has come", func() bool { return len(s.server().got) == len(text) })
		r.close()
	}
}

// A frozen server with many sessions must not keep the loop busy with questions to the kernel: they become rare.
func TestFrozenIsAskedRarely(t *testing.T) {
	r := newRig(t, options{failover: readFailover})
	s := r.stations[0]
	s.app = silent
	asked, unread := 0, 0
	s.e.c.Unread = func(Socket) (int, bool) { asked++; return unread, true }
	c := r.client()
	r.until("open", func() bool { return c.session.leg.open })
	unread = 6
	c.says("GET 1\nSET 2\n", false)
	r.w.RunFor(time.Second)
	asked = 0
	r.w.RunFor(time.Minute)
	if asked > 150 {
		t.Errorf("asked %d times in a minute", asked)
	}
	unread = 0
	began := r.w.Now()
	r.until("the second request", func() bool { return string(s.server().got) == "GET 1\nSET 2\n" })
	if took := r.w.Now().Sub(began); took > 1100*time.Millisecond {
		t.Errorf("it took %v to find out that the server reads", took)
	}
	r.close()
}

// What comes for a server between its end of file and the finding that it has died was not given to it, and goes to the next one.
func TestNothingBehindEndOfFile(t *testing.T) {
	for _, unsafe := range []bool{false, true} {
		p := oneWay(t)
		if unsafe {
			p = answering(t, "ERR lost\n")
		}
		r := newRig(t, options{elements: 2, priority: true, failover: readFailover, protocol: p})
		s := r.stations[0]
		s.app, r.stations[1].app = silent, silent
		unread := 0
		s.reader(&unread)
		s.e.c.Listening = func(_ Socket, answer func(bool)) { r.w.After(300*time.Millisecond, func() { answer(!s.gone) }) }
		c := r.client()
		c.says("a1\n", false)
		r.until("read", func() bool { return c.session.leg.acked == 3 })
		s.die(false)
		r.w.RunFor(10 * time.Millisecond)
		c.says("a2\n", false)
		r.w.RunFor(5 * time.Second)
		next := r.stations[1].server()
		if next == nil || string(next.got) != "a2\n" || unsafe != (string(c.got) == "ERR lost\n") {
			t.Errorf("the client got %q, the next server %+v", c.got, next)
		}
		r.close()
	}
}

// A server that ends its half and lives is given what came meanwhile.
func TestHalfCloseGoesOn(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true}), failover: quick})
	s := r.stations[0]
	s.app = silent
	s.e.c.Listening = func(_ Socket, answer func(bool)) { r.w.After(300*time.Millisecond, func() { answer(true) }) }
	c := r.client()
	c.says("one ", false)
	r.until("it has come", func() bool { return s.server() != nil && len(s.server().got) == 4 })
	s.server().says("bye", true)
	r.w.RunFor(10 * time.Millisecond)
	c.says("two", true)
	r.until("all has come", func() bool { return string(s.server().got) == "one two" && c.closed })
	r.close()
}

// A server that had read everything died, and what was written to it a moment later was answered by a reset: that was not read.
func TestResetBehindEndOfFile(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: readFailover, protocol: answering(t, "ERR lost\n")})
	s := r.stations[0]
	s.app, r.stations[1].app = silent, echo
	unread := 0
	s.reader(&unread)
	s.e.c.Listening = func(_ Socket, answer func(bool)) { s.host.Later(func() { answer(!s.gone) }) }
	c := r.client()
	c.says("GET 1\nPAY 2\n", false)
	r.until("it has come", func() bool { return s.server() != nil && len(s.server().got) == 12 })
	s.gone = true
	server := s.server()
	server.broken = true
	s.host.Later(func() {
		server.rules.End()
		server.rules.Broken(loop.ErrReset)
	})
	r.w.RunFor(time.Second)
	if got := string(c.got); got != "re GET 1\nre PAY 2\n" {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

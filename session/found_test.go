package session

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// What reviewers have found, one test each.

// LEG-FAILED that acknowledges the last bytes, behind FINISH, while the client still has bytes to read: nil dereference.
func TestFoundPanicLegFailedBehindFinish(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{}), failover: with(quick, func(f *Failover) { f.Replay = ReplayNone })})
	s := r.stations[0]
	s.app = func(e *end) {
		if strings.HasSuffix(string(e.got), "x") {
			s.gone = true
			e.breaks()
		}
	}
	c := r.client()
	c.room = 0
	c.says("hello", false)
	r.until("come", func() bool { return s.server() != nil && string(s.server().got) == "hello" })
	s.server().says("bye", true)
	r.until("server end told", func() bool { return c.session.leg.end })
	r.w.RunFor(time.Second)
	c.says("x", false)
	r.until("x came", func() bool { return string(s.server().got) == "hellox" })
	c.says("", true)
	r.w.RunFor(5 * time.Second)
	c.reads(-1)
	r.w.RunFor(5 * time.Second)
	if string(c.got) != "bye" {
		t.Errorf("client got %q, reset %v", c.got, c.reset)
	}
	r.close()
}

// The deadline of a second failover is that of the first, when nothing new has come for the client between the two.
func TestFoundDeadlineIsOld(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true, failover: quick}) // deadline 3 s
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	c.says("GET 1\n", false)
	r.until("1", func() bool { return r.stations[0].server() != nil && len(r.stations[0].server().got) > 0 })
	r.stations[0].die(true)
	r.until("2", func() bool { return r.stations[1].server() != nil && len(r.stations[1].server().got) > 0 })
	r.w.RunFor(10 * time.Second) // a slow request
	r.stations[1].die(true)
	r.w.RunFor(2 * time.Second)
	if string(c.got) != "re GET 1\n" {
		t.Errorf("the client got %q, though a third element lives", c.got)
	}
	r.close()
}

// A reply and its end are complete in the user's sidecar; then the element's sidecar dies. The slow client loses the rest.
func TestFoundCompleteReplyLost(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{}), failover: with(quick, func(f *Failover) { f.Replay = ReplayNone })})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.room = 0
	c.says("get", false)
	r.until("come", func() bool { return s.server() != nil && string(s.server().got) == "get" })
	s.server().says(strings.Repeat("a", 8000), true)
	r.until("all is in the user's sidecar", func() bool { return c.session.leg.end && c.session.leg.received == 8000 })
	s.host.Kill()
	r.w.RunFor(10 * time.Second)
	if !c.reset {
		c.reads(-1)
		r.w.RunFor(time.Second)
	}
	if len(c.got) != 8000 {
		t.Errorf("%d of 8000 bytes, reset %v", len(c.got), c.reset)
	}
	r.close()
}

// Behind FINISH, with bytes the server has not taken, no ACK comes within 100 ms.
func TestFoundNoAckBehindFinish(t *testing.T) {
	for _, finish := range []bool{false, true} {
		r := newRig(t, options{})
		s := r.stations[0]
		s.room = 0
		c := r.client()
		c.says("TELL 1\nTELL 2\n", finish)
		r.until("open", func() bool { return c.session.leg.open })
		r.w.RunFor(time.Second)
		s.server().reads(7)
		r.w.RunFor(10 * time.Second)
		if c.session.leg.acked != 7 {
			t.Errorf("finish %v: acked %d, written 7", finish, c.session.leg.acked)
		}
		r.close()
	}
}

// A leg resumed before its server was connected gets failover.resume instead of failover.deadline.
func TestFoundResumedBeforeOpen(t *testing.T) {
	r := newRig(t, options{failover: Failover{Replay: ReplayUnacked, Resume: 500 * time.Millisecond, Deadline: 30 * time.Second, Attempts: 5}})
	s := r.stations[0]
	s.slow = 2 * time.Second
	c := r.client()
	c.says("GET 1\n", false)
	r.until("the leg has begun", func() bool { return len(s.servers) == 1 })
	r.cut(s)
	r.w.RunFor(5 * time.Second)
	if string(c.got) != "re GET 1\n" {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

// After a refused Upgrade the reply to HEAD is taken for one with a body.
func TestFoundHeadAfterRefusedUpgrade(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewHTTP(protocol.HTTPConfig{})})
	s := r.stations[0]
	s.app = func(e *end) {
		for {
			i := strings.Index(string(e.got[e.answered:]), "\r\n\r\n")
			if i < 0 {
				return
			}
			req := string(e.got[e.answered : e.answered+i+4])
			e.answered += i + 4
			body := "0123456789"
			if strings.HasPrefix(req, "HEAD") {
				body = ""
			}
			e.says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"+body, false)
		}
	}
	c := r.client()
	c.says("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", false)
	r.w.RunFor(time.Second)
	for range 3 {
		c.says("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", false)
		r.w.RunFor(time.Second)
	}
	if c.reset || strings.Count(string(c.got), "200 OK") != 4 {
		t.Errorf("reset %v, %d replies", c.reset, strings.Count(string(c.got), "200 OK"))
	}
	r.close()
}

// Movable judges by what was known before this leg: a session is taken off resumption, its only hope.
func TestFoundMovableJudgesStale(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: protocol.NewHTTP(protocol.HTTPConfig{}),
		failover: Failover{Replay: ReplayUnacked, Resume: 5 * time.Second, Deadline: 30 * time.Second, Attempts: 5},
		beat:     mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3}})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789", false)
	r.until("come", func() bool { return s.server() != nil && strings.HasSuffix(string(s.server().got), "789") })
	s.server().says("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234", false)
	r.until("begun", func() bool { return strings.HasSuffix(string(c.got), "01234") })
	r.w.Stall(r.host, s.host)
	r.until("lost", func() bool { return c.session.leg != nil && c.session.leg.lost })
	r.w.RunFor(2500 * time.Millisecond)
	if c.reset {
		t.Error("the client was reset while the leg could still be resumed")
	}
	r.w.Heal(r.host, s.host)
	r.w.RunFor(2 * time.Second)
	if !c.reset {
		s.server().says("567890123456789", false)
		r.w.RunFor(2 * time.Second)
		t.Logf("got %q", c.got)
	}
	r.close()
}

// An element whose server died once is never used again while another lives.
func TestFoundRecoveredElementNeverUsed(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: quick})
	c := r.client()
	c.says("GET 0\n", false)
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	r.stations[0].gone = false // restarted
	before := len(r.stations[0].servers)
	for range 50 {
		x := r.client()
		x.says("GET 1\n", false)
		r.w.RunFor(time.Minute)
	}
	if n := len(r.stations[0].servers) - before; n == 0 {
		t.Errorf("%d of 50 sessions in 50 minutes went to the element that is back", n)
	}
	r.close()
}

var _ = regexp.MustCompile

// Replay = "session"; while a leg that repeats everything is not open yet the history passes memory; then that element refuses.
// The next leg repeats everything too, but nothing is compared any more: the client gets replies twice.
func TestFoundRepliesTwice(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true, failover: with(quick, func(f *Failover) { f.Replay = ReplaySession })})
	r.stations[1].slow = time.Second
	c := r.client()
	want := ""
	say := func(from, to int) {
		for i := from; i < to; i++ {
			c.says(fmt.Sprintf("GET %d\n", i), false)
			want += fmt.Sprintf("re GET %d\n", i)
		}
	}
	say(0, 100)
	r.until("answered", func() bool { return string(c.got) == want })
	r.stations[0].die(true)
	r.until("the second leg connects", func() bool { return len(r.stations[1].servers) == 1 })
	say(100, 150)
	r.w.RunFor(100 * time.Millisecond)
	say(150, 200)
	r.w.RunFor(100 * time.Millisecond)
	t.Logf("whole %v, leg %d, acked %d, messages %d, store from %d", c.session.whole, c.session.legs, c.session.leg.acked, c.session.store.Messages(), c.session.store.Start())
	r.stations[1].gone = true
	r.w.RunFor(10 * time.Second)
	if string(c.got) != want && !strings.HasPrefix(want, string(c.got)) {
		t.Errorf("want %d bytes, got %d: GET 0 answered %d times", len(want), len(c.got), strings.Count(string(c.got), "re GET 0\n"))
	}
	r.close()
}

// The client takes the rest of what it is owed between RESUME and RESUMED: the element never gets credit again.
func TestFoundNoCreditAfterResume(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{})})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.room = 0
	r.until("open", func() bool { return c.session.leg != nil && c.session.leg.open })
	s.server().says(strings.Repeat("d", 100_000), false)
	r.w.RunFor(time.Second) // one window has come
	old := c.session.leg.link.hello
	r.cut(s)
	r.until("RESUME is on its way", func() bool {
		g := c.session.leg
		return g.lost && g.link.hello != nil && g.link.hello != old && g.link.streams.get(g.stream) == g
	})
	c.reads(-1)
	r.w.RunFor(time.Minute)
	if len(c.got) != 100_000 {
		t.Errorf("%d of 100000 bytes, state %s, credit told %d, received %d, spill %d", len(c.got), c.session.Info().State,
			c.session.leg.granted, c.session.leg.received, c.session.out.spill.Len())
	}
	r.close()
}

// A POST of which the head was sent is in doubt, also if its body has not come, with or without "100 Continue": there are servers
// that act on the head.
func TestFoundContinueRefused(t *testing.T) {
	for _, interim := range []string{"", "HTTP/1.1 100 Continue\r\n\r\n"} {
		r := newRig(t, options{elements: 2, priority: true, protocol: protocol.NewHTTP(protocol.HTTPConfig{}), failover: quick})
		r.stations[0].app, r.stations[1].app = silent, silent
		c := r.client()
		c.says("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", false)
		r.until("come", func() bool { return r.serving() != nil && strings.HasSuffix(string(r.serving().got), "\r\n\r\n") })
		r.serving().says(interim, false)
		r.w.RunFor(time.Second)
		r.stations[0].die(true)
		r.w.RunFor(5 * time.Second)
		if len(r.stations[1].servers) > 0 || !strings.Contains(string(c.got), "HTTP/1.1 502 ") {
			t.Errorf("interim %q: %d connections elsewhere, the client got %q", interim, len(r.stations[1].servers), c.got)
		}
		r.close()
	}
}

// A session that ended in peace behind a failover is recorded as ended because "the client left meanwhile".
func TestFoundVerdictOfPeace(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	c.says("GET 1\n", false)
	r.until("come", func() bool { return r.serving() != nil && len(r.serving().got) > 0 })
	r.stations[0].die(true)
	r.until("moved", func() bool { return r.stations[1].server() != nil && len(r.stations[1].server().got) > 0 })
	r.user.Close()
	if x := r.records[len(r.records)-1]; x.Verdict == "the client left meanwhile" {
		t.Errorf("the pool user was stopped, but the verdict is %q", x.Verdict)
	}
}

// Quit = ["^QUIT$"]: "requests after which the server closes in peace". A server that does so is taken for one that failed.
func TestFoundQuit(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick,
		protocol: lineProtocol(t, protocol.LineConfig{Abort: []byte("ERR sorry\n"), Quit: []*regexp.Regexp{regexp.MustCompile("^QUIT$")},
			Safe: []*regexp.Regexp{regexp.MustCompile("^QUIT$")}})})
	for _, s := range r.stations {
		s.app = func(e *end) {
			if len(e.got) > 0 {
				e.says("", true)
				e.app = nil
			}
		}
	}
	c := r.client()
	c.says("QUIT\n", false)
	r.w.RunFor(10 * time.Second)
	n := 0
	for _, s := range r.stations {
		n += len(s.servers)
	}
	if n != 1 || len(c.got) > 0 {
		t.Errorf("server connections %d, client got %q, finished %v reset %v", n, c.got, c.finished, c.reset)
	}
	r.close()
}

// A client that takes the rest of its reply while its next element is not in touch yet is no reason to acknowledge anything there: the
// acknowledgement came before HELLO, and the element ended the association.
func TestFoundAckBeforeHello(t *testing.T) {
	for _, part := range []int{12 << 10, 100} { // one is acknowledged at once, one with the next round
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true})
			r.w.Delay(r.host, r.stations[1].host, 200*time.Millisecond, 200*time.Millisecond)
			reply := strings.Repeat("a", part) + strings.Repeat("b", 100) + "\n"
			r.stations[0].app = silent
			r.stations[1].app = func(e *end) { e.says(reply, false) }
			client := r.client()
			client.room = 0
			client.says("GET 1\n", false)
			r.until("the request has come", func() bool { s := r.serving(); return s != nil && len(s.got) > 0 })
			r.serving().says(reply[:part], false)
			r.w.RunFor(time.Second)
			r.stations[0].die(true)
			r.w.RunFor(100 * time.Millisecond)
			client.reads(-1)
			r.until("the whole reply", func() bool { return string(client.got) == reply })
			if r.logged("came before HELLO") {
				t.Error("the association was ended by the element")
			}
			r.close()
		})
	}
}

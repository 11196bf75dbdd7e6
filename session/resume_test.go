package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// cut breaks the associations with the station, as a reset on the way does.
func (r *rig) cut(s *station) { r.w.Cut(r.host, s.host) }

// only complains unless every record is of that kind, and there is at least one.
func (r *rig) only(kind string) {
	r.t.Helper()
	for _, x := range r.records {
		if x.Kind != kind {
			r.t.Errorf("a session was %s, not %s: %s, %s", x.Kind, kind, x.Cause, x.Verdict)
		}
	}
	if len(r.records) == 0 {
		r.t.Errorf("there is no record; a session was to be %s", kind)
	}
}

// The association breaks again and again under a transfer both ways: the server sees one connection, and every byte once.
func TestResumeExactlyOnce(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, options{seed: seed + 1, protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true}),
			failover: Failover{Resume: 5 * time.Second, Deadline: 10 * time.Second, Attempts: 3}})
		s := r.stations[0]
		s.app = silent
		c := r.client()
		r.until("it is open", func() bool { return r.serving() != nil && c.session.leg.open })
		server := r.serving()
		up, down := numbered("up", 1500), numbered("down", 1500)
		c.says(up, true)
		server.says(down, true)
		for range 30 {
			r.w.RunFor(time.Duration(r.w.Rand().IntN(4000)) * time.Microsecond)
			r.cut(s)
		}
		r.until("all has come", func() bool { return c.closed && server.closed })
		if string(c.got) != down || string(server.got) != up || c.reset || !server.finished || len(s.servers) != 1 {
			t.Errorf("seed %d: %d of %d bytes down, %d of %d up, %d servers", seed+1, len(c.got), len(down), len(server.got), len(up), len(s.servers))
		}
		r.only(KindResumed)
		r.close()
		if t.Failed() {
			return
		}
	}
}

// An end that was said before the association broke is said again after it, and is one end all the same.
func TestResumeAfterHalfClose(t *testing.T) {
	for name, byClient := range map[string]bool{"the client's": true, "the server's": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true})})
			s := r.stations[0]
			s.app = silent
			c := r.client()
			r.until("it is open", func() bool { return r.serving() != nil && c.session.leg.open })
			server := r.serving()
			first, second := c, server
			if !byClient {
				first, second = server, c
			}
			first.says("first", true)
			r.until("the end has come", func() bool { return second.finished })
			r.w.RunFor(time.Second)
			r.cut(s)
			r.w.RunFor(time.Second)
			second.says("second", true)
			r.until("both are closed", func() bool { return c.closed && server.closed })
			if string(first.got) != "second" || string(second.got) != "first" || r.logged("broke") {
				t.Errorf("%q, %q", first.got, second.got)
			}
			r.only(KindResumed)
			r.close()
		})
	}
}

// The association breaks while the server is still being connected to.
func TestResumeBeforeOpened(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	s.slow = time.Second
	c := r.client()
	c.says("SET 1\n", false)
	r.until("the leg has begun", func() bool { return len(s.servers) == 1 })
	r.cut(s)
	r.until("it is answered", func() bool { return string(c.got) == "re SET 1\n" })
	if len(s.servers) != 1 {
		t.Errorf("%d connections to the server", len(s.servers))
	}
	r.close()
}

// An association that is cut at any moment of a short session's life, its beginning and end included.
func TestCutAtEveryMoment(t *testing.T) {
	const step = 100 * time.Microsecond
	for at := range 60 {
		r := newRig(t, options{seed: 3})
		s := r.stations[0]
		s.slow = time.Millisecond
		r.w.RunFor(time.Duration(at%3) * step)
		c := r.client()
		c.says("GET 1\n", true)
		r.w.RunFor(time.Duration(at) * step)
		r.cut(s)
		r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
		r.until("the server has seen the end", func() bool { return s.server().finished || s.server().closed })
		s.server().says("", true)
		r.until("it is closed", func() bool { return c.closed })
		r.w.RunFor(2 * time.Minute)
		if live, held := s.e.Legs(); live+held > 0 || r.user.Count() > 0 {
			t.Errorf("cut at step %d: %d and %d legs are left, %d sessions", at, live, held, r.user.Count())
		}
		r.close()
		if t.Failed() {
			return
		}
	}
}

// Another incarnation of the sidecar cannot resume: what was with the old one moves, here to the same element.
func TestElementRestarted(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	s.host.Kill()
	s.host.Restart()
	s.start(0xd0)
	c.says("GET 2\n", false)
	r.until("it is answered", func() bool { return strings.HasSuffix(string(c.got), "re GET 2\n") })
	if string(c.got) != "re GET 1\nre GET 2\n" || len(s.servers) != 2 {
		t.Errorf("%q by %d servers", c.got, len(s.servers))
	}
	r.only(KindMoved)
	r.close()
}

// A pool user that does not come back: the element resets the server after the time that was agreed, not before.
func TestHoldPasses(t *testing.T) {
	for name, o := range map[string]options{
		"the user's wish":     {failover: Failover{Resume: 2 * time.Second, Deadline: 9 * time.Second, Attempts: 3}},
		"the element's limit": {hold: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, o)
			s := r.stations[0]
			c := r.client()
			c.says("GET 1\n", false)
			r.until("it is answered", func() bool { return len(c.got) > 0 })
			began := r.w.Now()
			r.host.Kill()
			r.until("the server is reset", func() bool { return s.server().reset })
			if took := r.w.Now().Sub(began); took < 2900*time.Millisecond || took > 3100*time.Millisecond {
				t.Errorf("after %v", took)
			}
			if live, held := s.e.Legs(); live+held > 0 || stored(s.host) > 0 || s.host.Timers() > 0 || !r.logged("leg given up") {
				t.Errorf("%d and %d legs, %d bytes, %d timers", live, held, stored(s.host), s.host.Timers())
			}
		})
	}
}

// After a silence that is longer than resume, the session has moved on; the old element's server is reset when it hears of it.
func TestMovesWhenTheElementIsSilent(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true,
		failover: Failover{Replay: ReplayUnacked, Resume: 3 * time.Second, Deadline: 20 * time.Second, Attempts: 3}})
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.Stall(r.host, r.stations[0].host)
	c.says("GET 2\n", false)
	began := r.w.Now()
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	if took := r.w.Now().Sub(began); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	r.until("the old server is reset", func() bool { return r.stations[0].server().reset })
	r.only(KindMoved)
	r.close()
}

// Without resume a session moves at once.
func TestNoResume(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true,
		failover: Failover{Replay: ReplayUnacked, Deadline: 20 * time.Second, Attempts: 3}})
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.cut(r.stations[0])
	c.says("GET 2\n", false)
	began := r.w.Now()
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	if took := r.w.Now().Sub(began); took > 100*time.Millisecond || len(r.stations[1].servers) != 1 {
		t.Errorf("it took %v, %d servers at the other element", took, len(r.stations[1].servers))
	}
	r.only(KindMoved)
	r.close()
}

// RESUME comes while the old association still looks alive at the element: the leg is the new association's from then on, and the old
// one is ended. What is late on it, as when the element was frozen, is no breach of the rules, and its other legs wait for RESUME, too.
func TestResumeRaces(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	first := r.liar("liar", s, 0x66)
	first.hello()
	first.tell(7, &message{typ: typeOpen, token: token16(0x40), leg: 1, hold: time.Minute})
	first.data(7, "SET 1\n")
	first.tell(8, &message{typ: typeOpen, token: token16(0x41), leg: 1, hold: time.Minute})
	r.until("it is answered", func() bool { return first.text(7) == "re SET 1\n" && first.last(8, typeOpened) != nil })

	second := r.liar("liar", s, 0x66)
	second.hello()
	second.tell(3, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 3, credit: 1000})
	r.until("it is resumed", func() bool { return second.last(3, typeResumed) != nil })
	first.data(7, "late\n")
	second.tell(4, &message{typ: typeResume, token: token16(0x41), leg: 1, credit: 1000})
	r.until("the first association is gone, the other leg resumed", func() bool { return first.down != nil && second.last(4, typeResumed) != nil })
	second.data(3, "SET 2\n")
	r.until("the rest has come", func() bool { return second.text(3) == "SET 1\nre SET 2\n" })
	if m := second.last(3, typeResumed); m == nil || m.received != 6 {
		t.Errorf("resumed: %+v", m)
	}
	second.data(3, "SET 3\n")
	r.until("it goes on", func() bool { return strings.HasSuffix(second.text(3), "re SET 3\n") })
	if got := string(s.servers[0].got); got != "SET 1\nSET 2\nSET 3\n" || len(s.servers) != 2 {
		t.Errorf("the server got %q", got)
	}
	if r.logged("broke the session protocol") || !r.logged("its pool user has come back without it") {
		t.Error("not the right reason for the end of the first association")
	}
	r.close()
}

// Silence is noticed by heartbeats, and only the association is given up: the leg is resumed when the path heals.
func TestSilenceThenHealed(t *testing.T) {
	r := newRig(t, options{beat: mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3}})
	s := r.stations[0]
	c := r.client()
	c.says("SET 1\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.Stall(r.host, s.host)
	c.says("SET 2\n", false)
	r.w.RunFor(2 * time.Second)
	if state := c.session.Info().State; state != "resuming" {
		t.Errorf("the session is %s", state)
	}
	r.w.Heal(r.host, s.host)
	r.until("it is answered", func() bool { return string(c.got) == "re SET 1\nre SET 2\n" })
	if got := string(s.server().got); got != "SET 1\nSET 2\n" {
		t.Errorf("the server got %q", got)
	}
	r.only(KindResumed)
	r.close()
}

// What was written to the server while the association was broken is told after it: nothing stays retained.
func TestAckAfterResume(t *testing.T) {
	r := newRig(t, options{})
	c := r.client()
	c.says("TELL 1\n", false)
	s := r.stations[0]
	r.until("it has come", func() bool { return s.server() != nil && len(s.server().got) > 0 })
	r.cut(s) // before the ACK
	r.w.RunFor(time.Second)
	if n := c.session.Info().Retained; n != 0 || c.session.Info().State != "open" {
		t.Errorf("%d bytes retained, %s", n, c.session.Info().State)
	}
	r.close()
}

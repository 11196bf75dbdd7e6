package session

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// How the end of a server that was fenced is known, and what becomes of an unsafe request that was written to it.
func TestFenced(t *testing.T) {
	const lost = "ERR lost\n"
	for name, c := range map[string]struct {
		unread int // bytes of the request that the frozen server has not read
		fence  func(s *station, answer func(error))
		want   string
		says   string
		takes  time.Duration
	}{
		"killed, nothing was read": {8, func(s *station, answer func(error)) { s.die(true); answer(nil) }, "re SET 1\n", "was fenced", 0},
		"killed later": {8, func(s *station, answer func(error)) {
			answer(nil)
			s.r.w.After(500*time.Millisecond, func() { s.die(true) })
		}, "re SET 1\n", "", 500 * time.Millisecond},
		"killed, it was read":      {0, func(s *station, answer func(error)) { s.die(false); answer(nil) }, lost, "was fenced", 0},
		"killed before the answer": {8, func(s *station, answer func(error)) { s.die(true); s.r.w.After(time.Second, func() { answer(nil) }) }, "re SET 1\n", "", 0},
		"it fails":                 {8, func(_ *station, answer func(error)) { answer(errors.New("exit status 1")) }, lost, "could not be fenced", 0},
		"it fails later": {8, func(s *station, answer func(error)) {
			s.r.w.After(time.Second, func() { answer(errors.New("exit status 1")) })
		}, lost, "could not be fenced", time.Second},
		"it did not help":  {8, func(_ *station, answer func(error)) { answer(nil) }, lost, "did not end when it was fenced", time.Second},
		"it never answers": {8, func(*station, func(error)) {}, lost, "failover.reply_timeout", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, protocol: lossy(t), fence: true, reads: true,
				failover: with(patient, func(f *Failover) { f.Ack = AckRead })})
			s := r.stations[0]
			s.app = silent
			asked := 0
			s.fence = func(_ *Leg, answer func(error)) { asked++; c.fence(s, answer) }
			s.unread = func() int { return c.unread }
			r.stations[1].unread = func() int { return 0 }
			client := r.client()
			client.says("SET 1\n", false)
			s.has("SET 1\n")
			began := r.w.Now()
			client.sometime(c.want)
			if took := r.w.Now().Sub(began) - patient.ReplyTimeout; took < c.takes || took > c.takes+200*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if asked != 1 || !r.told(c.says) || !s.servers[0].reset && !s.servers[0].closed {
				t.Errorf("asked %d times, reset %v; not said: %s", asked, s.servers[0].reset, c.says)
			}
			r.w.RunFor(5 * time.Second)
			client.sometime(c.want)
			r.close()
		})
	}
}

// While a server is being fenced it gets nothing more, and what it still says reaches nobody; nor does its end.
func TestGivenUpServerSpeaks(t *testing.T) {
	for name, speak := range map[string]func(s *station, e *end){
		"the reply":          func(_ *station, e *end) { e.says("re GET 1\n", false) },
		"another":            func(_ *station, e *end) { e.says("rex\n", false) },
		"the reply, its end": func(_ *station, e *end) { e.says("re GET 1\n", true) },
		"its end":            func(_ *station, e *end) { e.says("", true) },
		"its death":          func(s *station, _ *end) { s.die(true) },
		"a reset":            func(_ *station, e *end) { e.breaks() },
	} {
		for _, policy := range []ServerClose{CloseAuto, CloseIsClose, CloseIsFailed} {
			t.Run(name+", "+policy.String(), func(t *testing.T) {
				r := newRig(t, options{elements: 2, priority: true, fence: true, failover: with(patient, func(f *Failover) { f.OnServerClose = policy })})
				s := r.stations[0]
				s.app = silent
				s.fence = func(_ *Leg, answer func(error)) { r.w.After(time.Second, func() { answer(errors.New("no")) }) }
				c := r.client()
				c.says("GET 1\n", false)
				frozen := s.has("GET 1\n")
				frozen.says("re", false)
				r.until("it is given up", func() bool { return c.session.leg.gaveUp != "" })
				c.says("GET 2\n", false)
				r.w.RunFor(10 * time.Millisecond)
				speak(s, frozen)
				c.sometime("re GET 1\nre GET 2\n")
				if string(frozen.got) != "GET 1\n" {
					t.Errorf("the frozen server got %q", frozen.got)
				}
				r.only(KindMoved)
				if x := r.records[0]; x.Detector != "reply timeout" || x.Detect != patient.ReplyTimeout {
					t.Errorf("record %+v", x)
				}
				r.close()
			})
		}
	}
}

// A reply that lasts until the connection ends is not complete because a server was given up within it.
func TestGivenUpWithinAReply(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: web(), failover: patient})
	s := r.stations[0]
	s.app = silent
	r.stations[1].app = func(e *end) { e.says("HTTP/1.1 200 OK\r\n\r\nall of it", true) }
	c := r.client()
	c.says("GET / HTTP/1.0\r\n\r\n", false)
	frozen := s.has("\r\n\r\n")
	frozen.says("HTTP/1.1 200 OK\r\n\r\nall", false)
	r.until("it is given up", func() bool { return c.session.leg.gaveUp != "" })
	frozen.says(" of it", true)
	r.until("it ends", func() bool { return c.finished || c.reset })
	if want := "HTTP/1.1 200 OK\r\n\r\nall of it"; string(c.got) != want {
		t.Errorf("the client got %q", c.got)
	}
	r.close()
}

// The association is lost while the answer to GIVE-UP is awaited: the session does not wait for it.
func TestGivenUpAndCut(t *testing.T) {
	for name, how := range map[string]func(r *rig, s *station){
		"cut":            func(r *rig, s *station) { r.cut(s) },
		"sidecar killed": func(_ *rig, s *station) { s.host.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: patient, fence: true, hold: 5 * time.Second})
			s := r.stations[0]
			s.app = silent
			s.fence = func(_ *Leg, answer func(error)) { r.w.After(2*time.Second, func() { answer(nil) }) }
			c := r.client()
			c.says("GET 1\n", false)
			s.has("GET 1\n")
			r.until("it is given up", func() bool { return c.session.leg.gaveUp != "" })
			r.w.RunFor(10 * time.Millisecond)
			began := r.w.Now()
			how(r, s)
			c.sometime("re GET 1\n")
			if took := r.w.Now().Sub(began); took > 200*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			r.w.RunFor(10 * time.Second)
			if name == "cut" && !s.servers[0].reset {
				t.Error("the frozen server's connection is still there")
			}
			r.close()
		})
	}
}

// A client that leaves while its server is being given up.
func TestGivenUpAndLeft(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: patient, fence: true})
	s := r.stations[0]
	s.app = silent
	s.fence = func(_ *Leg, answer func(error)) { r.w.After(2*time.Second, func() { answer(nil) }) }
	c := r.client()
	c.says("GET 1\n", false)
	s.has("GET 1\n")
	r.until("it is given up", func() bool { return c.session.leg.gaveUp != "" })
	c.breaks()
	r.w.RunFor(time.Second)
	if live, held := s.e.Legs(); live+held > 0 || !s.servers[0].reset || r.user.Count() > 0 {
		t.Errorf("%d and %d legs, reset %v", live, held, s.servers[0].reset)
	}
	r.w.RunFor(5 * time.Second)
	r.close()
}

// A server that says goodbye by closing its connection is not silent, however long its client stays.
func TestGoodbyeIsNotSilence(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: patient, protocol: lineProtocol(t, protocol.LineConfig{
		Quit: []*regexp.Regexp{regexp.MustCompile("^QUIT")}})})
	s := r.stations[0]
	s.app = func(e *end) {
		if strings.HasSuffix(string(e.got), "QUIT\n") {
			e.says("", true)
		}
	}
	c := r.client()
	c.says("QUIT\n", false)
	r.until("the end", func() bool { return c.finished })
	r.w.RunFor(10 * time.Second)
	if r.pool.Failures("element1") > 0 || len(r.records) > 0 {
		t.Errorf("%d failures, %+v", r.pool.Failures("element1"), r.records)
	}
	c.says("", true)
	r.until("it is closed", func() bool { return c.closed })
	r.close()
}

// What was known of the server's reading before is not forgotten, and what is told of a frozen server is all that was written.
func TestGiveUpByHand(t *testing.T) {
	r := newRig(t, options{reads: true})
	s := r.stations[0]
	s.app = silent
	s.unread = func() int { return 4 }
	l := r.liar("liar", s, 0x66)
	l.hello()
	l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute, reads: true})
	l.data(1, "SET 1\n")
	r.until("acknowledged", func() bool { return l.last(1, typeAck) != nil })
	if m := l.last(1, typeOpened); m == nil || !m.reads || l.last(1, typeAck).received != 2 {
		t.Errorf("%+v, %+v", m, l.last(1, typeAck))
	}
	l.tell(1, &message{typ: typeGiveUp})
	l.tell(1, &message{typ: typeGiveUp})
	r.w.RunFor(time.Second)
	if m := l.last(1, typeLegFailed); m == nil || m.code != CodeSilent || m.received != 6 || m.listens || l.down != nil {
		t.Errorf("%+v", m)
	}
	l.tell(1, &message{typ: typeClosed})
	r.w.RunFor(time.Second)
	if !s.servers[0].reset || l.down != nil {
		t.Errorf("reset %v, %v", s.servers[0].reset, l.down)
	}
	r.close()
}

// A server that is being fenced gets nothing more, though it wakes, whatever a pool user says.
func TestNothingMoreWhileFenced(t *testing.T) {
	r := newRig(t, options{fence: true, reads: true})
	s := r.stations[0]
	s.app, s.room = silent, 6
	s.unread = func() int { return 0 }
	var answers []func(error)
	s.fence = func(_ *Leg, answer func(error)) { answers = append(answers, answer) }
	l := r.liar("liar", s, 0x66)
	l.hello()
	l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute, reads: true})
	l.data(1, "SET 1\nSET 2\n")
	r.w.RunFor(time.Second)
	l.tell(1, &message{typ: typeGiveUp})
	l.tell(1, &message{typ: typeGiveUp})
	l.tell(1, &message{typ: typeHold, total: 12})
	l.data(1, "SET 3\n")
	r.w.RunFor(time.Second)
	s.server().reads(-1)
	r.w.RunFor(time.Second)
	if got := string(s.server().got); got != "SET 1\n" || len(answers) != 1 {
		t.Errorf("the server got %q; fenced %d times", got, len(answers))
	}
	answers[0](nil)
	answers[0](errors.New("twice"))
	r.w.RunFor(2 * time.Second)
	if m := l.last(1, typeLegFailed); m == nil || m.code != CodeSilent || m.received != 6 {
		t.Errorf("%+v", m)
	}
	r.close()
}

// A leg that is not connected yet has nothing to be fenced.
func TestGiveUpBeforeConnected(t *testing.T) {
	r := newRig(t, options{fence: true})
	s := r.stations[0]
	s.slow = time.Minute
	s.fence = func(*Leg, func(error)) { t.Error("fenced") }
	l := r.liar("liar", s, 0x66)
	l.hello()
	l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute})
	l.tell(1, &message{typ: typeGiveUp})
	r.w.RunFor(time.Second)
	if m := l.last(1, typeLegFailed); m == nil || m.code != CodeSilent || m.received != 0 || !s.servers[0].reset {
		t.Errorf("%+v, reset %v", m, s.servers[0].reset)
	}
	r.close()
}

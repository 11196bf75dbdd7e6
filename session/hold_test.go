package session

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// reader is a failover block with ack = "read".
var reader = with(quick, func(f *Failover) { f.Ack = AckRead })

// asks counts how often a station was asked how far its newest server has read.
func (s *station) asks() *int {
	n := new(int)
	s.unread = func() int {
		*n++
		if e := s.server(); e != nil {
			return len(e.got) - e.read
		}
		return 0
	}
	return n
}

// thaws has a frozen process read what it was given, and go on.
func (e *end) thaws() {
	e.frozen = false
	e.h.Later(e.run)
}

// An unsafe request does not reach the server before that has read all before it, the others do; nothing is lost or reordered.
func TestUnsafeIsHeldBack(t *testing.T) {
	r := newRig(t, options{reads: true, failover: reader})
	s := r.stations[0]
	asked := s.asks()
	c := r.client()
	r.until("it is open", func() bool { return s.server() != nil && c.session.leg.open })
	s.server().frozen = true
	c.says("GET 1\nGET 2\nSET 3\nGET 4\nSET 5\nSET 6\n", false)
	r.w.RunFor(time.Second)
	if got := string(s.server().got); got != "GET 1\nGET 2\n" {
		t.Errorf("the frozen server got %q", got)
	}
	*asked = 0
	r.w.RunFor(10 * time.Second)
	if *asked > 40 || *asked < 5 {
		t.Errorf("asked %d times in 10 s", *asked)
	}
	s.server().thaws()
	r.w.RunFor(100 * time.Millisecond)
	if i := c.session.Info(); i.AckNote != "" || i.Ack != AckRead {
		t.Errorf("%+v", i)
	}
	c.sometime("re GET 1\nre GET 2\nre SET 3\nre GET 4\nre SET 5\nre SET 6\n")
	if got := string(s.server().got); got != "GET 1\nGET 2\nSET 3\nGET 4\nSET 5\nSET 6\n" {
		t.Errorf("the server got %q", got)
	}
	*asked = 0
	r.w.RunFor(time.Minute)
	if *asked > 3 {
		t.Errorf("asked %d times in an idle minute", *asked)
	}
	r.close()
}

// The server's answer says that it has read, without waiting for the next question.
func TestAnswersAskToo(t *testing.T) {
	r := newRig(t, options{reads: true, failover: reader})
	s := r.stations[0]
	s.asks()
	c := r.client()
	r.until("it is open", func() bool { return s.server() != nil && c.session.leg.open })
	s.server().frozen = true
	c.says("GET 1\nSET 2\n", false)
	r.w.RunFor(time.Minute) // the pause between questions is the longest
	s.server().app = silent
	s.server().thaws()
	s.server().says("re GET 1\n", false)
	r.w.RunFor(5 * time.Millisecond)
	if got := string(s.server().got); got != "GET 1\nSET 2\n" {
		t.Errorf("the server got %q", got)
	}
	r.close()
}

// Where it cannot be known how far a server reads, from the beginning or any more, nothing is held back, and the session says so.
func TestReadingUnknown(t *testing.T) {
	for name, late := range map[string]bool{"from the beginning": false, "any more": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{reads: true, failover: reader})
			s := r.stations[0]
			s.slow = 10 * time.Millisecond
			s.unread = func() int { return -1 }
			if late {
				s.unread = func() int { return 1 }
			}
			c := r.client()
			c.says("GET 1\nSET 2\nTELL 3\nSET 4\n", false)
			if late {
				r.w.RunFor(time.Second)
				if got := string(s.server().got); got != "GET 1\n" {
					t.Errorf("the server got %q", got)
				}
				s.unread = func() int { return -1 }
			}
			c.sometime("re GET 1\nre SET 2\nre SET 4\n")
			r.w.RunFor(10 * time.Second)
			i := c.session.Info()
			if !late && (i.Ack != AckDelivered || !strings.Contains(i.AckNote, "element1 cannot see how far its server reads")) || i.Retained > 0 {
				t.Errorf("%+v", i)
			}
			if late && !r.logged("it cannot be known any more") {
				t.Error("not logged")
			}
			r.close()
		})
	}
}

// The association breaks again and again under unsafe requests that are held back: each reaches the server once, in order, and is
// never sent before all ahead of it were read.
func TestHoldsAreResumed(t *testing.T) {
	for seed := range uint64(30) {
		r := newRig(t, options{seed: seed + 1, reads: true, failover: reader})
		s := r.stations[0]
		s.asks()
		had := 0
		s.app = func(e *end) { // it reads a while after something has come, and then everything
			if unread := string(e.got[had:e.read]); strings.Contains(unread, "\nSET") || strings.Contains(unread, "\nTELL") {
				t.Errorf("seed %d: %q was unread at once", seed+1, unread)
			}
			if had = e.read; !e.frozen {
				e.frozen = true
				r.w.After(time.Duration(r.w.Rand().IntN(3000))*time.Microsecond, e.thaws)
				echo(e)
			}
		}
		c := r.client()
		want, sent := "", ""
		for i := range 120 {
			line := fmt.Sprintf("%s %d\n", []string{"GET", "SET", "TELL"}[r.w.Rand().IntN(3)], i)
			sent += line
			if line[0] != 'T' {
				want += "re " + line
			}
			c.says(line, false)
			if r.w.Rand().IntN(4) == 0 {
				r.w.RunFor(time.Duration(r.w.Rand().IntN(3000)) * time.Microsecond)
			}
			if r.w.Rand().IntN(6) == 0 {
				r.cut(s)
			}
		}
		c.sometime(want)
		if got := string(s.server().got); got != sent || len(s.servers) != 1 || r.logged("broke") {
			t.Errorf("seed %d: the server got %d of %d bytes; %d servers", seed+1, len(got), len(sent), len(s.servers))
		}
		r.w.RunFor(10 * time.Second)
		if n := c.session.Held(); n > 0 {
			t.Errorf("seed %d: %d bytes are still held", seed+1, n)
		}
		r.close()
		if t.Failed() {
			return
		}
	}
}

// What a pool user may say with HOLD by hand, and what comes of it.
func TestHoldByHand(t *testing.T) {
	begin := func(reads bool) (*rig, *station, *liar) {
		r := newRig(t, options{reads: true})
		s := r.stations[0]
		s.asks()
		l := r.liar("liar", s, 0x66)
		l.hello()
		l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute, reads: reads})
		r.until("it is open", func() bool { return l.last(1, typeOpened) != nil })
		s.server().frozen = true
		return r, s, l
	}
	t.Run("held, and told again", func(t *testing.T) {
		r, s, l := begin(true)
		l.tell(1, &message{typ: typeHold})
		l.data(1, "SET 1\n")
		l.tell(1, &message{typ: typeHold, total: 6})
		l.tell(1, &message{typ: typeHold, total: 6})
		l.data(1, "SET 2\n")
		l.tell(1, &message{typ: typeHold, total: 12})
		l.data(1, "SET 3\n")
		l.tell(1, &message{typ: typeFinish, total: 18})
		r.w.RunFor(time.Second)
		if got := string(s.server().got); got != "SET 1\n" || s.server().finished {
			t.Errorf("the server got %q, finished %v", got, s.server().finished)
		}
		if n := s.e.legs[token16(0x40)].reads.holds.len(); n != 2 {
			t.Errorf("%d holds", n)
		}
		s.server().run() // it reads one, and hangs again
		r.w.RunFor(time.Second)
		if got := string(s.server().got); got != "SET 1\nSET 2\n" {
			t.Errorf("the server got %q", got)
		}
		if m := l.last(1, typeAck); m == nil || m.received != 6 {
			t.Errorf("%+v", m)
		}
		s.server().thaws()
		r.w.RunFor(time.Second)
		if got := string(s.server().got); got != "SET 1\nSET 2\nSET 3\n" || !s.server().finished {
			t.Errorf("the server got %q, finished %v", got, s.server().finished)
		}
		if m := l.last(1, typeAck); m == nil || m.received != 18 {
			t.Errorf("%+v", m)
		}
		r.close()
	})
	t.Run("reading was not asked for", func(t *testing.T) {
		r, s, l := begin(false)
		l.data(1, "SET 1\n")
		l.tell(1, &message{typ: typeHold, total: 6})
		l.data(1, "SET 2\n")
		r.w.RunFor(time.Second)
		if got := string(s.server().got); got != "SET 1\nSET 2\n" || l.last(1, typeOpened).reads {
			t.Errorf("the server got %q", got)
		}
		r.close()
	})
	t.Run("reading was not asked for, the server takes nothing", func(t *testing.T) {
		r, s, l := begin(false)
		s.server().room = 0
		for i := range int64(2000) {
			l.data(1, "\n")
			l.tell(1, &message{typ: typeHold, total: i + 1})
		}
		r.w.RunFor(time.Second)
		s.server().reads(-1)
		r.w.RunFor(time.Second)
		if got := len(s.server().got); got != 2000 || l.last(1, typeReset) != nil {
			t.Errorf("the server got %d bytes", got)
		}
		r.close()
	})
	t.Run("the server dies", func(t *testing.T) {
		r, s, l := begin(true)
		l.data(1, "SET 1\n")
		l.tell(1, &message{typ: typeHold, total: 6})
		l.data(1, "SET 2\n")
		r.w.RunFor(time.Second)
		s.die(true)
		r.until("told", func() bool { return l.last(1, typeLegFailed) != nil })
		if m := l.last(1, typeLegFailed); m.received != 5 { // less than the whole of the first
			t.Errorf("%+v", m)
		}
		r.w.RunFor(time.Minute)
		r.close()
	})
}

// No more than maxHolds wait at an element, however many unsafe requests wait for a server that reads nothing.
func TestManyHolds(t *testing.T) {
	r := newRig(t, options{reads: true, failover: reader, memory: 1 << 20, legs: 1 << 20})
	s := r.stations[0]
	s.asks()
	c := r.client()
	r.until("it is open", func() bool { return s.server() != nil && c.session.leg.open })
	s.server().frozen = true
	c.says(strings.Repeat("TELL 1\n", 3000), false)
	r.w.RunFor(5 * time.Second)
	most := 0
	for _, leg := range s.e.legs {
		most = leg.reads.holds.len()
	}
	if got := len(s.server().got); got != 7 || most > maxHolds-1 || r.logged("broke") {
		t.Errorf("%d bytes, %d holds", got, most)
	}
	s.server().thaws()
	r.until("all has come", func() bool { return len(s.server().got) == 21000 })
	r.close()
}

// A HOLD that was on its way when the association broke is told again.
func TestHoldIsToldAgain(t *testing.T) {
	r := newRig(t, options{reads: true, failover: reader})
	s := r.stations[0]
	s.asks()
	c := r.client()
	r.until("it is open", func() bool { return s.server() != nil && c.session.leg.open })
	s.server().frozen = true
	c.says("GET 1\n", false)
	s.has("GET 1\n")
	c.says("SET 2\n", false)
	r.until("it is told", func() bool { return c.session.leg.held.len() == 1 })
	r.cut(s)
	r.until("it is resumed", func() bool { return c.session.leg.sent == 12 && !c.session.leg.lost })
	r.w.RunFor(time.Second)
	if got := string(s.server().got); got != "GET 1\n" {
		t.Errorf("the frozen server got %q", got)
	}
	s.server().thaws()
	c.sometime("re GET 1\nre SET 2\n")
	r.only(KindResumed)
	r.close()
}

package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// newUnmovable is a client whose session is open, at a server that says nothing, and may not be moved.
func newUnmovable(t *testing.T) (*rig, *station, *end) {
	r := newRig(t, options{protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true}),
		failover: Failover{Resume: 5 * time.Second, Deadline: 10 * time.Second, Attempts: 3}})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	r.until("it is open", func() bool { return r.serving() != nil && c.session.leg.open })
	return r, s, c
}

// The association breaks every 700 ms, for four times as long as it may take to come back: sessions that come further in between, and
// those that begin in between, go on, although none of them may be moved.
func TestFlapping(t *testing.T) {
	r, s, c := newUnmovable(t)
	for i := range 28 {
		r.w.RunFor(600 * time.Millisecond)
		c.says("x", false)
		r.w.RunFor(100 * time.Millisecond)
		r.cut(s)
		if i == 24 {
			r.w.RunFor(300 * time.Millisecond)
			c = r.client()
			r.until("another one is open", func() bool { return c.session.leg != nil && c.session.leg.open })
		}
	}
	r.w.RunFor(2 * time.Second)
	served := 0
	r.user.Sessions(func(session *Session) {
		if session.leg != nil && !session.leg.lost {
			served++
		}
	})
	if served != 2 {
		t.Errorf("%d sessions of 2 are served", served)
	}
	r.only(KindResumed)
	r.close()
}

// An association breaks whenever it has come up, before anything could be said: nobody waits for that
// element longer than he may.
func TestFlappingInVain(t *testing.T) {
	r, s, _ := newUnmovable(t)
	r.w.RunFor(2 * time.Second)
	for range 20 {
		r.cut(s)
		r.w.RunFor(300 * time.Millisecond)
	}
	moved := false
	for _, x := range r.records {
		moved = moved || x.Kind == KindMoved
	}
	if !moved {
		t.Errorf("it waits still, after %d times", len(r.records))
	}
	r.close()
}

// The same, and the process is replaced while it is broken: the time of legs that have come further does not begin with the first loss.
func TestFlappingUpgrade(t *testing.T) {
	r, s, c := newUnmovable(t)
	for range 12 {
		r.w.RunFor(600 * time.Millisecond)
		c.says("x", false)
		r.w.RunFor(100 * time.Millisecond)
		r.cut(s)
	}
	r.w.RunFor(10 * time.Millisecond)
	away := true
	s.refuses = func() bool { return away }
	r.upgrade()
	r.w.RunFor(2 * time.Second)
	away = false
	r.until("it is resumed", func() bool { return c.reset || c.session.leg != nil && !c.session.leg.lost })
	r.only(KindResumed)
	r.close()
}

// An element says HELLO whenever an association is begun, nothing more, and is found to be dead after a while: nobody waits for it longer than
// he may, each time anew.
func TestFlappingMute(t *testing.T) {
	r, s, c := newUnmovable(t)
	s.lyingElement(0x80, (*liar).hello) // of the same instance
	before := r.w.Now()
	for range 10 {
		r.cut(s)
		r.w.RunFor(3 * time.Second)
	}
	if !c.reset {
		t.Errorf("it waits for %v", r.w.Now().Sub(before))
	}
	r.close()
}

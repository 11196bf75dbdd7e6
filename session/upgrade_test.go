package session

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"slices"
	"time"
)

var upgradesFlag = flag.Int("upgrades", 0, "have sidecars upgraded so often, at random times, in each test of sessions: to look for what that breaks")

// upgrades does what the flag says.
func (r *rig) upgrades() {
	rnd := rand.New(rand.NewPCG(r.o.seed, 7))
	var next func()
	left := *upgradesFlag
	next = func() {
		if left--; left < 0 {
			return
		}
		r.w.After(time.Duration(rnd.Int64N(int64(20*time.Millisecond))), func() {
			if i := rnd.IntN(len(r.stations) + 1); i > 0 {
				r.stations[i-1].upgrade()
			} else {
				r.upgrade()
			}
			next()
		})
	}
	next()
}

// upgrade has another process take over the pool user's side.
func (r *rig) upgrade() {
	r.t.Helper()
	old := r.user
	common := old.Freeze(nil)
	states := make(map[*end][]byte)
	for _, c := range r.clients {
		if old.sessions[c.session.ID] != c.session {
			continue
		}
		states[c] = freezeTwice(r.t, c.session.Freeze)
	}
	c := old.c // a test may have changed it
	c.Instance = token16(0xee)
	u := NewUser(c)
	if err := u.Thaw(common); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range r.clients {
		if states[c] == nil {
			continue
		}
		s, err := u.ThawSession(states[c], c)
		if err != nil {
			r.t.Fatalf("session %d: %v", c.session.ID, err)
		}
		t := u.thawing[len(u.thawing)-1]
		if !t.timer.IsZero() {
			r.host.Schedule(&s.timer, t.timer)
		}
		if !t.silence.IsZero() {
			r.host.Schedule(&s.silence, t.silence)
		}
		if t.waiting {
			u.waiting[s] = true
		}
		if again, err := s.Freeze(nil); s.leg == nil && !t.anew && (err != nil || !bytes.Equal(again, states[c])) {
			r.t.Fatalf("session %d is another one when it is thawed: %v\n%x\n%x", s.ID, err, again, states[c])
		}
		c.session, c.rules = s, s
	}
	old.Leave()
	r.user = u
	u.Resume()
	for _, c := range r.clients {
		c.h.Later(c.feed)
	}
}

// upgrade has another process take over the pool element's side.
func (s *station) upgrade() {
	old, t := s.e, s.r.t
	t.Helper()
	c := *old.c // a test may have changed it
	c.Instance = token16(0xef)
	e := NewElement(c)
	if err := e.Thaw(old.Freeze(nil)); err != nil {
		t.Fatal(err)
	}
	old.EachLeg(func(g *Leg) {
		i := slices.Index(s.legs, g)
		socket := s.servers[i]
		if g.Socket() != Socket(socket) {
			t.Fatal("another socket")
		}
		leg, err := e.ThawLeg(freezeTwice(t, g.Freeze), socket)
		if err != nil {
			t.Fatalf("leg of session %d: %v", g.Session, err)
		}
		s.legs[i], socket.rules = leg, leg
		if leg.Connecting() {
			s.connecting(leg, socket)
		}
	})
	old.Leave()
	s.e = e
	e.Resume()
	for _, server := range s.servers {
		server.h.Later(server.feed)
	}
}

// freezeTwice freezes, and sees to it that it changes nothing.
func freezeTwice(t tester, freeze func([]byte) ([]byte, error)) []byte {
	t.Helper()
	p, err := freeze(nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := freeze([]byte("before"))
	if err != nil || !bytes.Equal(again, append([]byte("before"), p...)) {
		t.Fatalf("freezing has changed it: %v", err)
	}
	return p
}

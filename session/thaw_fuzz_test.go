package session

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/loop"
)

// frozenState is what plays leave, at some event: the play, and what was frozen of its first session and its leg.
type frozenState struct {
	play         int
	session, leg []byte
}

// frozenStates freezes what there is at some events of all plays.
func frozenStates(t *testing.T, events ...int) (states []frozenState) {
	for i, p := range plays() {
		for _, at := range events {
			p.perform(t, at, func(r *rig) {
				x := frozenState{play: i}
				for _, c := range r.clients {
					if s := c.session; r.user.sessions[s.ID] == s && x.session == nil {
						x.session = freezeTwice(t, s.Freeze)
					}
				}
				for _, s := range r.stations {
					s.e.EachLeg(func(g *Leg) { x.leg = freezeTwice(t, g.Freeze) })
				}
				states = append(states, x)
			})
		}
	}
	return states
}

// dull is a socket that takes everything.
type dull struct{ bytes int }

func (d *dull) Write(bufs ...[]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	d.bytes += n
	return n, nil
}
func (d *dull) CloseWrite() error { return nil }
func (d *dull) Close()            {}
func (d *dull) Reset()            {}
func (d *dull) ReadOn()           {}

// feed gives rules a text, as far as they have room.
func feedRules(l loop.Loop, to local, text string) {
	for room := to.Room(); room > 0 && text != ""; room = to.Room() {
		b := l.Buffers().Get(loop.LargeBuffer)
		n := copy(b.Bytes[:min(room, len(b.Bytes))], text)
		text = text[n:]
		if !to.Take(b, n) {
			b.Drop()
		}
	}
}

// thawAnything thaws a session of a play from bytes that may be anything, and has it go on.
func thawAnything(t *testing.T, play int, p []byte) (taken bool) {
	all := plays()
	r := newRig(t, all[play%len(all)].options(t))
	for _, s := range r.stations {
		s.unread = func() int { return 0 }
	}
	freeze.Sum(p)
	s, err := r.user.ThawSession(p, &dull{})
	if err != nil {
		if !errors.Is(err, ErrFrozen) {
			t.Fatalf("another error: %v", err)
		}
		r.nothingLeft(t)
		return false
	}
	r.user.Resume()
	r.w.RunFor(10 * time.Millisecond)
	if !s.done {
		feedRules(r.host, s, "GET 1\nSET 2\n")
		_ = s.Info()
	}
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.w.RunFor(10 * time.Second)
	if !s.done {
		s.End()
	}
	r.w.RunFor(5 * time.Second)
	r.user.Close()
	return true
}

// thawAnyLeg does the same at an element.
func thawAnyLeg(t *testing.T, play int, p []byte) (taken bool) {
	all := plays()
	r := newRig(t, all[play%len(all)].options(t))
	for _, s := range r.stations {
		s.unread = func() int { return 0 }
	}
	freeze.Sum(p)
	e := r.stations[0].e
	g, err := e.ThawLeg(p, &dull{})
	if err != nil {
		if !errors.Is(err, ErrFrozen) {
			t.Fatalf("another error: %v", err)
		}
		r.nothingLeft(t)
		return false
	}
	e.Resume()
	if !g.over && g.Connecting() {
		g.Connected()
	}
	if !g.over {
		feedRules(r.stations[0].host, g, "re GET 1\n")
		g.Writable()
	}
	r.w.RunFor(time.Second)
	if !g.over {
		g.End()
	}
	r.w.RunFor(2 * time.Minute)
	e.Close()
	return true
}

// nothingLeft: what was not thawed has taken nothing.
func (r *rig) nothingLeft(t *testing.T) {
	if n := r.w.Leaks(); n != 0 || r.user.Count() != 0 {
		t.Fatalf("%d bytes, %d sessions of what was not thawed", n, r.user.Count())
	}
}

// Whatever comes in place of a frozen session or leg: it is refused, or it goes on somehow.
func TestThawAnything(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	taken, tried := 0, 0
	for _, x := range frozenStates(t, 20, 60, 100, 140, 200) {
		for i, p := range [][]byte{x.session, x.leg} {
			for range 20 {
				if p == nil {
					continue
				}
				q := append([]byte{}, p...)
				for range 1 + rnd.IntN(3) {
					q[13+rnd.IntN(len(q)-13)] ^= 1 << rnd.IntN(8)
				}
				thaw := thawAnything
				if i > 0 {
					thaw = thawAnyLeg
				}
				tried++
				if thaw(t, x.play, q) {
					taken++
				}
			}
		}
	}
	t.Logf("%d of %d were taken", taken, tried)
}

func FuzzThawSession(f *testing.F) {
	for _, x := range frozenStates(&testing.T{}, 30, 90, 150) {
		if x.session != nil {
			f.Add(x.play, x.session)
		}
	}
	f.Fuzz(func(t *testing.T, play int, p []byte) { thawAnything(t, play&0xff, append([]byte{}, p...)) })
}

func FuzzThawLeg(f *testing.F) {
	for _, x := range frozenStates(&testing.T{}, 30, 90, 150) {
		if x.leg != nil {
			f.Add(x.play, x.leg)
		}
	}
	f.Fuzz(func(t *testing.T, play int, p []byte) { thawAnyLeg(t, play&0xff, append([]byte{}, p...)) })
}

// What is frozen is refused by a build of another version, cut short, changed by a bit, of another kind or of another protocol.
func TestThawRefuses(t *testing.T) {
	var p, leg []byte
	for _, x := range frozenStates(t, 100) {
		if plays()[x.play].name == "lines" {
			p, leg = x.session, x.leg
		}
	}
	r := newRig(t, options{})
	try := func(what string, q []byte, words string) {
		t.Helper()
		_, err := r.user.ThawSession(q, &dull{})
		if !errors.Is(err, ErrFrozen) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
	}
	change := func(at int, to byte) []byte {
		q := append([]byte{}, p...)
		q[at] = to
		freeze.Sum(q)
		return q
	}
	try("another version", change(4, FreezeVersion+1), "version")
	try("a leg", leg, "kind")
	for n := range p {
		if _, err := r.user.ThawSession(p[:n], &dull{}); !errors.Is(err, ErrFrozen) {
			t.Fatalf("cut at %d of %d: %v", n, len(p), err)
		}
		q := append([]byte{}, p[:n]...)
		freeze.Sum(q)
		if _, err := r.user.ThawSession(q, &dull{}); !errors.Is(err, ErrFrozen) {
			t.Fatalf("cut at %d of %d, with a sum: %v", n, len(p), err)
		}
	}
	q := append([]byte{}, p...)
	q[len(q)/2] ^= 1
	try("a bit", q, "sum")
	if _, err := r.user.ThawSession(p, &dull{}); err != nil {
		t.Fatal(err)
	}
	try("twice", p, "there is a session")
	r.user.Leave()
	r.close()
}

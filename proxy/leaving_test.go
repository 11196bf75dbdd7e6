package proxy

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// A pool_element that is being stopped, or is not configured any more, listens until its last session has left it: a pool user whose
// association is cut meanwhile resumes there. Then it does not.
func TestLeavingElementIsResumedAt(t *testing.T) {
	for what, leave := range map[string]func(*Shard) error{
		"stopped":  func(s *Shard) error { s.leave(); s.StopAccepting(); return nil },
		"reloaded": func(s *Shard) error { c := s.config; c.Elements = nil; return s.goOver(c) },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRegisterRig(t, func(e *Element) { e.Hold = time.Minute; e.Register = nil })
			r.serves(true)
			client := r.client()
			r.world.RunFor(time.Second)
			h, side := r.shard.loop.(*looptest.Host), r.shard.elements[0]
			legs := func(wantLive, wantHeld int) {
				t.Helper()
				if live, held := side.rules.Legs(); live != wantLive || held != wantHeld {
					t.Fatalf("%d legs, and %d out of touch", live, held)
				}
			}
			legs(1, 0)
			var err error
			h.Post(func() { err = leave(r.shard) })
			r.world.RunFor(5 * time.Second)
			legs(1, 0)
			for range 2 {
				h.Post(func() { side.rules.Links(func(a mapping.Association, _ bool, _ int) { a.Abort() }) })
				r.world.RunFor(3 * time.Second)
				legs(1, 0)
			}
			if !r.shard.Busy() || err != nil {
				t.Errorf("it is not busy, %v", err)
			}
			other := r.client() // who is refused, and waits for another element
			r.world.RunFor(time.Second)
			legs(1, 0)
			r.user.Post(func() {})
			for _, c := range []*quiet{client, other} {
				c.Conn.(interface{ Reset() }).Reset()
			}
			r.world.RunFor(5 * time.Second)
			legs(0, 0)
			if what == "stopped" {
				if r.shard.Busy() {
					t.Error("it is busy")
				}
				h.Post(r.shard.Close)
				r.world.RunFor(time.Second)
			}
			probe := &quiet{}
			r.user.Post(func() { probe.Conn = r.user.Dial(h.Addr(7001), probe) })
			r.world.RunFor(time.Second)
			if probe.Conn.Err() == nil {
				t.Error("it still listens")
			}
		})
	}
}

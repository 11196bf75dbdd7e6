package looptest

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// TestSoak throws every fault at three hosts, at any time, and then lets all be well: no byte may be wrong, and no kernel may be left
// waiting for an answer that never comes.
func TestSoak(t *testing.T) {
	want := pattern(4000)
	for seed := range uint64(300) {
		w := NewWorld(seed)
		r := w.Rand()
		w.BufferSize = 1 + r.IntN(3000)
		hosts := []*Host{w.Host("a"), w.Host("b"), w.Host("c")}
		for range 30 {
			w.After(time.Duration(r.IntN(20e6)), fault(w, hosts[r.IntN(3)], hosts[r.IntN(3)], r))
		}
		var all []*party
		for i := range 40 {
			x, y := hosts[r.IntN(3)], hosts[r.IntN(3)]
			w.After(time.Duration(r.IntN(20e6)), func() {
				// An error is expected: the host is dead, or listens already.
				_, _ = x.Listen(x.Addr(80), func(c loop.Conn) loop.Handler { return &party{conn: c, echo: true} })
				p := &party{unsent: want}
				p.conn = x.Dial(y.Addr(80), p)
				if i%2 == 0 {
					p.conn.SetUserTimeout(time.Second)
				}
				all = append(all, p)
			})
		}
		w.RunFor(time.Second)
		for i, h := range hosts {
			h.Thaw()
			w.Heal(h, hosts[(i+1)%3])
			w.Heal(h, h)
			if !h.running {
				h.Restart()
			}
		}
		w.RunFor(time.Minute)
		for _, p := range all {
			if !bytes.HasPrefix(want, p.got) {
				t.Errorf("seed %d: %v: wrong bytes", seed, p.conn)
			}
		}
		settled(t, seed, w)
	}
}

// settled checks that nothing is to happen and nobody waits; then that Kill leaves nothing of a process.
func settled(t *testing.T, seed uint64, w *World) {
	for _, h := range w.hosts {
		for _, c := range h.socks {
			if c.waitsForAck() {
				t.Errorf("seed %d: %v waits for ever", seed, c)
			}
		}
	}
	for _, h := range w.hosts {
		h.Kill()
	}
	w.RunFor(time.Minute)
	for _, h := range w.hosts {
		if h.Conns()+h.Timers()+h.runnable.len() != 0 || !w.Idle() {
			t.Errorf("seed %d: something is left on %s", seed, h.name)
		}
	}
}

func fault(w *World, a, b *Host, r *rand.Rand) func() {
	all := []func(){
		a.Kill, a.Vanish, a.Restart, a.Freeze, a.Thaw, a.Thaw,
		func() { w.Stall(a, b) },
		func() { w.StallOneWay(a, b) },
		func() { w.Heal(a, b) },
		func() { w.Heal(a, b) },
		func() { w.Cut(a, b) },
	}
	return all[r.IntN(len(all))]
}

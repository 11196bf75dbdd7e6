package looptest

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// A clock that goes wrong does so for Now and for timers alike: none goes off early, none later than its clock can tell.
func TestDrift(t *testing.T) {
	w := NewWorld(1)
	w.Calm = true
	for name, c := range map[string]struct {
		ppm   int
		after time.Duration // of the world, for a second of the host
	}{
		"fast":  {10_000, 990_099_010},
		"slow":  {-10_000, 1_010_101_011},
		"right": {0, time.Second},
	} {
		h := w.Host(name)
		h.Drift(c.ppm)
		start, mine := w.Now(), h.Now()
		var at time.Time
		h.Schedule(&loop.Timer{Func: func() {
			at = w.Now()
			if d := h.Now().Sub(mine); d < time.Second || d > time.Second+1 {
				t.Errorf("%s: its own clock shows %v", name, d)
			}
		}}, mine.Add(time.Second))
		w.RunFor(2 * time.Second)
		if d := at.Sub(start); d < c.after-2 || d > c.after+2 {
			t.Errorf("%s: the timer went off after %v, not %v", name, d, c.after)
		}
	}
	h := w.Host("odd")
	h.Drift(-9_973)
	for at := int64(0); at < 100_000; at += 7 {
		if now := h.when(at); h.clock(now) < at || now > 0 && h.clock(now-1) >= at {
			t.Fatalf("%d: when is %d, the clock shows %d, and %d before", at, now, h.clock(now), h.clock(now-1))
		}
	}
}

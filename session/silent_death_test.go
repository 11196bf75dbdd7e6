package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// A pool element's host dies without a word. Its clients are served by another one within Misses intervals and 100 ms, in whatever
// phase of the heartbeats that was, and whatever the association was doing. This file looks at all phases.

// allowed is how long that may take.
func allowed(h mapping.Heartbeat) time.Duration {
	return time.Duration(h.Misses)*h.Interval + 100*time.Millisecond
}

// traffic is what goes on over the association until its peer falls silent.
var traffic = map[string]func(r *rig, c *end){
	"idle":      func(*rig, *end) {},
	"talking":   func(r *rig, c *end) { r.chat(c, 3*time.Millisecond) },
	"sometimes": func(r *rig, c *end) { r.chat(c, 37*time.Millisecond) },
}

// chat has the client ask again and again, for half a second.
func (r *rig) chat(c *end, every time.Duration) {
	for i := range 500 * time.Millisecond / every {
		c.says(fmt.Sprintf("GET chat %d\n", i), false)
		r.w.RunFor(every)
	}
}

// TestSilentDeath is that, with a request that is sent just before the cable is pulled, or only while nobody has noticed that.
func TestSilentDeath(t *testing.T) {
	for what, do := range traffic {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, asked before %v", what, before), func(t *testing.T) {
				const interval = 50 * time.Millisecond
				var took []time.Duration
				for phase := time.Duration(0); phase < interval; phase += time.Millisecond {
					took = append(took, silentDeath(t, mapping.Heartbeat{Interval: interval, Misses: 3}, phase, do, before))
				}
				slices.Sort(took)
				t.Logf("from the cut to the reply: %v, %v, %v", took[0], took[len(took)/2], took[len(took)-1])
			})
		}
	}
	t.Run("defaults", func(t *testing.T) {
		for phase := time.Duration(0); phase < time.Second; phase += 43 * time.Millisecond {
			silentDeath(t, mapping.Heartbeat{Interval: time.Second, Misses: 3}, phase, traffic["idle"], true)
		}
	})
}

// silentDeath pulls the cable in one phase of the heartbeats, and returns how long a request has waited, counted from then on.
func silentDeath(t *testing.T, h mapping.Heartbeat, phase time.Duration, do func(*rig, *end), before bool) time.Duration {
	r := newRig(t, options{elements: 2, beat: h, seed: uint64(phase) + 1})
	for _, s := range r.stations {
		r.w.Delay(r.host, s.host, 100*time.Microsecond, 500*time.Microsecond)
	}
	c := r.client()
	c.says("GET 0\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.RunFor(2 * h.Interval)
	do(r, c)
	r.w.RunFor(phase)
	serving := slices.IndexFunc(r.stations, func(s *station) bool { return len(s.servers) > 0 })
	had := len(c.got)
	if before {
		c.says("GET 1\n", false)
	}
	r.w.Stall(r.host, r.stations[serving].host)
	cut := r.w.Now()
	if !before {
		r.w.RunFor(h.Interval)
		c.says("GET 1\n", false)
	}
	r.until("another element answers", func() bool { return len(c.got) > had })
	took := r.w.Now().Sub(cut)
	if took > allowed(h) {
		t.Errorf("phase %v: answered %v after the cut", phase, took)
	}
	if x := r.records[len(r.records)-1]; x.Kind != KindMoved || x.Detector != "heartbeats" || x.Detect > allowed(h) {
		t.Errorf("phase %v: the record is %+v", phase, x)
	}
	r.w.Heal(r.host, r.stations[serving].host)
	r.close()
	return took
}

// TestSilentDeathIdle is a session that asks for nothing: it is moved within the same time.
func TestSilentDeathIdle(t *testing.T) {
	h := mapping.Heartbeat{Interval: time.Second, Misses: 3}
	r := newRig(t, options{elements: 2, beat: h, priority: true})
	c := r.client()
	c.says("GET 0\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.RunFor(2500 * time.Millisecond)
	r.w.Stall(r.host, r.stations[0].host)
	r.w.RunFor(allowed(h))
	if len(r.stations[1].servers) != 1 || c.session.Info().State != "open" {
		t.Errorf("the session is %s, and the other element has %d", c.session.Info().State, len(r.stations[1].servers))
	}
	r.close()
}

// TestSilentPath is a path on which a new connection works when the old one is given up: nobody is moved.
func TestSilentPath(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true})
	s := r.stations[0]
	r.w.Delay(r.host, s.host, time.Millisecond, 2*time.Millisecond)
	c := r.client()
	c.says("GET 0\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.RunFor(2500 * time.Millisecond)
	r.w.Stall(r.host, s.host)
	c.says("GET 1\n", false)
	r.until("the silence is noticed", func() bool { return r.logged("association lost", "silent") })
	r.w.Heal(r.host, s.host)
	r.until("it is answered", func() bool { return string(c.got) == "re GET 0\nre GET 1\n" })
	r.only(KindResumed)
	r.close()
}

// TestSilenceIsWaitedOut is who would lose by moving: it waits longer for the element to come back.
func TestSilenceIsWaitedOut(t *testing.T) {
	h := mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3}
	r := newRig(t, options{elements: 2, beat: h, priority: true})
	s := r.stations[0]
	c := r.client()
	c.says("GET 0\n", false)
	r.until("it is answered", func() bool { return len(c.got) > 0 })
	r.w.RunFor(time.Second)
	r.w.Stall(r.host, s.host)
	c.says("SET 1\n", false)
	r.w.RunFor(allowed(h) + 500*time.Millisecond)
	r.w.Heal(r.host, s.host)
	r.until("it is answered", func() bool { return string(c.got) == "re GET 0\nre SET 1\n" })
	r.only(KindResumed)
	r.close()
}

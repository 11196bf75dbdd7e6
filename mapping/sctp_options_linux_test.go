package mapping

import (
	"testing"
	"time"
)

// The kernel's times must leave the decision to our heartbeats, and let the other paths be tried before them. Both are counted here for
// a peer of whom nothing comes any more: an outstanding message is sent again on each path, after the least timeout first, then twice
// as long each time.
func TestSCTPTimes(t *testing.T) {
	for _, h := range []Heartbeat{{10 * time.Millisecond, 1}, {10 * time.Millisecond, 100}, {100 * time.Millisecond, 3}, {time.Second, 3},
		{time.Second, 1}, {10 * time.Second, 5}, {time.Hour, 1}, {time.Hour, 100}} {
		p := timesOf(h, false)
		silence, least := h.Interval*time.Duration(h.Misses+1), h.Interval*time.Duration(max(h.Misses, 2))
		failed, early, within := 0, 0, time.Duration(0) // retransmissions of one path
		for timeout := p.min; within+timeout < silence; timeout = min(2*timeout, p.max) {
			within += timeout
			failed++
			if within < least {
				early++
			}
		}
		if 8*failed > int(p.all) {
			t.Errorf("%v: with 8 paths the kernel gives up after %d failures, before %v, in which each may have %d", h, p.all, silence, failed)
		}
		if p.sack >= p.min || p.min > p.initial || p.initial > p.max || p.max > least/2 {
			t.Errorf("%v: %+v", h, p)
		}
		if early < 2 && silence > 50*time.Millisecond {
			t.Errorf("%v: a message is sent again %d times within %v", h, early, least)
		}
	}
}

// With native peers the kernel decides: on time, whether it has something to send or not.
func TestSCTPTimesOfNativePeers(t *testing.T) {
	for _, h := range []Heartbeat{{500 * time.Millisecond, 3}, {time.Second, 3}, {2 * time.Second, 1}, {10 * time.Second, 5}} {
		p := timesOf(h, true)
		silence := h.Interval * time.Duration(h.Misses+1)
		found := time.Duration(0) // more than all retransmissions have failed
		for failed, timeout := 0, p.min; failed <= int(p.all); failed++ {
			found += timeout
			timeout = min(2*timeout, p.max)
		}
		if found > silence || p.min < 250*time.Millisecond || p.initial < p.min || p.initial > p.max {
			t.Errorf("%v: found after %v, not within %v: %+v", h, found, silence, p)
		}
		if idle := (h.Interval + p.min) * time.Duration(int(p.all)+1); idle > silence*3/2 {
			t.Errorf("%v: found after %v where nothing is sent: %+v", h, idle, p)
		}
	}
}

package heartbeat

import (
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// step is one thing that happens in a table test: something is received, or Next is called and must say so.
type step struct {
	ms       int
	received bool
	answered int // if not 0: an answer to the heartbeat sent that many ms ago
	want     Action
	next     int // ms of the next call; ignored after GiveUp
}

func TestNext(t *testing.T) {
	tests := map[string]struct {
		misses int
		steps  []step
	}{
		"silent from the start": {3, []step{
			{ms: 0, want: Nothing, next: 1000},
			{ms: 1000, want: Speak, next: 2000},
			{ms: 2000, want: Speak, next: 3000},
			{ms: 3000, want: Speak, next: 4000},
			{ms: 3999, want: Nothing, next: 4000},
			{ms: 4000, want: GiveUp},
		}},
		"a talker is not asked": {1, []step{
			{ms: 900, received: true},
			{ms: 1000, want: Nothing, next: 1900},
			{ms: 1800, received: true},
			{ms: 1900, want: Nothing, next: 2800},
		}},
		"an answer begins anew": {2, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 2000, want: Speak, next: 3000},
			{ms: 2500, answered: 500},
			{ms: 3000, want: Nothing, next: 3500},
			{ms: 3500, want: Speak, next: 4500},
			{ms: 4500, want: Speak, next: 5500},
			{ms: 5500, want: GiveUp},
		}},
		"other chunks count as an answer": {1, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 1999, received: true},
			{ms: 2000, want: Nothing, next: 2999},
		}},
		"our own sleep is not held against the peer": {2, []step{
			{ms: 60_000, want: Speak, next: 61_000},
			{ms: 61_000, want: Speak, next: 62_000},
			{ms: 62_000, want: GiveUp},
		}},
		"no misses counts as one": {0, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 2000, want: GiveUp},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := Monitor{Interval: time.Second, Misses: tt.misses}
			m.Start(at(0))
			for _, s := range tt.steps {
				switch {
				case s.received:
					m.Received(at(s.ms))
					continue
				case s.answered != 0:
					m.Answered(at(s.ms), at(s.ms-s.answered))
					continue
				}
				do, next := m.Next(at(s.ms))
				if do != s.want {
					t.Fatalf("at %d ms: %v, want %v", s.ms, do, s.want)
				}
				if do != GiveUp && !next.Equal(at(s.next)) {
					t.Fatalf("at %d ms: next call after %v, want %d ms", s.ms, next.Sub(epoch), s.next)
				}
			}
		})
	}
}

// TestBound drives the monitor as a timer would, against peers that fall silent at any time, with any answer delay: they must be
// given up within the promised bounds, and not while they live.
func TestBound(t *testing.T) {
	const interval = time.Second
	for misses := 1; misses <= 4; misses++ {
		for death := 0; death <= 5000; death += 37 {
			for _, delay := range []int{0, 1, 499, 999} {
				last, found := live(misses, at(death), time.Duration(delay)*time.Millisecond)
				if late := found.Sub(last); late > interval*time.Duration(misses+1) {
					t.Fatalf("misses %d, death %d, delay %d: found %v after its last sign of life", misses, death, delay, late)
				}
				if early := found.Sub(at(death)); early < interval*time.Duration(misses-1) {
					t.Fatalf("misses %d, death %d, delay %d: found %v after its death", misses, death, delay, early)
				}
			}
		}
	}
}

// live simulates a peer that answers heartbeats after delay until its death, and says nothing else. It returns when the peer
// was last heard and when it was given up.
func live(misses int, death time.Time, delay time.Duration) (last, found time.Time) {
	m := Monitor{Interval: time.Second, Misses: misses}
	m.Start(epoch)
	last = epoch
	var sent, answer time.Time
	now := epoch
	for {
		do, next := m.Next(now)
		if do == GiveUp {
			return last, now
		}
		if do == Speak && answer.IsZero() {
			sent, answer = now, now.Add(delay)
		}
		if !answer.IsZero() && answer.Before(next) {
			if answer.Before(death) {
				m.Answered(answer, sent)
				last = answer
			}
			answer = time.Time{}
		}
		now = next
	}
}

func TestOff(t *testing.T) {
	m := Monitor{}
	m.Start(at(0))
	if do, next := m.Next(at(1 << 20)); do != Nothing || !next.IsZero() {
		t.Fatalf("an Interval of 0 asked for %v at %v", do, next)
	}
}

func TestRTT(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		samples             []time.Duration
		rtt, variation, rto time.Duration
	}{
		"none":              {nil, 0, 0, 0},
		"first":             {[]time.Duration{100 * ms}, 100 * ms, 50 * ms, 300 * ms},
		"second the same":   {[]time.Duration{100 * ms, 100 * ms}, 100 * ms, 37500 * time.Microsecond, 250 * ms},
		"second the double": {[]time.Duration{80 * ms, 160 * ms}, 90 * ms, 50 * ms, 290 * ms},
		"granularity":       {[]time.Duration{0}, 0, 0, ms},
		"ceiling":           {[]time.Duration{90 * time.Second}, 90 * time.Second, 45 * time.Second, 60 * time.Second},
		"clock set back":    {[]time.Duration{-ms}, 0, 0, ms},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := Monitor{Interval: time.Second, Misses: 1}
			m.Start(at(0))
			for _, r := range tt.samples {
				m.Answered(at(0).Add(r), at(0))
			}
			rtt, variation, rto := m.RTT()
			if rtt != tt.rtt || variation != tt.variation || rto != tt.rto {
				t.Fatalf("RTT %v, variation %v, RTO %v; want %v, %v, %v", rtt, variation, rto, tt.rtt, tt.variation, tt.rto)
			}
		})
	}
}

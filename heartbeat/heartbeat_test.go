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
		"a talker is asked once": {2, []step{
			{ms: 900, received: true},
			{ms: 1000, want: Speak, next: 1900}, // for the round-trip time
			{ms: 1001, answered: 1},
			{ms: 1800, received: true},
			{ms: 1900, want: Nothing, next: 2800},
			{ms: 2700, received: true},
			{ms: 2800, want: Nothing, next: 3700},
			{ms: 3700, want: Speak, next: 4700},
			{ms: 4700, want: Speak, next: 4730},
			{ms: 4730, want: GiveUp},
		}},
		"an answer begins anew": {2, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 2000, want: Speak, next: 3000},
			{ms: 2500, answered: 500},
			{ms: 3000, want: Nothing, next: 3500},
			{ms: 3500, want: Speak, next: 4500},
			{ms: 4500, want: Speak, next: 5000}, // the round trip may take 1500 ms
			{ms: 5000, want: GiveUp},
		}},
		"the last one is not waited for long": {3, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 1001, answered: 1},
			{ms: 2001, want: Speak, next: 3001},
			{ms: 3001, want: Speak, next: 4001},
			{ms: 4001, want: Speak, next: 4031},
			{ms: 4030, want: Nothing, next: 4031},
			{ms: 4031, want: GiveUp},
		}},
		"who is late for the last answer asks again": {2, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 1001, answered: 1},
			{ms: 2001, want: Speak, next: 3001},
			{ms: 3001, want: Speak, next: 3031},
			{ms: 3042, want: Speak, next: 3072}, // 11 ms late
			{ms: 3083, want: Speak, next: 3113},
			{ms: 3123, want: GiveUp},
		}},
		"who is always late asks an interval longer": {2, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 1001, answered: 1},
			{ms: 2001, want: Speak, next: 3001},
			{ms: 3001, want: Speak, next: 3031},
			{ms: 3500, want: Speak, next: 3530},
			{ms: 4001, want: Speak, next: 4031},
			{ms: 4100, want: GiveUp},
		}},
		"who stood still asks again, whatever was unanswered before": {1, []step{
			{ms: 1000, want: Speak, next: 2000},
			{ms: 60_000, want: Speak, next: 61_000},
			{ms: 61_100, want: GiveUp},
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
			for _, ms := range []int{0, 1, 499, 999} {
				delay := time.Duration(ms) * time.Millisecond
				last, found := live(misses, at(death), delay)
				most := interval * time.Duration(misses+1)
				if misses > 1 && last != epoch && ms < 2 {
					most = interval*time.Duration(misses) + lastWait
				}
				if late := found.Sub(last); late > most {
					t.Fatalf("misses %d, death %d, delay %v: found %v after its last sign of life", misses, death, delay, late)
				}
				if early := found.Sub(last); early < interval*time.Duration(misses)+lastWait {
					t.Fatalf("misses %d, death %d, delay %v: found %v after its last sign of life", misses, death, delay, early)
				}
			}
		}
	}
}

// TestBoundOfTalker is the bound for a peer that always had something to say until it died, and so was never asked but once.
func TestBoundOfTalker(t *testing.T) {
	const interval, every = 50 * time.Millisecond, 7 * time.Millisecond
	for death := 2 * interval; death < 6*interval; death += time.Millisecond {
		m := Monitor{Interval: interval, Misses: 3}
		m.Start(epoch)
		asked, last := 0, time.Duration(0)
		_, next := m.Next(epoch)
		for now := time.Duration(0); ; now += time.Millisecond {
			if now <= death && now%every == 0 {
				m.Received(epoch.Add(now))
				last = now
			}
			if epoch.Add(now).Before(next) {
				continue
			}
			var do Action
			do, next = m.Next(epoch.Add(now))
			if do == Speak && now < death {
				asked++
				m.Answered(epoch.Add(now), epoch.Add(now))
				last = now
			}
			if do == GiveUp {
				if asked != 1 || now-last > 3*interval+lastWait || now-last < 3*interval {
					t.Errorf("death at %v: given up at %v, last heard at %v, asked %d times while it lived", death, now, last, asked)
				}
				break
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

package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Random Schedules, Cancels and Fires agree with a plain map of when each timer is due.
func TestTimersAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	base := time.Unix(1000, 0)
	var heap Timers
	due := map[*Timer]time.Time{}
	now := base
	var last time.Time
	timers := make([]*Timer, 50)
	for i := range timers {
		timer := &Timer{}
		timer.Func = func() {
			at, armed := due[timer]
			if !armed || at.After(now) || at.Before(last) {
				t.Fatalf("fired at %v: due %v (%v), the one before was due %v", now, at, armed, last)
			}
			last = at
			delete(due, timer)
		}
		timers[i] = timer
	}
	for range 20_000 {
		timer := timers[rng.IntN(len(timers))]
		switch rng.IntN(4) {
		case 0, 1:
			at := now.Add(time.Duration(rng.IntN(100)))
			heap.Schedule(timer, at)
			due[timer] = at
		case 2:
			heap.Cancel(timer)
			delete(due, timer)
		case 3:
			now = now.Add(time.Duration(rng.IntN(20)))
			last = time.Time{}
			heap.Fire(now)
		}
		checkTimers(t, &heap, due, timers, now)
	}
}

func checkTimers(t *testing.T, heap *Timers, due map[*Timer]time.Time, timers []*Timer, now time.Time) {
	t.Helper()
	var earliest time.Time
	for _, timer := range timers {
		at, armed := due[timer]
		if timer.Armed() != armed || armed && !timer.At().Equal(at) {
			t.Fatalf("armed %v at %v, want %v at %v", timer.Armed(), timer.At(), armed, at)
		}
		if armed && (earliest.IsZero() || at.Before(earliest)) {
			earliest = at
		}
	}
	if next, ok := heap.Next(); ok != (len(due) > 0) || ok && !next.Equal(earliest) {
		t.Fatalf("next %v (%v), want %v of %d", next, ok, earliest, len(due))
	}
}

// What a timer's function makes due is fired by the same Fire.
func TestFireRunsWhatBecomesDue(t *testing.T) {
	var heap Timers
	now := time.Unix(1000, 0)
	count := 0
	var timer Timer
	timer.Func = func() {
		if count++; count < 3 {
			heap.Schedule(&timer, now)
		}
	}
	heap.Schedule(&timer, now)
	heap.Fire(now)
	if count != 3 || timer.Armed() {
		t.Errorf("fired %d times, armed %v", count, timer.Armed())
	}
}

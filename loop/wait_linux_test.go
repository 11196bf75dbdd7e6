package loop

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// waiting makes so many Epolls that run and never wait longer than the short wait, which keeps their processors: a timer turns each of
// them every 2 ms.
func waiting(t *testing.T, loops int) []*Epoll {
	var all []*Epoll
	for range loops {
		e, err := NewEpoll()
		if err != nil {
			t.Fatal(err)
		}
		timer := &Timer{}
		timer.Func = func() { e.Schedule(timer, e.Now().Add(2*time.Millisecond)) }
		timer.Func()
		go e.Run()
		t.Cleanup(e.Stop)
		all = append(all, e)
	}
	return all
}

// median is the least of three medians of the times that f takes: a machine is busy for a while, a loop that holds others up does it
// always.
func median(f func()) time.Duration {
	var medians []time.Duration
	for range 3 {
		var took []time.Duration
		for range 41 {
			start := time.Now()
			f()
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		medians = append(medians, took[len(took)/2])
	}
	return slices.Min(medians)
}

// A loop that waits in a RawSyscall, of which the Go scheduler knows nothing, hears of mail, and lets the garbage collector stop it.
func TestShortWaitHoldsNobodyUp(t *testing.T) {
	const limit = shortWait * time.Millisecond
	e := waiting(t, 1)[0]
	ran := make(chan struct{})
	post := func() { ran <- struct{}{} }
	if d := median(func() { e.Post(post); <-ran }); d > limit {
		t.Errorf("mail was run after %v (median), expected at most %v", d, limit)
	}
	if d := median(runtime.GC); d > 2*limit {
		t.Errorf("a garbage collection took %v (median), expected at most %v", d, 2*limit)
	}
}

// Where there would be as many loops as processors other goroutines get one as well.
func TestShortWaitOfAllProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	waiting(t, 4)
	const limit = 2 * shortWait * time.Millisecond // without a processor of their own it would be 20 ms, and 80
	if d := median(func() { <-time.After(time.Millisecond) }); d > limit {
		t.Errorf("a goroutine that slept for 1 ms went on after %v (median), expected at most %v", d, limit)
	}
	if d := median(runtime.GC); d > limit {
		t.Errorf("a garbage collection took %v (median), expected at most %v", d, limit)
	}
}

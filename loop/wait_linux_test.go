package loop

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// waiting makes so many Epolls that run and never wait longer than the short wait, which keeps their processors: a timer turns each of
// them every 2 ms. Stopping ends them.
func waiting(t *testing.T, loops int) (all []*Epoll, stop func()) {
	for range loops {
		e, err := NewEpoll()
		if err != nil {
			t.Fatal(err)
		}
		timer := &Timer{}
		timer.Func = func() { e.Schedule(timer, e.Now().Add(2*time.Millisecond)) }
		timer.Func()
		go e.Run()
		all = append(all, e)
	}
	return all, func() {
		for _, e := range all {
			e.Stop()
		}
	}
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

// notHeldUp measures f beside so many loops that wait. It must not take longer than the limit, and twice as long as something like it takes
// without them: on a machine where others want the processors, too, everybody waits for his turn. Who is slow is measured again, as long
// as patience lasts.
func notHeldUp(t *testing.T, what string, loops int, limit time.Duration, without func(), f func(*Epoll)) {
	t.Helper()
	for began := time.Now(); ; {
		alone := median(without)
		all, stop := waiting(t, loops)
		d := median(func() { f(all[0]) })
		stop()
		if d <= limit+2*alone {
			return
		}
		if time.Since(began) > patience {
			t.Errorf("%s after %v (median), expected at most %v; without loops %v", what, d, limit, alone)
			return
		}
	}
}

func sleepOneMillisecond() { <-time.After(time.Millisecond) }

// A loop that waits in a RawSyscall, of which the Go scheduler knows nothing, hears of mail, and lets the garbage collector stop it.
func TestShortWaitHoldsNobodyUp(t *testing.T) {
	const limit = shortWait * time.Millisecond
	ran := make(chan struct{})
	post := func() { ran <- struct{}{} }
	notHeldUp(t, "mail was run", 1, limit, sleepOneMillisecond, func(e *Epoll) { e.Post(post); <-ran })
	notHeldUp(t, "a garbage collection ended", 1, 2*limit, runtime.GC, func(*Epoll) { runtime.GC() })
}

// Where there would be as many loops as processors other goroutines get one as well.
func TestShortWaitOfAllProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const limit = 2 * shortWait * time.Millisecond // without a processor of their own it would be 20 ms, and 80
	notHeldUp(t, "a goroutine that slept for 1 ms went on", 4, limit, sleepOneMillisecond, func(*Epoll) { sleepOneMillisecond() })
	notHeldUp(t, "a garbage collection ended", 4, limit, runtime.GC, func(*Epoll) { runtime.GC() })
}

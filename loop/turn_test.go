package loop

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTimersOnTheLoop(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		var order []string
		done := make(chan struct{})
		w.do(func() {
			add := func(name string) *Timer { return &Timer{Func: func() { order = append(order, name) }} }
			now := w.Now()
			never, moved := add("never"), add("moved")
			w.Schedule(never, now.Add(2*time.Millisecond))
			w.Schedule(moved, now.Add(time.Hour))
			w.Schedule(&Timer{Func: func() { close(done) }}, now.Add(20*time.Millisecond))
			w.Schedule(add("b"), now.Add(10*time.Millisecond))
			w.Schedule(&Timer{Func: func() {
				order = append(order, "a")
				if w.Now().Before(now.Add(5 * time.Millisecond)) {
					w.Error("a timer was early")
				}
			}}, now.Add(5*time.Millisecond))
			w.Schedule(moved, now.Add(15*time.Millisecond))
			w.Cancel(never)
			w.Cancel(never)
		})
		w.receive(done, "the last timer")
		w.do(func() {
			if got := strings.Join(order, " "); got != "a b moved" {
				w.Errorf("order: %s", got)
			}
		})
	})
}

func TestPostFromMany(t *testing.T) {
	const goroutines, each = 8, 2000
	onEveryLoop(t, func(w *world) {
		count := 0 // the loop's own: the race detector watches
		var last [goroutines]int
		var posting sync.WaitGroup
		for g := range goroutines {
			posting.Go(func() {
				for i := 1; i <= each; i++ {
					w.Post(func() {
						if last[g] != i-1 {
							w.Errorf("goroutine %d: %d came after %d", g, i, last[g])
						}
						last[g] = i
						count++
					})
				}
			})
		}
		posting.Wait()
		w.do(func() {
			if count != goroutines*each {
				w.Errorf("%d of %d ran", count, goroutines*each)
			}
		})
	})
}

func TestLater(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		var order []int
		var turn time.Time
		w.do(func() {
			turn = w.Now()
			w.Later(func() {
				order = append(order, 2)
				w.Later(func() {
					order = append(order, 4)
					if w.Now() != turn {
						w.Error("Later ran in another turn")
					}
				})
			})
			w.Later(func() { order = append(order, 3) })
			order = append(order, 1)
		})
		w.do(func() {
			if !slices.Equal(order, []int{1, 2, 3, 4}) {
				w.Errorf("order: %v", order)
			}
		})
	})
}

func TestStopClosesEverything(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		dialed, _ := w.pair()
		addr := w.listen(func(c Conn) Handler { return handler(func(Event) {}) })
		client, err := net.Dial("tcp", addr.String())
		if err != nil {
			w.Fatal(err)
		}
		defer client.Close()
		var ran atomic.Bool
		w.Post(func() { ran.Store(true) })
		var stopping sync.WaitGroup
		for range 3 {
			stopping.Go(w.Stop)
		}
		stopping.Wait()
		w.receive(w.ran, "Run to return")
		if !ran.Load() {
			w.Error("what was posted before Stop did not run")
		}
		if w.Post(func() { w.Error("ran after Stop") }) {
			w.Error("Post after Stop was told true")
		}
		client.SetDeadline(time.Now().Add(patience))
		if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			w.Errorf("a client of a stopped loop: %v", err)
		}
		if late, err := net.Dial("tcp", addr.String()); err == nil {
			late.Close()
			w.Error("a stopped loop still listens")
		}
		if _, err := dialed.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
			w.Errorf("read after Stop: %v", err)
		}
		if c := w.Dial(addr, handler(func(Event) {})); !errors.Is(c.Err(), ErrClosed) {
			w.Errorf("dial after Stop: %v", c.Err())
		}
		if _, err := w.Listen(loopback, nil); !errors.Is(err, ErrClosed) {
			w.Errorf("listen after Stop: %v", err)
		}
	})
}

func TestStopFromWithin(t *testing.T) {
	onEveryLoop(t, func(w *world) {
		w.do(w.Stop)
		w.receive(w.ran, "Run to return")
	})
}

func TestStopWithoutRun(t *testing.T) {
	for name, open := range everyLoop {
		r, err := open()
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := r.Listen(loopback, func(Conn) Handler { return nil }); err != nil {
			t.Error(name, err)
		}
		r.Stop()
		r.Run() // returns at once
		r.Stop()
	}
}

func TestPanicGoesThrough(t *testing.T) {
	for name, open := range everyLoop {
		r, err := open()
		if err != nil {
			t.Fatal(name, err)
		}
		r.Post(func() { panic("a handler's") })
		func() {
			defer func() {
				if p := recover(); p != "a handler's" {
					t.Errorf("%s: recovered %v", name, p)
				}
			}()
			r.Run()
		}()
		r.Stop()
	}
}

//go:build linux

package load

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// herdSize is how many sessions lose their element at once (POOLPROXY_LOAD_HERD).
func herdSize() int {
	if n, err := strconv.Atoi(os.Getenv("POOLPROXY_LOAD_HERD")); err == nil {
		return n
	}
	return 10000
}

// TestHerd has ten thousand sessions lose their element in one moment: all are served again, and the next server's backlog, 128, never
// overflows, be it fast or slow, before a pool_element or without one.
func TestHerd(t *testing.T) {
	needs(t)
	n := herdSize()
	slow := []string{"-each", "300us"} // it takes so long to accept one
	for _, x := range []struct {
		name string
		shape
		long bool // only if figures are wanted
	}{
		{name: "tcp", shape: shape{mapping: "tcp"}},
		{name: "none", shape: shape{mapping: "none", users: 2}, long: true}, // here a session takes two descriptors
		{name: "tcp slow server", shape: shape{mapping: "tcp", server: slow}, long: true},
		{name: "none slow server", shape: shape{mapping: "none", users: 2, server: slow}},
	} {
		if !x.long || *write {
			t.Run(x.name, func(t *testing.T) { herd(t, x.shape, n) })
		}
	}
}

// herd has n sessions at the first of two elements, and kills that. Beside them new clients come.
func herd(t *testing.T, s shape, n int) {
	s.elements, s.policy, s.user = 2, "priority", "failover { deadline = \"60s\" }"
	w := newWorld(t, s)
	c, err := gather(w.doors(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	first, second := w.places[0], w.places[1]
	if by := c.by(); by["e1"] != n {
		t.Fatalf("they are at %v", by)
	}
	overflows, drops := kernel(t, "ListenOverflows"), kernel(t, "ListenDrops")
	_, before := w.users[0].resident()
	fresh := make(chan []time.Duration)
	killed := time.Now()
	first.die()
	go func() { fresh <- newcomers(t, w.doors()) }()
	if err := c.round(killed); err != nil {
		t.Error(err)
	}
	times := c.times()
	came := <-fresh
	if by := c.by(); by["e2"] != n {
		t.Errorf("they have come to %v", by)
	}
	waitFor(t, "the server to tell of all", func() bool { return second.told(t).Accepted >= int64(n) })
	told := second.told(t)
	tell(t, "sessions", float64(n), "")
	tell(t, "served again: half of them", share(times, .5).Seconds(), "s")
	tell(t, "served again: 99 of 100", share(times, .99).Seconds(), "s")
	tell(t, "served again: the last", times[len(times)-1].Seconds(), "s")
	tell(t, "new clients meanwhile, served within: half of them", share(came, .5).Seconds(), "s")
	tell(t, "new clients meanwhile, served within: the last", came[len(came)-1].Seconds(), "s")
	tell(t, "accepted by the new element's server", float64(told.Accepted)/told.Last.Sub(killed).Seconds(), "1/s")
	tell(t, "accepted at most within 100 ms", float64(told.Peak), "")
	tell(t, "connects dropped by its kernel", float64(kernel(t, "ListenOverflows")-overflows), "")
	peak, _ := w.users[0].resident()
	tell(t, "memory of the pool_user before", float64(before)/mib, "MiB")
	tell(t, "memory of the pool_user at most", float64(peak)/mib, "MiB")
	if second.sidecar != nil {
		peak, _ := second.sidecar.resident()
		tell(t, "memory of the new pool_element at most", float64(peak)/mib, "MiB")
	}
	if x := kernel(t, "ListenOverflows") - overflows + kernel(t, "ListenDrops") - drops; x > 0 {
		t.Errorf("%d connects were dropped: the server's backlog was overrun", x)
	}
}

// newcomers has clients come, ten a tick, for half a second, and tells how long each has waited for its first answer.
func newcomers(t *testing.T, doors []string) (took []time.Duration) {
	var all []*member
	var wait sync.WaitGroup
	for range 5 {
		for range 10 {
			m := &member{id: 1_000_000 + len(all)}
			all = append(all, m)
			wait.Go(func() {
				begun := time.Now()
				if m.err = m.open(doors[m.id%len(doors)]); m.err == nil {
					m.took = time.Since(begun)
					m.conn.Close()
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // a tick
	}
	wait.Wait()
	c := crowd{members: all}
	if err := c.failed(); err != nil {
		t.Error(err)
	}
	return c.times()
}

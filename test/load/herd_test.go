//go:build linux

package load

import (
	"os"
	"strconv"
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

// TestHerd has many sessions lose their element in one moment.
func TestHerd(t *testing.T) {
	needs(t)
	n := herdSize()
	for _, x := range []struct {
		name string
		shape
	}{
		{"tcp", shape{mapping: "tcp"}},
		{"none", shape{mapping: "none", users: 2}}, // here a session takes two descriptors
		{"slow", shape{mapping: "tcp", server: []string{"-each", "300us"}}},
		{"slownone", shape{mapping: "none", users: 2, server: []string{"-each", "300us"}}},
	} {
		t.Run(x.name, func(t *testing.T) { herd(t, x.shape, n) })
	}
}

// herd has n sessions at the first of two elements, and kills that.
func herd(t *testing.T, s shape, n int) {
	s.elements, s.policy, s.user = 2, "priority", "failover { deadline = \"60s\" }"
	w := newWorld(t, s)
	begun := time.Now()
	c, err := gather(w.doors(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	t.Logf("%d sessions in %v, by server %v", n, time.Since(begun).Round(time.Millisecond), c.by())
	overflows, drops := kernel(t, "ListenOverflows"), kernel(t, "ListenDrops")
	first, second := w.places[0], w.places[1]
	before := second.told(t)
	_, rssBefore := w.users[0].resident()
	killed := time.Now()
	first.die()
	if err := c.round(killed); err != nil {
		t.Error(err)
	}
	times := c.times()
	time.Sleep(250 * time.Millisecond)
	after := second.told(t)
	peak, _ := w.users[0].resident()
	took := after.Last.Sub(killed).Seconds()
	epeak := int64(0)
	if second.sidecar != nil {
		epeak, _ = second.sidecar.resident()
	}
	moved := after.Accepted - before.Accepted
	t.Logf("moved %d: p50 %v, p99 %v, last %v; accepted %.0f/s, at most %d in 100 ms; overflows %d, drops %d; resident: user %d -> %d MiB, element %d MiB; by %v",
		moved, share(times, .5).Round(time.Millisecond), share(times, .99).Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond),
		float64(moved)/took, after.Peak, kernel(t, "ListenOverflows")-overflows, kernel(t, "ListenDrops")-drops,
		rssBefore>>20, peak>>20, epeak>>20, c.by())
}

package pool

import (
	"testing"
	"time"
)

// A choice is made for each session, under a lock that shards share: it allocates nothing.
func TestChoicesAllocateNothing(t *testing.T) {
	for _, policy := range Standard() {
		p := sized(policy, 100)
		w := Wish{After: "e3", Not: func(name string) bool { return name == "e7" }}
		if n := testing.AllocsPerRun(100, func() { p.ChooseFor(start, w) }); n != 0 {
			t.Errorf("%v: %v allocations", policy, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, policy := range Standard() {
		b.Run(policy.String(), func(b *testing.B) {
			p := sized(policy, 1000)
			for now := start; b.Loop(); now = now.Add(time.Microsecond) {
				p.Choose(now)
			}
		})
	}
}

package proxy

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// Shards are opened while those that are open have too much to do, one at a time, and closed again when that is over; not by
// what the process did before it was first asked.
func TestPlacesAdapt(t *testing.T) {
	p := newPlaces(3, true)
	now, spent := time.Unix(1000, 0), 100*time.Hour
	p.adapt(now, spent)
	if p.open != 1 {
		t.Fatalf("at the start %d are open", p.open)
	}
	for i, step := range []struct {
		use  float64 // processors
		open int
	}{{0.7, 1}, {0.8, 2}, {1.4, 2}, {0.6, 2}, {1.6, 3}, {3, 3}, {1.2, 3}, {1, 2}, {0.5, 1}, {0, 1}} {
		now = now.Add(2 * time.Second)
		spent += time.Duration(step.use * float64(2*time.Second))
		p.adapt(now, spent)
		if p.open != step.open {
			t.Errorf("step %d: %d are open, not %d", i, p.open, step.open)
		}
	}
}

// Sessions go to the shard with the fewest of those that are open: to the first only until there are many, to all if so many were asked for.
func TestPlacesChoose(t *testing.T) {
	counted := func(c Config, n int) (counts [3]int) {
		p := newSpread(c, make([]loop.Loop, 3), random)
		now := time.Unix(1000, 0)
		p.places.looked = now.Add(time.Hour) // what this process does is nothing to this
		for range n {
			at := p.choose(now)
			p.loads[at].sessions.Add(1)
			counts[at]++
		}
		return counts
	}
	if got := counted(Config{}, crowd); got != [3]int{crowd, 0, 0} {
		t.Errorf("with one open: %v", got)
	}
	if got := counted(Config{}, 2*crowd); got != [3]int{crowd, crowd, 0} {
		t.Errorf("a crowd: %v", got)
	}
	if got := counted(Config{}, 9*crowd); got != [3]int{3 * crowd, 3 * crowd, 3 * crowd} {
		t.Errorf("three crowds: %v", got)
	}
	if got := counted(Config{Limits: Limits{Shards: 3}}, 10); got != [3]int{4, 3, 3} {
		t.Errorf("with all open: %v", got)
	}
}

// There are fewer shards where the limit of memory would not do for more.
func TestShardsFollowMemory(t *testing.T) {
	for memory, want := range map[int64]int{0: 8, 1 << 30: 8, 8 << 20: 8, 3<<20 + 1: 3, 1 << 20: 1, 1000: 1} {
		if got := shards(Config{Limits: Limits{Shards: 8, Memory: memory}}); got != want {
			t.Errorf("%d bytes: %d shards, not %d", memory, got, want)
		}
	}
	if got := shards(Config{Limits: Limits{Shards: 1000}}); got != MaxShards {
		t.Errorf("%d shards", got)
	}
	if got := shards(Config{}); got < 1 || got > MaxShards {
		t.Errorf("%d shards", got)
	}
}

package proxy

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// chaosBook has the disturbances of all shards. It may be used from any goroutine.
type chaosBook struct {
	mu     sync.Mutex
	last   uint64 // the number of the last one
	done   uint64
	active []*chaosEntry // oldest first

	stopped atomic.Uint64 // how often all were ended
}

// chaosEntry is one that goes on.
type chaosEntry struct {
	Disturbance
	parts int // of shards, that are not over
}

// begin writes one down that has so many parts, and gives it its name.
func (b *chaosBook) begin(d Disturbance, parts int) (Disturbance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.active) >= MostChaos {
		return d, fmt.Errorf("%w: %d disturbances are active, and more are not taken: wait, or end some", ErrChaosNothing, len(b.active))
	}
	b.last++
	d.ID = fmt.Sprint("c", b.last)
	b.active = append(b.active, &chaosEntry{d, parts})
	return d, nil
}

// partOver notes that a shard has nothing of it any more. It reports whether nobody has.
func (b *chaosBook) partOver(id string) (d Disturbance, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.active, func(e *chaosEntry) bool { return e.ID == id })
	if i < 0 {
		return d, false
	}
	e := b.active[i]
	if e.parts--; e.parts > 0 {
		return d, false
	}
	b.active = slices.Delete(b.active, i, i+1)
	b.done++
	return e.Disturbance, true
}

func (b *chaosBook) has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.active, func(e *chaosEntry) bool { return e.ID == id })
}

// list tells which go on, and how many are over.
func (b *chaosBook) list() (active []Disturbance, done uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	active = []Disturbance{}
	for _, e := range b.active {
		active = append(active, e.Disturbance)
	}
	return active, b.done
}

package proxy

import "time"

// places says which shard a new session goes to: the one with the fewest sessions among those that are open. It belongs to the first
// shard.
//
// Where the number of shards was not said, only the first is open at first. One association then carries all sessions, and one write
// many of their messages: on the 2-core machine of docs/performance.md a request of 128 bytes over two shards cost 1.4 times the CPU
// of one over a single shard, which was faster besides. Another shard is opened when those that are open have as much to do as they
// can, or a great many sessions. A session stays where it is.
type places struct {
	count  int  // of shards
	open   int  // how many get sessions
	fixed  bool // that does not change
	next   int  // where it is looked first for one with few sessions
	looked time.Time
	spent  time.Duration // the process's CPU time when it was last looked at
}

const (
	// busyShare is the part of a processor that the process uses for each open shard when another is opened: a loop that uses all of
	// one has too much to do already. When those that would remain had less than restShare of that, one is closed to new sessions.
	busyShare = 0.75
	restShare = 0.75

	// busyOver is the least time over which that is measured: less is noise.
	busyOver = time.Second

	// crowd is how many sessions a shard has when another is opened, whatever they do: they may have come at once, and be busy later.
	crowd = 1000
)

// newPlaces makes the places of count shards; adapt: they are opened as they are needed.
func newPlaces(count int, adapt bool) places {
	if adapt {
		return places{count: count, open: 1}
	}
	return places{count: count, open: count, fixed: true}
}

// choose returns the shard for a new session: of those that are open, the one with the fewest; among several the turn goes round.
func (p *spread) choose(now time.Time) int {
	if !p.places.fixed && now.Sub(p.places.looked) >= busyOver {
		p.places.adapt(now, processTime())
	}
	open := min(max(p.places.open, 1+int(p.sessions()/crowd)), len(p.loads))
	best := p.places.next % open
	for i := range open {
		if at := (p.places.next + i) % open; p.loads[at].sessions.Load() < p.loads[best].sessions.Load() {
			best = at
		}
	}
	p.places.next = best + 1
	return best
}

// adapt opens a shard, or closes one to new sessions, by the CPU time that the process has spent until now.
func (p *places) adapt(now time.Time, spent time.Duration) {
	first := p.looked.IsZero()
	use := float64(spent-p.spent) / float64(now.Sub(p.looked))
	p.looked, p.spent = now, spent
	switch {
	case first:
	case use >= busyShare*float64(p.open):
		p.open = min(p.open+1, p.count)
	case use < restShare*busyShare*float64(p.open-1):
		p.open--
	}
}

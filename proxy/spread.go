package proxy

import (
	"runtime"
	"sync/atomic"

	"github.com/poolproxy/poolproxy/loop"
)

// spread is what the shards of a process have in common. What is not atomic or locked by itself is set before the first shard
// listens, and not changed any more. The first shard listens, and does what is done once a process; the others are handed
// connections. None waits for another: what one has for another it posts.
type spread struct {
	loops     []loop.Loop
	shards    []*Shard // each is set, and used, on its own goroutine only
	now       atomic.Pointer[layout]
	random    func([]byte)  // used by one goroutine at a time: at the start, and for a reload
	serials   atomic.Uint64 // of the last block
	number    atomic.Uint64 // of the last session
	loads     []load        // of the shards
	places    places        // where the next session goes: the first shard's
	legs      atomic.Int64  // that have a connection to a server, of all pool_elements
	memory    atomic.Int64  // bytes in buffers; not used by a single shard
	pipes     atomic.Int64  // piped buffers
	cookies   cookies       // of sessions, by their connections to servers
	observers []Observer    // of what becomes of sessions
	chaos     chaosBook     // what is disturbed
	scarce    atomic.Int64  // when it was last said that there are too few descriptors
	slack     int64         // bytes to be left of limits.memory, because memory is not exact
}

// elementCounts are what the shards' sides of one pool_element count together.
type elementCounts struct {
	legs  atomic.Int64  // that have a connection to the server
	begun atomic.Uint64 // legs that have got one since the start
	made  atomic.Uint64 // connections to the server since the start, if there is a fence
}

// load is how much a shard has to do.
type load struct {
	sessions atomic.Int64
	_        [56]byte // each has a cache line of its own: its shard writes to it with each session
}

// slackEach is by how much one more shard may pass limits.memory unseen, in bytes: what it has not told yet, and what one read may
// take beyond the limit.
const slackEach = loop.TellEvery + 3*loop.LargeBuffer

// newSpread prepares for as many shards as there are loops. random makes instances.
func newSpread(c Config, loops []loop.Loop, random func([]byte)) *spread {
	n := len(loops)
	return &spread{loops: loops, shards: make([]*Shard, n), loads: make([]load, n), random: random,
		places: newPlaces(n, c.Limits.Shards == 0), slack: int64(n-1) * slackEach, observers: c.Observers}
}

// processors is GOMAXPROCS at the start: loops that run raise it.
var processors = runtime.GOMAXPROCS(0)

// shards is how many shards a process has: as many as was said, else as Go's scheduler has processors, if limits.memory has room for them.
func shards(c Config) int {
	n := c.Limits.Shards
	if n <= 0 {
		n = processors
	}
	return min(n, c.Limits.MostShards())
}

// sessions counts the sessions of all shards, those on the way to one too.
func (p *spread) sessions() (n int64) {
	for i := range p.loads {
		n += p.loads[i].sessions.Load()
	}
	return n
}

// on runs f with a shard on its goroutine: now if it is this one, else in a coming turn. False says that f will not run: the shard has
// ended.
func (s *Shard) on(shard int, f func(*Shard)) bool {
	if shard == s.index {
		f(s)
		return true
	}
	common := s.common
	return common.loops[shard].Post(func() { f(common.shards[shard]) })
}

// onOthers runs f with every shard but this one that is not closed.
func (s *Shard) onOthers(f func(*Shard)) {
	for i := range s.common.loops {
		if i != s.index {
			s.on(i, func(other *Shard) {
				if !other.closed {
					f(other)
				}
			})
		}
	}
}

// spreads reports whether connections are handed to other shards.
func (s *Shard) spreads() bool { return len(s.common.loops) > 1 }

// handOver gives an accepted connection to a shard, whose accept is called as that of loop.Loop's Listen. lost is called, anywhere, if
// the connection is dropped before that.
func (s *Shard) handOver(a loop.Accepted, to int, accept func(*Shard, loop.Conn) loop.Handler, lost func()) {
	given := s.on(to, func(s *Shard) {
		adopted := false
		if s.closed {
			a.Drop()
		} else {
			s.loop.(loop.Adopter).Adopt(a, func(c loop.Conn) loop.Handler { adopted = true; return accept(s, c) })
		}
		if !adopted {
			lost()
		}
	})
	if !given {
		a.Drop()
		lost()
	}
}

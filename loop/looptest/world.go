package looptest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// begin is the time at which every world begins.
var begin = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// DefaultBufferSize is the bound, in bytes, of a send buffer and of a receive buffer.
const DefaultBufferSize = 16 << 10

// How long a packet is under way unless Delay says otherwise.
const (
	defaultMinDelay = 50 * time.Microsecond
	defaultMaxDelay = 500 * time.Microsecond
)

// tooMany events without time moving on are an endless loop in what is being tested: better a panic than a test that hangs.
const tooMany = 1_000_000

// World holds hosts, the network between them, and what is yet to happen.
type World struct {
	// BufferSize bounds the send buffer and the receive buffer of each direction of connections made from now on, in bytes.
	BufferSize int

	// Calm switches off what the seed decides beyond delays: reads, writes and packets shorter than they need be, turns that
	// come late, ready connections out of order.
	Calm bool

	events  events
	now     int64 // nanoseconds since begin
	still   int   // events since time last moved
	rand    *rand.Rand
	hosts   []*Host // the host numbered n is hosts[n-1]
	dials   int
	trace   func(format string, args ...any)
	buffers [][]byte // free memory of connections
}

// NewWorld returns a world without hosts. All its chances follow from the seed.
func NewWorld(seed uint64) *World {
	return &World{
		BufferSize: DefaultBufferSize,
		rand:       rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)),
	}
}

// Now is the virtual time.
func (w *World) Now() time.Time { return begin.Add(time.Duration(w.now)) }

// Rand is the world's source of chance, for a test's own decisions: these are then repeated by the seed as well.
func (w *World) Rand() *rand.Rand { return w.rand }

// Trace has f called for all that happens, one call a line. A nil f ends it. Tracing changes nothing in what happens.
func (w *World) Trace(f func(format string, args ...any)) { w.trace = f }

// tracef writes a line. Callers on the fast path ask for w.trace first: arguments are costly.
func (w *World) tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace("%12v %s", time.Duration(w.now), fmt.Sprintf(format, args...))
	}
}

// Host returns the host of that name and makes it, running, if there is none.
func (w *World) Host(name string) *Host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	n := len(w.hosts) + 1
	h := newHost(w, n, name, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
	w.hosts = append(w.hosts, h)
	return h
}

// hostAt finds the host with that address; nil if there is none.
func (w *World) hostAt(a netip.Addr) *Host {
	for _, h := range w.hosts {
		if h.addr == a {
			return h
		}
	}
	return nil
}

// Step moves time to the next event and runs it. It reports false when nothing is scheduled.
func (w *World) Step() bool {
	o, at := w.events.next()
	if o == nil {
		return false
	}
	if at > w.now {
		w.now, w.still = at, 0
	} else if w.still++; w.still > tooMany {
		panic(fmt.Sprintf("looptest: %d events and time still stands at %v: an endless loop", tooMany, w.Now()))
	}
	o.fire()
	return true
}

// Run runs all events up to and including the time until, and leaves the world at that time.
func (w *World) Run(until time.Time) {
	end := int64(until.Sub(begin))
	for len(w.events.heap) > 0 && w.events.heap[0].at <= end {
		w.Step()
	}
	if end > w.now {
		w.now, w.still = end, 0
	}
}

// RunFor runs for d of virtual time.
func (w *World) RunFor(d time.Duration) { w.Run(w.Now().Add(d)) }

// RunUntil steps until done reports true, or nothing is scheduled, or the limit has passed; it returns what done says then.
func (w *World) RunUntil(done func() bool, limit time.Duration) bool {
	end := w.now + int64(limit)
	for !done() {
		if len(w.events.heap) == 0 || w.events.heap[0].at > end {
			return false
		}
		w.Step()
	}
	return true
}

// Idle reports whether nothing is scheduled: no timer is armed and nothing is in flight. What a stalled path, a vanished host or a
// frozen process holds back is not scheduled: without help from outside it will never happen.
func (w *World) Idle() bool { return len(w.events.heap) == 0 }

// At runs f at that time, outside all hosts: for faults that a test wants at a time of its choice.
func (w *World) At(at time.Time, f func()) {
	w.events.add(script(f), max(w.now, int64(at.Sub(begin))))
}

// After runs f when d has passed, as At does.
func (w *World) After(d time.Duration, f func()) { w.At(w.Now().Add(d), f) }

type script func()

func (f script) fire() { f() }

// Leaks is how many bytes of memory the processes of all hosts have out of their pools.
func (w *World) Leaks() int {
	sum := 0
	for _, h := range w.hosts {
		sum += h.pool.Out()
	}
	return sum
}

// chance is true once in n times, never in a calm world.
func (w *World) chance(n int) bool { return !w.Calm && w.rand.IntN(n) == 0 }

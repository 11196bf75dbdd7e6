package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// class says what may go wrong in a schedule, and so what is expected of it.
type class uint8

const (
	anything   class = iota // every fault; sessions may end, but only honestly
	survivors               // servers and sidecars die, all that is needed is allowed: every session has to go on
	partitions              // as anything, but paths and processes stand still for longer than any fence, and unsafe requests are repeated behind it
	pathOnly                // only associations break, for less than resume: every leg has to go on
)

// scenario is everything that a seed decides before a schedule begins.
type scenario struct {
	seed     uint64
	rand     *rand.Rand // for what is decided while it runs; the world has its own
	class    class
	dialect  dialect
	mapping  mapping.ID
	failover session.Failover
	policy   pool.Policy
	memory   int
	buffer   int // of connections
	elements int
	shared   bool // an element's sidecar runs on its server's host, and dies with it
	differs  bool // the servers but the first one answer differently
	think    time.Duration
	clients  int
	spread   int // associations with each element
	requests int // of one client, at most
	large    int // the largest request or reply, in bytes
	faults   int

	heartbeat mapping.Heartbeat
	beats     mapping.Heartbeat // of the elements
	longest   time.Duration     // that a path is stalled
	hold      time.Duration     // the longest that elements keep a leg
	limit     int64             // limits.memory of each sidecar; 0: none
	callbacks int
	fails     bool // callbacks fail at times
	lazy      bool // servers read nothing while they work on a request
	goesOn    bool // a callback has interrupted replies continued
	drifts    bool // the hosts' clocks are up to 1 % wrong

	header  whence.Version // of the PROXY protocol, that servers want
	proxied bool           // clients send one, too

	recorded *Rehearsal // of sessions; nil: nothing
}

// faultTime is how long faults happen. After it everything is healed.
const faultTime = 3 * time.Second

func draw(seed uint64) *scenario {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	s := &scenario{seed: seed, rand: r, mapping: mapping.TCP, elements: 1 + r.IntN(3), shared: r.IntN(3) == 0,
		policy: pool.Policy(r.IntN(2)), clients: 1 + r.IntN(8), requests: 1 + r.IntN(20), faults: r.IntN(8),
		think: time.Duration(r.IntN(60)) * time.Millisecond, memory: 1 << 20, buffer: pick(r, 1000, 4000, 16<<10, 64<<10)}
	s.class = class(pick(r, 0, 0, 0, 1, 2, 3))
	if r.IntN(4) == 0 {
		s.memory = 64 << 10
	}
	s.large = min(pick(r, 500, 5000, 50_000, 200_000), 20*s.buffer)
	if r.IntN(3) == 0 {
		s.mapping = mapping.None
	}
	s.failover = session.Failover{Replay: session.Replay(r.IntN(3)), Ack: session.Ack(r.IntN(3)), Unsafe: session.Unsafe(pick(r, 0, 0, 1)),
		Resume: time.Duration(r.IntN(4000)) * time.Millisecond, Deadline: time.Duration(500+r.IntN(6000)) * time.Millisecond,
		Attempts: 1 + r.IntN(5), OnServerClose: session.ServerClose(pick(r, 0, 0, 0, 1, 2)),
		ReplyTimeout: time.Duration(pick(r, 0, 0, 300, 1000)) * time.Millisecond,
		Fence:        time.Duration(pick(r, 0, 50, 300, 3000)) * time.Millisecond}
	s.differs = s.elements > 1 && r.IntN(4) == 0
	s.dialect = dialects[r.IntN(len(dialects))](s)
	s.heartbeat = mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3}
	s.longest, s.callbacks, s.drifts = 1500*time.Millisecond, pick(r, 0, 0, 1, 2), r.IntN(2) == 0
	s.fails, s.lazy = r.IntN(2) == 0, r.IntN(3) == 0
	switch s.dialect.(type) {
	case *lines, *talks:
		s.goesOn = !s.differs && r.IntN(5) == 0
	}
	s.spread = 1 + int(seed%3)
	s.header, s.proxied = whence.Version(seed/7%3), seed/11%2 == 0
	if seed/13%3 == 0 { // nothing may depend on it
		s.recorded = &Rehearsal{Memory: 4 << 10 << (seed % 9), Sample: math.MaxUint32}
	}
	s.beats = s.heartbeat
	s.hold = pick(r, time.Minute, time.Minute, 300*time.Millisecond)
	s.limit = pick[int64](r, 0, 0, 0, 0, 1<<20, 4<<20, 4<<20)
	s.narrow()
	if st, ok := s.dialect.(*streams); ok && st.mute() {
		s.callbacks = 0
	}
	if s.limit < 4*int64(s.memory) {
		s.limit = 0
	}
	return s
}

// narrow makes the settings fit the class.
func (s *scenario) narrow() {
	switch s.class {
	case survivors:
		if d, ok := s.dialect.(*talks); ok {
			d.units = d.units && d.loses // else a transaction that is cut ends its session
		}
		s.differs = false
		s.memory = 16 << 20
		s.failover = session.Failover{Replay: session.ReplayUnacked, Unsafe: session.UnsafeReplay, Resume: s.failover.Resume,
			Deadline: 20 * time.Second, Attempts: 1000, Ack: pick(s.rand, session.AckReply, session.AckRead), Fence: s.failover.Fence,
			ReplyTimeout: s.failover.ReplyTimeout}
		if s.dialect.opaque() {
			s.failover.Replay = session.ReplaySession
		}
	case partitions:
		if s.dialect.opaque() {
			s.dialect = newTalks(s)
		}
		s.mapping, s.elements = mapping.TCP, 2+s.rand.IntN(2)
		s.heartbeat = mapping.Heartbeat{Interval: 50 * time.Millisecond, Misses: 2}
		s.beats = mapping.Heartbeat{Interval: time.Duration(pick(s.rand, 50, 100, 200, 200)) * time.Millisecond, Misses: pick(s.rand, 2, 3)}
		s.faults = 3 + s.rand.IntN(8)
		s.longest = time.Duration(pick(s.rand, 400, 1000, 2500)) * time.Millisecond
		s.requests, s.think = 60, min(s.think, 20*time.Millisecond)
		s.failover = session.Failover{Replay: session.ReplayUnacked, Unsafe: session.Unsafe(pick(s.rand, 0, 1, 1)), Resume: s.failover.Resume / 10,
			Deadline: 10 * time.Second, Attempts: 1000, Ack: pick(s.rand, session.AckReply, session.AckRead),
			Fence: time.Duration(50+s.rand.IntN(500)) * time.Millisecond}
	case pathOnly:
		s.hold = time.Minute
		s.fails, s.failover.ReplyTimeout, s.failover.Fence = false, 0, 0
		s.mapping = mapping.TCP
		s.elements, s.differs = 1, false
		s.failover.Resume, s.failover.Deadline = 10*time.Second, 20*time.Second
	}
}

// lost takes an honest error in place of the reply to r. never: it says that r was not carried out.
func (s *scenario) lost(r *request, never bool, reason string) error {
	r.lost, r.never = true, never
	f := &s.failover
	limit := strings.Contains(reason, "failover.deadline") || strings.Contains(reason, "failover.attempts") || strings.Contains(reason, "retrieval.memory")
	switch {
	case s.class == pathOnly || s.class == survivors && r.unit == 0:
		return fmt.Errorf("%c %d was answered by an error: %s", r.kind, r.number, reason)
	case never && r.executed > 0:
		return fmt.Errorf("%c %d was executed, but the error says it was not: %s", r.kind, r.number, reason)
	case s.class == survivors, limit || f.Replay == session.ReplayNone || f.Ack != session.AckReply || r.kind != 'S' && f.Unsafe == session.UnsafeRefuse:
		return nil
	}
	return fmt.Errorf("%c %d could have been repeated, but was answered by an error: %s", r.kind, r.number, reason)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

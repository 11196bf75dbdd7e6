package proxy

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// The tests of this file are little fixed schedules of what TestSimulation has found.

// oneElement is a simulation over one element, without clients and faults of its own.
func oneElement(d dialect, replay session.Replay, memory int, resume time.Duration) *simulation {
	s := &scenario{seed: 1, rand: rand.New(rand.NewPCG(1, 1)), mapping: mapping.TCP, elements: 1, memory: memory, buffer: 16 << 10,
		large: 1 << 20, hold: time.Minute, dialect: d, heartbeat: mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3}, beats: mapping.Heartbeat{Interval: 200 * time.Millisecond, Misses: 3},
		failover: session.Failover{Replay: replay, Resume: resume, Deadline: 20 * time.Second, Attempts: 5}}
	m := newSimulation(s, nil)
	for _, e := range m.elements {
		m.startServer(e)
		m.startSidecar(e)
	}
	m.startUser()
	return m
}

// rawClient sends what it is given, reads if it is told to, and writes down how it ended.
type rawClient struct {
	conn   loop.Conn
	unsent []byte
	finish bool // half-close behind what it sends
	reads  bool
	got    []byte
	end    error
}

func (m *simulation) raw(finish, reads bool, requests ...*request) *rawClient {
	c := &rawClient{finish: finish, reads: reads}
	for _, r := range requests {
		r.sent = m.world.Now()
		c.unsent = append(c.unsent, r.bytes...)
	}
	m.clients = append(m.clients, &client{sim: m, requests: requests})
	c.conn = m.home.Dial(m.user.Addr(clientPort), c)
	return c
}

// Ready hears of the connection (loop.Handler).
func (c *rawClient) Ready(loop.Event) {
	n, _ := c.conn.Write(c.unsent)
	c.unsent = c.unsent[n:]
	if len(c.unsent) == 0 && c.finish {
		_ = c.conn.CloseWrite()
	}
	for c.reads && c.end == nil {
		var p [8192]byte
		n, err := c.conn.Read(p[:])
		c.got = append(c.got, p[:n]...)
		if errors.Is(err, loop.ErrAgain) {
			return
		}
		c.end = err
	}
}

// line is a request of the next client to come.
func (m *simulation) line(number, size, reply int) *request {
	r := &request{client: len(m.clients), number: number, kind: 'S', reply: reply}
	m.dialect.encode(r, size)
	return r
}

func (m *simulation) sessions() (n int) {
	for _, u := range m.userShard.users {
		n += u.rules.Count()
	}
	return n
}

// The history of a session passed retrieval.memory while it had no element: nobody read on when it had one.
func TestHistoryFullWithoutElement(t *testing.T) {
	m := oneElement(&lines{}, session.ReplaySession, 64<<10, time.Second)
	m.elements[0].sidecar.Kill()
	m.elements[0].shard = nil
	c := m.raw(false, true, m.line(0, 100_000, 10))
	m.world.RunFor(time.Second)
	m.start(m.elements[0])
	if !m.world.RunUntil(func() bool { return len(c.got) > 0 }, 10*time.Second) || m.err != nil {
		t.Fatalf("no reply came: %v%s", m.err, m.hanging())
	}
}

// A client reset its connection behind its end: nobody listened any more, and its session stayed for ever.
func TestResetBehindEnd(t *testing.T) {
	m := oneElement(&lines{}, session.ReplayNone, 1<<20, time.Second)
	c := m.raw(true, false, m.line(0, 10, 200_000))
	m.world.RunFor(time.Second)
	if m.sessions() != 1 {
		t.Fatal("the session should wait for its client to read")
	}
	c.conn.Reset()
	m.world.RunFor(time.Second)
	if m.sessions() != 0 {
		t.Fatalf("the session has outlived its client:%s", m.hanging())
	}
}

// A session came to an element whose lost legs paused before they dialled again, and were then given up: nobody dialled for it.
func TestNewLegAtPausingLink(t *testing.T) {
	m := oneElement(&lines{}, session.ReplayNone, 1<<20, 1200*time.Millisecond)
	e := m.elements[0]
	m.raw(false, true, m.line(0, 10, 10))
	m.world.RunFor(100 * time.Millisecond)
	m.world.StallOneWay(e.sidecar, m.user)
	m.world.Cut(m.user, e.sidecar)
	m.world.RunFor(1050 * time.Millisecond)
	c := m.raw(false, true, m.line(0, 10, 10))
	m.world.RunFor(time.Second)
	m.heal(e)
	if !m.world.RunUntil(func() bool { return len(c.got) > 0 }, 3*time.Second) {
		t.Fatalf("nobody serves the new session:%s", m.hanging())
	}
}

// A client left in the middle of a request. Its replies were repeated on leg after leg, for a reply that could not come.
func TestLeftMidRequest(t *testing.T) {
	m := oneElement(&lengths{}, session.ReplaySession, 1<<20, time.Second)
	last := m.line(1, 10, 10)
	last.bytes = last.bytes[:12]
	c := m.raw(true, true, m.line(0, 10, 10), last)
	if !m.world.RunUntil(func() bool { return c.end != nil }, time.Second) {
		t.Fatalf("the client waits:%s", m.hanging())
	}
	served := 0
	for _, x := range m.elements[0].process.conns {
		if x.client == 0 { // others ask whether somebody listens
			served++
		}
	}
	if served != 1 {
		t.Fatalf("ended with %v, after %d server connections", c.end, served)
	}
}

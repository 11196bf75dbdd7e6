package session

import (
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
)

// What a request and its reply allocate on their way through both sides' rules, once a session is in its stride: the mapping is replaced
// by two queues, the sockets by counters, so that nothing but this package and its parsers is counted.

// queueEnd is one end of an association that is two queues. Nothing that it does allocates once its slices have grown.
type queueEnd struct {
	to     mapping.Handler // at the other end
	bytes  []byte
	queue  []queued
	spare  []byte
	spareQ []queued
}

type queued struct {
	stream uint16
	ppid   uint32
	n      int
}

func (q *queueEnd) Send(m mapping.Message, _ *loop.Buffer) error {
	q.bytes = append(q.bytes, m.Data...)
	q.queue = append(q.queue, queued{m.Stream, m.PPID, len(m.Data)})
	return nil
}

// carry hands over what is queued and reports whether there was anything.
func (q *queueEnd) carry() bool {
	bytes, queue := q.bytes, q.queue
	q.bytes, q.queue = q.spare[:0], q.spareQ[:0]
	rest := bytes
	for _, m := range queue {
		q.to.Receive(mapping.Message{Stream: m.stream, PPID: m.ppid, Data: rest[:m.n]})
		rest = rest[m.n:]
	}
	q.spare, q.spareQ = bytes, queue
	return len(queue) > 0
}

func (q *queueEnd) Queued() int                        { return 0 }
func (q *queueEnd) Retrieve() mapping.Retrieved        { return mapping.Retrieved{} }
func (q *queueEnd) Capabilities() mapping.Capabilities { return mapping.Capabilities{} }
func (q *queueEnd) Status() (mapping.Status, error)    { return mapping.Status{}, mapping.ErrStatus }
func (q *queueEnd) Remote() netip.AddrPort             { return netip.AddrPort{} }
func (q *queueEnd) Local() netip.AddrPort              { return netip.AddrPort{} }
func (q *queueEnd) Close()                             {}
func (q *queueEnd) Abort()                             {}

// counted is a socket that takes everything.
type counted struct{ written int }

func (c *counted) Write(bufs ...[]byte) (n int, err error) {
	for _, b := range bufs {
		n += len(b)
	}
	c.written += n
	return n, nil
}
func (c *counted) CloseWrite() error { return nil }
func (c *counted) Close()            {}
func (c *counted) Reset()            {}
func (c *counted) ReadOn()           {}

// steady is one session between its client and its server, both sides in one process.
type steady struct {
	t              testing.TB
	host           *looptest.Host
	near, far      queueEnd
	client, server counted
	session        *Session
	leg            *Leg
	scratch        *loop.Buffer
}

// Dial is that of the only association.
func (s *steady) Dial(_ loop.Loop, _ netip.AddrPort, _ mapping.Config, h mapping.Handler) mapping.Association {
	s.far.to = h
	return &s.near
}

// takes hands p over as package proxy does: a buffer that is not kept is used again.
func (s *steady) takes(to local, p []byte) {
	if s.scratch == nil {
		s.scratch = s.host.Buffers().Get(loop.LargeBuffer)
	}
	n := copy(s.scratch.Bytes, p)
	if room := to.Room(); room < n {
		s.t.Fatalf("there is room for %d bytes of %d", room, n)
	}
	if to.Take(s.scratch, n) {
		s.scratch = nil
	}
}

func (s *steady) carry() {
	for s.near.carry() || s.far.carry() {
	}
}

// round is one request and its reply.
func (s *steady) round(request, reply []byte) {
	asked, answered := s.server.written, s.client.written
	s.takes(s.session, request)
	s.carry()
	s.takes(s.leg, reply)
	s.carry()
	if s.server.written-asked != len(request) || s.client.written-answered != len(reply) {
		s.t.Fatalf("%d of %d bytes came to the server, %d of %d to the client", s.server.written-asked, len(request),
			s.client.written-answered, len(reply))
	}
}

func newSteady(t testing.TB, p protocol.Protocol, f Failover) *steady {
	s := &steady{t: t, host: looptest.NewWorld(1).Host("both")}
	e := NewElement(ElementConfig{Loop: s.host, Name: "element", Instance: token16(2), Memory: 1 << 20, Hold: time.Minute, MaxLegs: 1,
		Connect: func(leg *Leg) Socket { s.leg = leg; return &s.server }})
	u := NewUser(UserConfig{Loop: s.host, Name: "user", Instance: token16(1), Dialer: s, Protocol: p, Memory: 1 << 20, Failover: f,
		Pool:   pool.New("things", pool.RoundRobin, []pool.Element{{Name: "element"}}),
		Random: func(p []byte) { p[0] = 1 }, Number: func() uint64 { return 1 }})
	s.session = u.Accept(&s.client, "client")
	s.near.to = e.Accept(&s.far)
	s.near.to.Up()
	s.far.to.Up()
	s.carry()
	s.leg.Connected()
	s.carry()
	return s
}

func TestAllocationsOfARequest(t *testing.T) {
	line := lines(t)
	redis := protocol.NewRedis(protocol.RedisConfig{})
	web := protocol.NewHTTP(protocol.HTTPConfig{})
	stream := protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	whole := Failover{Replay: ReplayUnacked, Resume: 5 * time.Second, Deadline: 30 * time.Second, Attempts: 5}
	plain := whole
	plain.Replay, plain.Ack = ReplayNone, AckDelivered
	for _, c := range []struct {
		name           string
		protocol       protocol.Protocol
		failover       Failover
		request, reply string
		most           float64 // what it was when this was last looked at
	}{
		{"stream", stream, plain, "GET 1\n", "one\n", 0},
		{"line", line, whole, "GET 1\n", "one\n", 3}, // protocol.Request, request, retrieval.Message
		{"redis", redis, whole, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$1\r\nx\r\n", 4},
		{"http", web, whole, "GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 34},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSteady(t, c.protocol, c.failover)
			request, reply := []byte(c.request), []byte(c.reply)
			round := func() { s.round(request, reply) }
			for range 100_000 / len(request) { // slices and logs grow to their size
				round()
			}
			if raceDetector {
				t.Skip("the race detector allocates")
			}
			n := testing.AllocsPerRun(1000, round)
			t.Logf("%v allocations a request", n)
			if n > c.most {
				t.Errorf("%v allocations a request, at most %v were there", n, c.most)
			}
		})
	}
}

package proxy

import (
	"errors"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// stranger is a newcomer, or an sctpNewcomer.
type stranger interface{ close() }

// newcomer is an association that a pool user has begun, before it is known which shard is to have it: all associations of
// one pool user (an instance: docs/protocol.md, HELLO) must come to the same one, which keeps its legs for it while it is out of
// touch. Our INIT is written, since the peer says HELLO only when it has that; what the peer says is looked at, and taken by the
// shard. A peer that does not say HELLO first of all, in time and within mostFirst bytes, is the first shard's, which does
// what a single one would.
type newcomer struct {
	side  *elementSide
	conn  peekable
	since time.Time
	heard bool // it has said something
	limit loop.Timer
}

// peekable is a connection that can be looked at and can leave: in TLS or not. Leave returns what is done on the loop that it goes to, which
// returns the Handler of the transport.
type peekable interface {
	loop.Conn
	Peek(p []byte) (int, error)
	leave() (loop.Accepted, func(l loop.Loop, transport loop.Conn, accept func(loop.Conn) loop.Handler) loop.Handler)
}

// bare is a peekable without TLS.
type bare struct{ loop.Movable }

func (b bare) leave() (loop.Accepted, func(loop.Loop, loop.Conn, func(loop.Conn) loop.Handler) loop.Handler) {
	return b.Leave(), func(_ loop.Loop, conn loop.Conn, accept func(loop.Conn) loop.Handler) loop.Handler {
		return accept(conn)
	}
}

const (
	// mostFirst bounds what is looked at, in bytes: INIT and HELLO with the longest name take some 310.
	mostFirst = 512

	// firstTimeout is how long a peer that has said INIT may take for HELLO; as long as a session link has for it.
	firstTimeout = 5 * time.Second

	// mostNewcomers bounds how many there may be at one pool_element; with more, who has been silent for the longest goes.
	mostNewcomers = 1024
)

// comes notes a newcomer.
func (e *elementSide) comes(n stranger) {
	e.newcomers[n] = true
	e.arrivals = append(e.arrivals, n)
}

// makePlace sees to it that there is a place for one more newcomer: those who come and say nothing would keep all others out.
func (e *elementSide) makePlace() {
	for len(e.arrivals) > 0 && (!e.newcomers[e.arrivals[0]] || len(e.newcomers) >= mostNewcomers) {
		if n := e.arrivals[0]; e.newcomers[n] {
			n.close()
		}
		e.arrivals[0] = nil
		e.arrivals = e.arrivals[1:]
	}
}

// meet takes up a connection on the first shard.
func (e *elementSide) meet(conn loop.Conn) loop.Handler {
	movable, can := conn.(loop.Movable)
	if !can {
		panic("proxy: the connections of an Adopter are not Movable")
	}
	return e.meetCaller(bare{movable})
}

// meetCaller takes up a connection that may be in TLS.
func (e *elementSide) meetCaller(conn peekable) loop.Handler {
	e.makePlace()
	n := &newcomer{side: e, conn: conn, since: e.shard.loop.Now()}
	n.limit.Func = n.late
	if _, err := conn.Write(mapping.TCPMapping{}.Introduction()); err != nil {
		e.shard.log.Debug("association refused: it takes no INIT", "pool_element", e.name, "pool_user", conn.Remote(), "reason", err)
		return nil
	}
	e.comes(n)
	e.shard.loop.Schedule(&n.limit, n.since.Add(e.association.DialTimeout))
	return n
}

// Ready hears that there is more to look at, or that nothing will follow (loop.Handler).
func (n *newcomer) Ready(loop.Event) {
	var first [mostFirst]byte
	got, err := n.conn.Peek(first[:])
	n.heard = n.heard || got > 0
	m, done := mapping.TCPMapping{}.FirstMessage(first[:got])
	switch instance, ok := session.PeerInstance(m); {
	case ok:
		n.move(instance.Spread(len(n.side.shard.common.loops)))
	case done, got == len(first), err != nil && !errors.Is(err, loop.ErrAgain):
		n.move(0)
	}
}

// late runs when the time for INIT is over, and again when that for HELLO is. Who has said INIT has until then.
func (n *newcomer) late() {
	if until := n.since.Add(firstTimeout); n.heard && n.side.shard.loop.Now().Before(until) {
		n.side.shard.loop.Schedule(&n.limit, until)
		return
	}
	n.move(0)
}

// move gives the connection to the shard that is to have it. Who has said nothing has had his time for that.
func (n *newcomer) move(to int) {
	n.forget()
	serial, config, since := n.side.number(), n.side.association, n.since
	if n.heard {
		since = n.side.shard.loop.Now()
	}
	accepted, adopt := n.conn.leave()
	n.side.shard.handOver(accepted, to, func(s *Shard, transport loop.Conn) loop.Handler {
		return adopt(s.loop, transport, func(conn loop.Conn) loop.Handler {
			e := s.element(serial)
			if e == nil {
				return nil
			}
			return mapping.TCPMapping{}.Adopt(s.loop, conn, config, since, e.accept)
		})
	}, func() {})
}

func (n *newcomer) forget() {
	n.side.shard.loop.Cancel(&n.limit)
	delete(n.side.newcomers, n)
}

// close ends the association before it has begun.
func (n *newcomer) close() {
	n.forget()
	n.conn.Reset()
}

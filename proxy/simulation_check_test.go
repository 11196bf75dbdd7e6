package proxy

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/session"
)

// mayNotRepeat reports whether an unsafe request must never be executed twice.
func (m *simulation) mayNotRepeat() bool { return m.failover.Unsafe == session.UnsafeRefuse }

// checkClient judges how a client's connection has ended.
func (m *simulation) checkClient(c *client) {
	all := c.reader.replies() == c.dueOf(len(c.requests))
	if c.outcome == "left" {
		return
	}
	if c.clean && !all && !c.reader.aborted() && !m.excused(c) {
		m.violated("client %d: a clean end, but %d of %d replies to what was sent", c.index, c.reader.replies(), c.dueOf(c.sent))
	}
	if m.class == survivors && c.torn() {
		return
	}
	if m.class != anything && m.class != partitions && (!all || c.closed != (c.clean || c.ending == closeLate)) {
		m.violated("client %d: its session has not survived: %s", c.index, c.outcome)
	}
}

// torn: nothing can take the place of a reply in the middle of which a transaction has lost its server, so the session ended with it.
func (c *client) torn() bool {
	return !c.clean && c.reader.replies() < c.dueOf(len(c.requests)) && c.due(c.reader.replies()).unit > 0
}

// excused: a server that closes in peace may cross a request, as without sidecars.
func (m *simulation) excused(c *client) bool {
	for _, r := range c.requests[:c.sent] {
		if r.kind != 'O' && c.dueOf(r.number) >= c.reader.replies() && !r.sent.IsZero() && m.world.Now().Sub(r.sent) > 50*time.Millisecond && r.executed > 0 {
			return m.closed[c.index]
		}
	}
	return true
}

// watch looks at the memory of sessions now and then.
func (m *simulation) watch() {
	for _, u := range m.userShard.users {
		u.rules.Sessions(func(s *session.Session) {
			if i := s.Info(); i.Retained > int64(m.memory+loop.LargeBuffer) {
				m.violated("session %d retains %d bytes, memory is %d", i.ID, i.Retained, m.memory)
			}
		})
	}
	if !m.finished() {
		m.world.After(m.between(time.Millisecond, 100*time.Millisecond), m.watch)
	}
}

// checkEnd judges what is left when all is well and all clients should be done.
func (m *simulation) checkEnd() {
	for _, c := range m.clients {
		if c.outcome == "" {
			m.violated("client %d hangs: %d of %d requests sent, %d replies, ending %d, sending finished: %t%s", c.index, c.sent, len(c.requests),
				c.reader.replies(), c.ending, c.closed, m.hanging())
			return
		}
	}
	m.world.RunFor(2*m.failover.Resume + m.failover.Fence + 15*time.Second)
	for _, c := range m.clients {
		m.checkStates(c)
		m.checkRead(c)
	}
	m.checkDoubt()
	if m.class == pathOnly {
		for _, c := range m.clients {
			m.checkOnce(c)
		}
	}
	m.checkDrained()
	m.checkUpgraded()
	m.checkLeft()
	m.checkNothingLeft()
}

// checkRead: with ack = "read" a one-way message that a server has not read is not forgotten.
func (m *simulation) checkRead(c *client) {
	if m.failover.Ack != session.AckRead || m.class != survivors || c.outcome == "left" || c.torn() {
		return
	}
	for _, r := range c.requests {
		if r.kind == 'O' && r.unit == 0 && r.executed == 0 && !r.read {
			m.violated("the one-way request %d of client %d was never read by a server", r.number, c.index)
		}
	}
}

// mostDoubt is how many unsafe requests one failure may leave in doubt with ack = "read": the next one waits until it is answered.
const mostDoubt = 1

// checkDoubt: with ack = "read" a failure does not cost more replies than that.
func (m *simulation) checkDoubt() {
	f := &m.failover
	if _, ok := m.dialect.(*web); !ok || f.Ack != session.AckRead || f.Replay != session.ReplayUnacked || m.memory < 1<<20 {
		return
	}
	for _, r := range m.userShard.records {
		if r.Kind == session.KindMoved && r.Tried <= 1 && r.Lost > mostDoubt {
			m.violated("%d replies were lost by one failure (%s) of session %d", r.Lost, r.Cause, r.Session)
		}
	}
}

// checkOnce: where only associations broke, everything happened once.
func (m *simulation) checkOnce(c *client) {
	connections := 0
	for _, x := range m.elements[0].process.conns {
		if x.client == c.index {
			connections++
		}
	}
	if connections > 1 {
		m.violated("client %d: %d connections at the server, though only associations broke", c.index, connections)
	}
	for _, r := range c.requests {
		if s, ok := m.dialect.(*streams); ok && s.mute() {
			break
		}
		if r.executed > 1 || r.executed == 0 && c.outcome != "left" {
			m.violated("request %d of client %d was executed %d times, though only associations broke", r.number, c.index, r.executed)
		}
	}
}

// checkNothingLeft: no session, leg, buffer, connection or timer outlives what it was for.
func (m *simulation) checkNothingLeft() {
	links := 0
	for _, u := range m.userShard.users {
		if n := u.rules.Count(); n > 0 {
			m.violated("%d sessions are left%s", n, m.hanging())
		}
		links += len(m.elements) * m.spread
		for _, e := range u.direct.all() {
			m.checkLegs(e)
		}
	}
	m.checkMemory(m.user)
	if n := m.user.Conns(); n > links {
		m.violated("%d connections are open at the pool user", n)
	}
	if n := m.user.Timers(); n > 3*links {
		m.violated("%d timers are armed at the pool user", n)
	}
	for _, e := range m.elements {
		if e.shard == nil {
			continue
		}
		m.checkLegs(e.shard.elements[0])
		m.checkMemory(e.sidecar)
		if n := e.sidecar.Conns(); n > m.spread && e.sidecar != e.server {
			m.violated("%d connections are open at element %d", n, e.index)
		}
		if n := e.sidecar.Timers(); n > 3*m.spread && e.sidecar != e.server {
			m.violated("%d timers are armed at element %d", n, e.index)
		}
	}
}

func (m *simulation) checkLegs(e *elementSide) {
	if live, held := e.rules.Legs(); live+held > 0 {
		m.violated("%s: %d legs are left, and %d that wait", e.name, live, held)
	}
}

// hanging describes what the sessions are doing, for a client that waits for ever.
func (m *simulation) hanging() (text string) {
	for _, u := range m.userShard.users {
		u.rules.Sessions(func(s *session.Session) { text += fmt.Sprintf("\n%+v", s.Info()) })
	}
	for _, e := range m.elements {
		if e.process == nil {
			continue
		}
		for _, c := range e.process.conns {
			text += fmt.Sprintf("\nserver%d %v: client %d, last %d, %d in, %d out, eof %t, over %t", e.index, c.conn.Remote(), c.client, c.last,
				len(c.in), len(c.out), c.eof, c.over)
		}
	}
	return text
}

// checkMemory: but for what it reads into a sidecar holds no memory. A heartbeat may just be coming.
func (m *simulation) checkMemory(h *looptest.Host) {
	if !m.world.RunUntil(func() bool { return h.Buffers().Out() <= loop.LargeBuffer }, time.Second) {
		m.violated("%d bytes are retained at %s", h.Buffers().Out(), h.Name())
	}
}

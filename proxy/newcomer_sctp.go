package proxy

import (
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// sctpNewcomer is over SCTP what newcomer is over TCP: an association of which it is not known yet which shard is to have it. Its first
// message tells; with it the association leaves the first shard. It says HELLO only when it has found its shard.
type sctpNewcomer struct {
	side  *elementSide
	a     mapping.Association
	limit loop.Timer
}

// meetSCTP takes up an association on the first shard.
func (e *elementSide) meetSCTP(a mapping.Association) mapping.Handler {
	e.makePlace()
	n := &sctpNewcomer{side: e, a: a}
	n.limit.Func = n.close
	e.comes(n)
	return n
}

// Up has the time for the first message begin (mapping.Handler).
func (n *sctpNewcomer) Up() {
	l := n.side.shard.loop
	l.Schedule(&n.limit, l.Now().Add(firstTimeout))
}

// Receive gives the association to the shard that is to have it (mapping.Handler). Who does not say HELLO is the first shard's.
func (n *sctpNewcomer) Receive(m mapping.Message) {
	n.forget()
	s, to := n.side.shard, 0
	if instance, ok := session.PeerInstance(m); ok {
		to = instance.Spread(len(s.common.loops))
	}
	moved, ok := n.side.sctp.Leave(n.a, m)
	if !ok {
		return
	}
	serial := n.side.number()
	if !s.on(to, func(s *Shard) {
		e := s.element(serial)
		if s.closed || e == nil {
			moved.Drop()
			return
		}
		e.sctp.Adopt(s.loop, moved, e.association, e.accept)
	}) {
		moved.Drop()
	}
}

// Drained does not matter: nothing is sent here (mapping.Handler).
func (n *sctpNewcomer) Drained() {}

// Down ends the wait (mapping.Handler).
func (n *sctpNewcomer) Down(err error) {
	n.side.shard.log.Debug("association ended before it began", "pool_element", n.side.name, "pool_user", n.a.Remote(), "reason", err)
	n.forget()
}

func (n *sctpNewcomer) forget() {
	n.side.shard.loop.Cancel(&n.limit)
	delete(n.side.newcomers, n)
}

// close ends the association before it has begun.
func (n *sctpNewcomer) close() {
	n.forget()
	n.a.Abort()
}

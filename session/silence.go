package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/protocol"
)

// A server that hangs keeps its connections and its listening socket: only its silence tells (Failover.ReplyTimeout). The clock
// runs while a complete request waits for its reply at a server that is connected, and begins anew with every byte that the
// server says, and while it takes the request. It does not run while the client is what everybody waits for.

// expectReply sees to it that the silence is noticed, if a reply is due.
func (s *Session) expectReply() {
	if s.u.c.Failover.ReplyTimeout > 0 && s.awaiting.len() > 0 && !s.silence.Armed() {
		s.heard = s.u.c.Loop.Now()
		s.u.c.Loop.Schedule(&s.silence, s.heard.Add(s.u.c.Failover.ReplyTimeout))
	}
}

// listen runs when the server may have been silent for too long.
func (s *Session) listen() {
	if s.done || s.closing || s.awaiting.len() == 0 || s.leg == nil || !s.leg.open || s.leg.lost {
		return // expectReply is called when that changes
	}
	first := s.awaiting.first()
	now, timeout := s.u.c.Loop.Now(), s.u.c.Failover.ReplyTimeout
	switch {
	case first.About.Expect != protocol.ExpectOne:
		return
	case !first.Complete() || s.out.spill.Len() > 0: // it is the client's turn
		s.heard = now
	case now.Sub(s.heard) >= timeout:
		leg := s.leg
		s.u.c.Pool.Failed(now, s.from)
		leg.abandon(CodeAbandoned, "no reply in time")
		s.legFailed(failure{cause: fmt.Sprintf("no reply to %s within %v (failover.reply_timeout)", first.About.Label, timeout), reach: leg.highest})
		return
	}
	s.u.c.Loop.Schedule(&s.silence, s.heard.Add(timeout))
}

// taken notes that the server has taken received bytes of the leg. While that is not all of the request, it is busy with it.
func (s *Session) taken(received int64) {
	if s.awaiting.len() == 0 || received <= s.leg.acked {
		return
	}
	if end, ok := s.leg.spans.legOffset(s.awaiting.first().End); ok && received < end {
		s.heard = s.u.c.Loop.Now()
	}
}

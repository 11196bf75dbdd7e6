package session

import (
	"fmt"
	"time"

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

// listenSoon sees to it that silence is noticed at the beginning of a leg.
func (s *Session) listenSoon(limit time.Duration) {
	s.heard = s.u.c.Loop.Now()
	s.u.c.Loop.Schedule(&s.silence, s.heard.Add(limit))
}

// listen runs when the server may have been silent for too long.
func (s *Session) listen() {
	leg := s.leg
	if s.done || s.closing || leg == nil || !leg.open || leg.lost || leg.end || leg.gaveUp != "" {
		return // expectReply is called when that changes
	}
	if leg.restore != nil {
		s.listenToBeginning(leg.restore)
		return
	}
	timeout := s.u.c.Failover.ReplyTimeout
	if timeout == 0 || s.awaiting.len() == 0 {
		return
	}
	first := s.awaiting.first()
	now := s.u.c.Loop.Now()
	c := connectionOf(first.About.Request)
	switch {
	case first.About.Expect != protocol.ExpectOne:
		return
	case !first.Complete() || s.out.spill.Len() > 0 || c != nil && c.Blocks(): // it is somebody else's turn
		s.heard = now
	case now.Sub(s.heard) >= timeout && s.overslept(now):
		s.u.c.Loop.Schedule(&s.silence, now.Add(min(timeout, oversleep)))
		return
	case now.Sub(s.heard) >= timeout:
		s.u.c.Pool.Failed(now, s.from)
		leg.giveUp(fmt.Sprintf("no reply to %s within %v (failover.reply_timeout)", first.About.Label, timeout))
		return
	}
	s.u.c.Loop.Schedule(&s.silence, s.heard.Add(timeout))
}

// oversleep is how late this process may look at a server's silence without suspecting itself.
const oversleep = 50 * time.Millisecond

// overslept reports whether it was this process that stood still (it was stopped, or starved): the answer may lie in its sockets, so
// the server is looked at once more, soon.
func (s *Session) overslept(now time.Time) bool {
	late := now.Sub(s.silence.At()) > oversleep && !s.excused
	s.excused = late
	return late
}

// listenToBeginning gives up a new server that does not answer what it has to hear first.
func (s *Session) listenToBeginning(r *restore) {
	now := s.u.c.Loop.Now()
	switch {
	case r.asking, !s.greeted && !s.ended && r.greeting != nil: // a callback has a limit of its own; who is not greeted waits as without us
		s.heard = now
	case now.Sub(s.heard) >= restoreTimeout:
		r.fail(fmt.Errorf("no answer within %v", restoreTimeout))
		return
	}
	s.u.c.Loop.Schedule(&s.silence, s.heard.Add(restoreTimeout))
}

// giveUp asks the element to end the leg of a silent server, and to say how far it has read: what was never read can be carried
// on elsewhere. While the answer is awaited nothing that the server says counts.
func (g *userLeg) giveUp(cause string) {
	g.gaveUp = cause
	g.s.notice(failure{cause: cause, detector: "reply timeout"})
	g.link.tell(g.stream, &message{typ: typeGiveUp})
	g.s.u.c.Loop.Schedule(&g.s.timer, g.s.u.c.Loop.Now().Add(g.s.u.c.Failover.Deadline))
}

// taken notes that the server has taken received bytes of the leg. While that is not all of the request, it is busy with it. That it
// has taken what it has answered is no news: such an acknowledgement comes up to ackEvery late.
func (s *Session) taken(received int64) {
	if s.awaiting.len() == 0 || received <= s.leg.acked {
		return
	}
	if answered, ok := s.leg.spans.legOffset(s.answered); ok && received <= answered {
		return
	}
	if end, ok := s.leg.spans.legOffset(s.awaiting.first().End); ok && received < end {
		s.heard = s.u.c.Loop.Now()
	}
}

package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// A request that may have been executed and must not be repeated is lost with its server. Where the protocol has words for that
// (protocol.LostReplies) they take the place of just that reply, in its turn, and the session goes on.

// loss is a request that is lost when a plan is carried out.
type loss struct {
	m      *retrieval.Message[*request]
	text   []byte
	reason string
}

// lose returns the honest error in place of m's reply; nil if there is none, or the client has a part of the reply. A session that
// is repeated from its beginning has none: it would not be what the next server says.
func (s *Session) lose(m *retrieval.Message[*request], doubt bool, reason string) []byte {
	l, ok := s.u.c.Protocol.(protocol.LostReplies)
	if !ok || s.whole || !m.Complete() || m.About.Request == nil || m.About.Expect != protocol.ExpectOne || s.begun(m) {
		return nil
	}
	return l.Lost(m.About.Request, doubt || m.About.doubt, reason)
}

// begun reports whether the client has a part of the reply to m.
func (s *Session) begun(m *retrieval.Message[*request]) bool {
	return s.awaiting.len() > 0 && s.awaiting.first() == m && s.partial.Bytes > 0 && !s.partial.Ahead
}

// losesReplies reports whether the protocol has words for a lost reply.
func (s *Session) losesReplies() bool {
	_, ok := s.u.c.Protocol.(protocol.LostReplies)
	return ok && !s.opaque && !s.whole
}

// doubted notes what the server of the leg that ends may have carried out, having read reach bytes: when it is lost later, on a leg
// of which that is not true or while no element is found, nobody must be told that it was not.
func (s *Session) doubted(reach int64) {
	if s.leg.restore != nil {
		return // no message was sent
	}
	for _, m := range s.awaiting.all() {
		m.About.doubt = m.About.doubt || m.About.lost == nil && !s.unread(m, reach)
	}
}

// letLose carries out the losses of the plan that is to be followed. They are then no part of it any more: it may be followed again.
func (s *Session) letLose(p *plan) {
	for _, x := range p.losses {
		x.m.About.lost = x.text
		s.lostCount()
	}
	for _, m := range p.dropped {
		m.Released = true
	}
	for _, u := range p.units {
		s.breakUnit(u.unit, u.reason)
	}
	p.losses, p.dropped, p.units = nil, nil, nil
}

// breakUnit gives a unit up. What its client still sends of it must not be sent on, what has begun to come of it included.
func (s *Session) breakUnit(u *protocol.Unit, reason string) {
	u.Break(reason)
	if u.Ended {
		return
	}
	s.broken = u
	s.holdUnfinished()
}

// holdUnfinished keeps back what the client has not finished while a unit is broken: it may turn out to be a part of it. If the client
// has ended it never will be finished, and is not sent at all.
func (s *Session) holdUnfinished() {
	last := s.store.Last()
	if s.broken == nil || last == nil || last.Complete() {
		return
	}
	s.sendable = min(s.sendable, last.Start)
	if s.ended {
		s.unsend(last.Start, s.store.Marked())
	}
}

// loseUnit gives up the unit of a request that was given up by itself, and the rest of it that waits. doubt: a server may have carried
// that out.
func (s *Session) loseUnit(of *retrieval.Message[*request], doubt bool, reason string) {
	u := unitOf(of)
	if u == nil || u.Broken() != "" {
		return
	}
	s.breakUnit(u, reason)
	for m := range s.store.Kept() {
		if m == of || unitOf(m) != u || m.About.lost != nil {
			continue
		}
		if m.About.lost = s.lose(m, doubt, reason); m.About.lost == nil { // it has no reply
			m.Released = true
		}
		s.unplan(m.Start, m.End)
	}
}

// unplan sees to it that the next leg does not get the part [from, to) of the log, also if it is to get what the present one was to get.
func (s *Session) unplan(from, to int64) {
	s.next.spans = s.next.spans.without(from, to)
}

func (s *Session) lostCount() {
	if s.record != nil {
		s.record.Lost++
	}
}

// answerLost gives the client the errors whose turn has come.
func (s *Session) answerLost() {
	for s.awaiting.len() > 0 && !s.done {
		m := s.awaiting.first()
		if m.About.lost == nil {
			return
		}
		s.awaiting.pop()
		s.unready = 0
		m.About.replied, m.Released = true, true
		s.partial = protocol.Delivered{}
		s.script.stop(lostReply)
		s.tell(m.About.lost)
	}
}

// unsend sees to it that the part [from, to) of the log, of which nothing was sent on this leg, is not sent at all.
func (s *Session) unsend(from, to int64) {
	s.unplan(from, to)
	if leg := s.leg; leg != nil && leg.restore == nil {
		leg.spans = leg.spans.without(from, to)
	}
}

// inBroken takes a complete request behind the loss of its unit: it must not reach another server.
func (s *Session) inBroken(m *retrieval.Message[*request]) {
	unit := s.broken
	if unitOf(m) != unit {
		return
	}
	text := s.lose(m, false, unit.Broken())
	if unit.Ended {
		s.broken = nil
	}
	s.unsend(m.Start, m.End)
	switch {
	case text == nil && unit.Ended: // nothing else would tell the client
		s.refuse(unit.Broken() + ", and its last request has no reply")
		return
	case text == nil:
		m.Released = true
	default:
		m.About.lost = text
		s.answerLost()
	}
	s.release()
}

// unitLoss is a unit that has to be broken, and why.
type unitLoss struct {
	unit   *protocol.Unit
	reason string
}

// judgeUnit says why the unit of a request that was not answered cannot be sent again; "" if it can, or need not be judged. reach is
// how much of the leg the server may have read.
func (s *Session) judgeUnit(u *protocol.Unit, reach int64) string {
	members, touched, tooLarge := 0, false, false
	for m := range s.store.Kept() {
		if unitOf(m) != u {
			continue
		}
		members++
		tooLarge = tooLarge || m.Lost
		end, sent := s.leg.spans.legOffset(m.End)
		touched = touched || sent && m.Complete() && end <= reach
	}
	switch {
	case members < u.Members: // the client has answers of it
		return "the transaction has lost its server"
	case tooLarge:
		return "a request of the transaction passed retrieval.memory"
	case !touched || u.Repeatable() && s.u.c.Failover.Replay != ReplayNone:
		return ""
	case u.Watched:
		return "the transaction has lost its server, and what it watched there"
	}
	return "the transaction has lost its server, and one of its requests must not be repeated"
}

// judgeUnits judges all units that are not answered in full.
func (s *Session) judgeUnits(reach int64) []unitLoss {
	var out []unitLoss
	var last *protocol.Unit
	for m := range s.store.Kept() {
		if u := unitOf(m); u != nil && u != last {
			last = u
			if reason := s.judgeUnit(u, reach); reason != "" && u.Broken() == "" {
				out = append(out, unitLoss{u, reason})
			}
		}
	}
	if u := s.openUnit(); u != nil && u != last && u.Broken() == "" && u.Members > 0 {
		out = append(out, unitLoss{u, "the transaction has lost its server"})
	}
	return out
}

// openUnit is the unit that the client is in the middle of, nil if there is none: its last request so far may have been answered
// and forgotten.
func (s *Session) openUnit() *protocol.Unit {
	if s.inUnit != nil && !s.inUnit.Ended {
		return s.inUnit
	}
	return nil
}

// poison gives up a request that has brought down too many elements: no other one is tried with it. It reports false if the
// protocol has no words for that.
func (s *Session) poison() bool {
	if s.awaiting.len() == 0 {
		return false
	}
	m := s.awaiting.first()
	reason := fmt.Sprintf("the request (%s) has brought down %d elements (failover.attempts)", label(m), s.failures)
	s.u.c.Trace.log('w', "poison: a request is not carried to another element", "session", s.ID, "client", s.Client,
		"request", label(m), "elements", s.failures)
	text := s.lose(m, true, reason)
	if text == nil {
		return false
	}
	s.failures = 0
	m.About.lost = text
	s.lostCount()
	s.unplan(m.Start, m.End)
	s.next.joiner, s.next.continued = nil, nil // they were for m, which is the first
	s.loseUnit(m, true, reason)
	return true
}

// expired answers all that waits when no element was found in time, and goes on looking. It reports false if the protocol has no
// words for that, or the client is in the middle of something.
func (s *Session) expired(reason string) bool {
	if !s.losesReplies() || s.next.joiner != nil || s.next.whole {
		return false
	}
	losses, ok := s.lossOfAll(reason)
	if !ok {
		return false
	}
	if s.idle = s.awaiting.len() == 0; !s.idle {
		s.notice(failure{cause: reason, detector: "silence"})
		s.record.Lost += len(losses)
		s.reportAs(KindAnswered, reason)
		s.u.c.Trace.log('w', "requests answered by an error: "+reason, "session", s.ID, "client", s.Client, "requests", s.awaiting.len())
	}
	for _, x := range losses {
		x.m.About.lost = x.text
		s.unsend(x.m.Start, x.m.End)
		s.loseUnit(x.m, x.m.About.doubt, reason)
	}
	s.answerLost()
	if s.ended && !s.done {
		s.leg, s.closing = nil, true
		s.maybeClosed()
	}
	return true
}

// lossOfAll is what is lost if everything that waits for a reply is. ok is false if there are no words for some of it, or something
// that has no reply would be lost with it, or torn.
func (s *Session) lossOfAll(reason string) (losses []loss, ok bool) {
	units := make(map[*protocol.Unit]bool)
	for _, m := range s.awaiting.all() {
		if u := unitOf(m); u != nil {
			units[u] = true
		}
		if m.About.lost != nil { // it keeps its words
			continue
		}
		text := s.lose(m, false, reason)
		if text == nil {
			return nil, false
		}
		losses = append(losses, loss{m, text, reason})
	}
	for m := range s.store.Kept() {
		if m.Complete() && m.About.Request != nil && m.About.Expect == protocol.ExpectNone && s.ended && !units[unitOf(m)] {
			return nil, false
		}
	}
	return losses, true
}

func label(m *retrieval.Message[*request]) string {
	if m.About.Request == nil {
		return "a request that is still coming"
	}
	return m.About.Label
}

package session

// A server that has just been started may take connections before it serves: redis, while it reads its disk, answers -LOADING. What it
// answers so it has not carried out, be it safe or not: that goes to another element, or to the same one later, and the client does not
// hear of it. The server carries out in their order what comes behind it, perhaps when it has begun to serve: of that nothing is known,
// as at the end of any leg. Where something would be lost by that, or carried out twice though the server lives, the client gets the server's
// answer as it is; unless that would come in the middle of a reply, or in place of one that is being repeated.

// turnedAway ends the leg whose server has said of the oldest request that it does not serve yet. It reports false if the session cannot go
// elsewhere without a loss, and has done nothing then.
func (s *Session) turnedAway(leg *userLeg) bool {
	if s.awaiting.len() == 0 || s.u.c.Once || s.out.end || leg.end || leg.restore != nil {
		return false
	}
	m := s.awaiting.first()
	if !m.Complete() || unitOf(m) != nil { // of a transaction the server has begun to carry out something
		return false
	}
	leg.unready = m
	s.remember()
	if p, err := s.plan(leg.highest); err != nil || !p.free() && !p.whole && !s.begun(m) {
		leg.unready = nil
		return false
	}
	const cause = "the server does not serve yet"
	s.u.c.Trace.log('d', cause, "pool_element", s.from, "session", s.ID, "client", s.Client, "request", label(m))
	s.searchOn(failure{cause: cause, detector: "unready"})
	s.elementFailed(CodeServer)
	leg.abandon(CodeAbandoned, cause)
	s.failed(failure{cause: cause, detector: "unready", reach: leg.highest})
	return true
}

// searchOn begins the search for a server that serves, or goes on with it until there is a reply: its deadline stays what it was, also if
// something was pushed meanwhile, and from the second leg on there is a pause, which becomes longer.
func (s *Session) searchOn(f failure) {
	now := s.u.c.Loop.Now()
	if s.record == nil {
		s.notice(f)
		if s.unready == 0 {
			s.deadline = now.Add(s.u.c.Failover.Deadline)
		}
	}
	if s.unready > 0 {
		s.notYet = now.Add(min(firstPause<<min(s.unready, 10), redialEvery))
	}
	s.unready++
}

package session

import "github.com/poolproxy/poolproxy/protocol"

// due returns the oldest request whose reply is due, nil if there is none.
func (s *Session) due() *protocol.Request {
	if s.awaiting.len() == 0 {
		return nil
	}
	return s.awaiting.first().About.Request
}

// fromServer passes on the bytes of the server: through the joiner or parser of the leg, to the client.
func (s *Session) fromServer(p []byte) {
	leg := s.leg
	s.heard = s.u.c.Loop.Now()
	for len(p) > 0 && s.leg == leg && !s.done && !s.closing {
		switch {
		case leg.joiner != nil:
			p = s.join(leg, p)
		case leg.replies == nil:
			s.pass(leg, p)
			return
		default:
			p = s.split(leg, p)
		}
	}
}

// join hands p to the joiner of an interrupted reply and returns what is left of it.
func (s *Session) join(leg *userLeg, p []byte) []byte {
	n, out, end, err := leg.joiner.Next(p)
	if err != nil {
		s.mixed(err)
		return nil
	}
	s.pass(leg, out)
	if end && !s.done {
		s.joined(leg)
	}
	return p[n:]
}

// joined notes that the interrupted reply is complete. Where the client takes the end of the connection for the reply's, it gets one.
func (s *Session) joined(leg *userLeg) {
	closes := leg.joiner.Closes()
	if s.record != nil {
		s.record.Skipped, s.record.Saved = leg.joiner.Skipped(), leg.joiner.Saved()
	}
	leg.joiner = nil
	s.replied()
	if closes && !s.out.end {
		if err := s.out.finish(true); err != nil {
			s.Broken(err)
		}
	}
}

// split finds the replies in p and returns what the parser has not looked at yet.
func (s *Session) split(leg *userLeg, p []byte) []byte {
	req := s.due()
	cut, err := leg.replies.Next(req, p)
	if err != nil {
		s.refuse("the server's reply is not valid: " + err.Error())
		return nil
	}
	part := p[:cut.N]
	if cut.Hold {
		leg.held = append(leg.held, part...)
	} else {
		if len(leg.held) > 0 {
			s.pass(leg, leg.held)
			leg.held = leg.held[:0]
		}
		s.pass(leg, part)
		s.unasked = s.unasked || req == nil
	}
	if cut.Tunnel && req != nil {
		req.Expect = protocol.ExpectUnknown
		if t, ok := s.requests.(protocol.Tunneler); ok {
			t.Tunnel()
		}
	}
	if cut.End && !s.done {
		if req != nil {
			s.replied()
		}
	}
	return p[cut.N:]
}

// pass gives bytes to the client. With replay = "session" those that it already has are compared and dropped.
func (s *Session) pass(leg *userLeg, p []byte) {
	if leg.verifier != nil {
		var err error
		if _, p, err = leg.verifier.Next(p); err != nil {
			s.mixed(err)
			return
		}
	}
	if len(p) == 0 || s.done {
		return
	}
	if s.whole {
		s.history.Add(p)
	}
	s.failures = 0
	if s.record != nil && s.record.First == 0 {
		s.record.First = s.u.c.Loop.Now().Sub(s.record.Time)
		s.report(s.record.Verdict)
	}
	if err := s.out.put(p); err != nil {
		s.Broken(err)
	}
}

// replied notes that the oldest request has its reply in full: it is released, if it was not before.
func (s *Session) replied() {
	m := s.awaiting.pop()
	m.About.replied = true
	m.Released = true
	if v := s.leg.verifier; v == nil || v.Remaining() == 0 { // else the client had it long ago
		s.partial = protocol.Delivered{}
	}
	s.release()
}

// serverEnd takes the server's end of file, from a server that still listens: a close, unless a request is in flight.
func (s *Session) serverEnd() {
	leg := s.leg
	switch {
	case leg.joiner != nil && leg.joiner.Finish():
		s.joined(leg)
	case leg.joiner == nil && leg.replies != nil && s.awaiting.len() > 0 && leg.replies.Finish(s.due()):
		s.replied()
	}
	if leg.verifier != nil && leg.verifier.Remaining() > 0 {
		s.mixed(errShort)
		return
	}
	if s.awaiting.len() > 0 && !s.cutShort() {
		leg.abandon(CodeAbandoned, "the server closed with a request in flight")
		s.legFailed(failure{cause: "the server closed the connection with a request in flight", reach: leg.sent})
		return
	}
	if len(leg.held) > 0 {
		s.pass(leg, leg.held)
		leg.held = nil
	}
	if s.ended && leg.endSent && leg.acked >= leg.sent && s.out.spill.Len() == 0 {
		s.out.end, s.out.ended = true, true // closing, which is next, sends the end as well: a system call saved
	} else if err := s.out.finish(true); err != nil && !s.done {
		s.Broken(err)
		return
	}
	s.maybeClosed()
}

// cutShort reports whether no server will ever answer the first request whose reply is due: the client has left it unfinished,
// or it is a goodbye.
func (s *Session) cutShort() bool {
	m := s.awaiting.first()
	return m.About.goodbye || s.ended && !m.Complete()
}

// inFlight reports whether a request whose reply is due was sent, at least in part.
func (s *Session) inFlight() bool {
	if s.awaiting.len() == 0 || s.leg == nil {
		return false
	}
	m := s.awaiting.first()
	return m.Start < s.sentTo() || s.partial.Bytes > 0
}

// sentTo is the offset in the store up to which the present leg has sent.
func (s *Session) sentTo() int64 { return s.leg.spans.logOffset(s.leg.highest) }

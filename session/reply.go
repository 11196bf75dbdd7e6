package session

import (
	"errors"
	"slices"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// due returns the oldest request whose reply is due, nil if there is none.
func (s *Session) due() *protocol.Request {
	if s.awaiting.len() == 0 {
		return nil
	}
	return s.awaiting.first().About.Request
}

// fromServer passes on the bytes of the server: through the joiner or parser of the leg, to the client.
func (s *Session) fromServer(p []byte) {
	s.out.gathering = true
	s.splice(p)
	s.out.gathering = false
	if err := s.out.flush(); err != nil {
		s.Broken(err)
	}
	if s.closing {
		s.maybeClosed()
	}
}

// splice is fromServer; what it passes on is gathered.
func (s *Session) splice(p []byte) {
	leg := s.leg
	s.heard = s.u.c.Loop.Now()
	for len(p) > 0 && s.leg == leg && !s.done && !s.closing {
		switch {
		case leg.gaveUp != "":
			return // it comes too late
		case leg.restore != nil:
			p = leg.restore.take(p)
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
	switch {
	case errors.Is(err, protocol.ErrUnready) && s.turnedAway(leg):
		return nil
	case err != nil:
		s.mixed(err)
		return nil
	}
	s.pass(leg, out)
	if err := s.out.flush(); err != nil { // out may be the joiner's own
		s.Broken(err)
	}
	if end && !s.done {
		s.joined(leg)
	}
	return p[n:]
}

// joined notes that the interrupted reply is complete. Where the client takes the end of the connection for the reply's, it gets one.
func (s *Session) joined(leg *userLeg) {
	closes := leg.joiner.Closes()
	unasked := s.awaiting.len() == 0
	if s.record != nil {
		s.record.Skipped, s.record.Saved = leg.joiner.Skipped(), leg.joiner.Saved()
	}
	leg.joiner = nil
	if unasked {
		s.partial = protocol.Delivered{}
	} else {
		s.replied()
	}
	s.giveBehind()
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
	if cut.Unready && req != nil && s.turnedAway(leg) {
		return nil
	}
	part := p[:cut.N]
	if cut.Hold {
		leg.kept = append(leg.kept, part...)
	} else {
		s.script.pushes(cut.Push)
		if len(leg.kept) > 0 {
			s.pass(leg, leg.kept)
			leg.kept = leg.kept[:0]
		}
		s.pass(leg, part)
		s.unasked = s.unasked || req == nil && !cut.Push
		s.goodbye = s.goodbye || cut.Close
	}
	if cut.Tunnel && req != nil {
		req.Expect = protocol.ExpectUnknown
		s.script.stop("the connection has become a tunnel")
		if t, ok := s.requests.(protocol.Tunneler); ok {
			t.Tunnel()
		}
	}
	switch {
	case !cut.End || s.done || cut.Push:
	case req != nil:
		s.replied()
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
	s.failures = 0
	s.give(p)
}

// give gives new bytes of a server to the client.
func (s *Session) give(p []byte) {
	if s.whole {
		s.history.Add(p)
	}
	if s.record != nil && s.record.First == 0 && s.leg != nil { // else it is the error in place of a lost reply
		s.record.First = s.u.c.Loop.Now().Sub(s.record.Time)
		s.report(s.record.Verdict)
	}
	if s.script != nil {
		s.script.hears(p)
	}
	s.tell(p)
}

// tell gives bytes to the client that are not the answer of a server.
func (s *Session) tell(p []byte) {
	if err := s.out.put(p); err != nil {
		s.Broken(err)
	}
}

// replied notes that the oldest request has its reply in full: it is released, if it was not before.
func (s *Session) replied() {
	m := s.awaiting.pop()
	again := m.About.replied
	if v := s.leg.verifier; v != nil && v.Remaining() > 0 && !again { // this reply would be taken for a part of those before it
		s.mixed(errShort)
		return
	}
	if !again {
		s.unready = 0
		s.life.answered()
		s.script.answered()
	}
	m.About.replied = true
	m.Released = true
	s.goodbye = s.goodbye || m.About.goodbye
	s.answered = m.End
	s.carriedBefore(m)
	if v := s.leg.verifier; v == nil || v.Remaining() == 0 { // else the client had it long ago
		s.partial = protocol.Delivered{}
		if !again { // else what it has changed is known, and its own words are with that
			s.changed(m)
			s.synced(m)
		}
	}
	s.answerLost()
	s.release()
	if s.leg != nil {
		s.leg.answered()
	}
}

// synced forgets, for replay = "session", what came before a point of rest.
func (s *Session) synced(m *retrieval.Message[*request]) {
	if !s.whole || !m.About.Sync || failedOutcome(m.About.Request) {
		return
	}
	s.begin, s.unsafe = m.End, false
	s.history = &history{atSync: slices.Clone(s.states.upTo(m.End))} // later ones may take their place, or void them
	s.store.Forget(m.End)
	s.store.Release(max(s.store.Start(), min(m.End, s.leg.spans.logOffset(s.leg.acked))))
	for later := range s.store.All() {
		s.unsafe = s.unsafe || later.About.Request != nil && !later.About.Safe
	}
}

// greet gives the client the greeting of its first server, whole. It is no part of the history that other servers repeat: theirs is
// swallowed.
func (s *Session) greet(p []byte) {
	if s.greeted {
		return
	}
	s.greeted = true
	s.tell(p)
}

// serverEnd takes the server's end of file, from a server that still listens: a close, unless a request is in flight.
func (s *Session) serverEnd() {
	leg := s.leg
	if r := leg.restore; r != nil && (r.greeting == nil || s.greeted || s.awaiting.len() > 0) {
		r.fail(errors.New("the server closed the connection"))
		return
	}
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
	if s.closeIsFailure() {
		s.closed()
		return
	}
	if leg.joiner != nil { // what the client has is no server's whole reply, and must not look like one
		s.mixed(errShort)
		return
	}
	if len(leg.kept) > 0 {
		s.pass(leg, leg.kept)
		leg.kept = nil
	}
	if r := leg.restore; r != nil && r.greeting != nil {
		s.greet(slices.Concat(r.answer, r.held)) // it says why it does not want the client
	}
	if s.ended && leg.endSent && leg.acked >= leg.sent && s.out.spill.Len() == 0 {
		s.out.end, s.out.ended = true, true // closing, which is next, sends the end as well: a system call saved
	} else if err := s.out.finish(true); err != nil && !s.done {
		s.Broken(err)
		return
	}
	s.maybeClosed()
}

// closeIsFailure judges the end of file of a server that still listens (failover.on_server_close).
func (s *Session) closeIsFailure() bool {
	waits := s.awaiting.len() > 0 && !s.cutShort()
	switch s.u.c.Failover.OnServerClose {
	case CloseIsClose:
		return false
	case CloseIsFailed:
		return waits || !s.ended && !s.goodbye && s.awaiting.len() == 0 && !s.out.end && s.movable()
	}
	return waits
}

// resetIsMeant judges the reset of a server that lives: of a quiet connection, or one of which nothing is known, it is meant, unless
// failover.on_server_close says otherwise.
func (s *Session) resetIsMeant() bool {
	switch s.u.c.Failover.OnServerClose {
	case CloseIsClose:
		return true
	case CloseIsFailed:
		return s.goodbye
	}
	return s.awaiting.len() == 0
}

// movable reports whether another element could carry the session on behind the present leg. If none could, and nothing waits for a
// reply, a server's close is better than our reset.
func (s *Session) movable() bool {
	s.remember()
	_, err := s.plan(s.leg.highest)
	return err == nil
}

// closed has the session survive a server that closes the connection. One that does so again and again is not asked at full speed.
func (s *Session) closed() {
	leg := s.leg
	cause := "the server closed the connection with a request in flight"
	if s.awaiting.len() == 0 {
		cause = `the server closed the connection (failover.on_server_close = "failover")`
		s.notAtOnce()
	}
	leg.abandon(CodeAbandoned, cause)
	s.legFailed(failure{cause: cause, detector: "closed", reach: leg.sent, confirmed: true})
}

// notAtOnce sees to it that servers which leave a session right after it came are not asked at full speed.
func (s *Session) notAtOnce() {
	if now := s.u.c.Loop.Now(); now.Sub(s.placed) < redialEvery {
		s.notYet = now.Add(redialEvery)
	}
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

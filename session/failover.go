package session

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// errShort is the mismatch of a server that ended before it had repeated what the client has.
var errShort = fmt.Errorf("%w: it ended before it had repeated what the client already has", protocol.ErrMismatch)

// failure is the end of a leg that the session should survive.
type failure struct {
	cause     string // how it was noticed, in words
	detector  string // the same, as one of a few words
	reach     int64  // bytes of the leg that the server may have read
	confirmed bool   // the old server gets nothing more, for certain
}

// legOpen notes that the leg's server is connected.
func (s *Session) legOpen() {
	s.gotIn()
	s.u.c.Pool.HasRoom(s.leg.link.element.Name, s.placed)
	s.u.found(s.leg.link.element.Name)
	s.heard = s.u.c.Loop.Now()
	if s.record != nil {
		s.record.Connect = s.u.c.Loop.Now().Sub(s.record.Time)
	}
	if r := s.leg.restore; r != nil {
		s.listenSoon(restoreTimeout) // and the deadline goes on
		r.advance()
		return
	}
	s.u.c.Loop.Cancel(&s.timer)
	s.serving()
}

// serving is called when the leg is open and its messages are on their way.
func (s *Session) serving() {
	if s.from != s.back {
		s.returns, s.departs = 0, time.Time{}
	}
	s.idle, s.served, s.shunned, s.back = false, s.from, nil, ""
	s.life.at(s.from)
	s.release() // what was lost with the leg before; there may be nothing whose acknowledgement would do it
	s.expectReply()
	if s.record != nil && s.awaiting.len() == 0 && !s.opaque {
		s.report("")
	}
	s.depart() // it may have been drained meanwhile
}

// legLost notes that the association of the leg broke. It waits to be resumed.
func (s *Session) legLost(err error) {
	leg := s.leg
	leg.lost, leg.lostAt = true, s.u.c.Loop.Now()
	s.notice(failure{cause: "association lost: " + err.Error(), detector: "association"})
	if errors.Is(err, mapping.ErrSilent) && s.record.Detector == "association" {
		s.record.Detector = "heartbeats"
		if a, can := leg.link.a.(interface{ Heard() time.Time }); can {
			s.record.Detect = leg.lostAt.Sub(a.Heard())
		}
	}
}

// legResumed notes that the leg goes on where it was.
func (s *Session) legResumed() {
	s.heard = s.u.c.Loop.Now()
	if s.leg.restore != nil {
		s.listenSoon(restoreTimeout)
	} else {
		s.expectReply()
	}
	if s.leg.open && s.leg.restore == nil {
		s.u.c.Loop.Cancel(&s.timer)
	} else {
		s.u.c.Loop.Schedule(&s.timer, s.deadline)
	}
	if s.record != nil && s.record.Tried == 0 { // else this was on the way to another element
		s.record.Kind, s.record.To = KindResumed, s.leg.link.element.Name
		s.record.Connect = s.u.c.Loop.Now().Sub(s.record.Time)
		s.report("")
	}
}

// legEnded takes the element's terminal message.
func (s *Session) legEnded(m *message) {
	leg := s.leg
	cause := m.code.String()
	if m.text != "" {
		cause += ": " + m.text
	}
	f := failure{cause: cause, detector: "refused", reach: leg.highest, confirmed: true}
	fresh := !leg.open && leg.acked == 0 && leg.received == 0
	switch {
	case m.typ == typeRefused && leg.lost: // of a resumption
		f.cause = "resumption refused: " + cause
		if m.code == CodeNever && fresh { // OPEN was lost, and all behind it
			f.reach = 0
		}
		s.legFailed(f)
	case m.typ == typeRefused && !fresh:
		leg.broke("it refused a leg that was open")
	case m.typ == typeRefused && m.code == CodeCookie:
		s.cookieRefused(cause)
	case m.typ == typeRefused:
		s.elementFailed(m.code)
		s.legRefused(cause)
	case m.typ != typeLegFailed:
		s.u.c.Pool.Failed(s.u.c.Loop.Now(), s.from)
		f.cause = "the element ended the leg: " + cause
		s.legFailed(f)
	case m.listens && leg.restore == nil && leg.gaveUp == "" && s.resetIsMeant():
		s.u.c.Trace.log('d', "reset by server", "session", s.ID)
		s.because(EndServer, cause)
		s.over(true)
	default:
		s.serverFailed(m, cause)
	}
}

// elementFailed has the element passed over for a moment. Only if its server is not there is that of interest to others than this session.
func (s *Session) elementFailed(code Code) {
	switch code {
	case CodeServer, CodeServerEnded, CodeServerReset:
		s.u.c.Pool.Unreachable(s.u.c.Loop.Now(), s.from)
	case CodeBusy:
		if s.entered != "" {
			s.u.c.Pool.Full(s.u.c.Loop.Now(), s.entered)
			s.entered = ""
		}
	default:
		s.u.c.Pool.Failed(s.u.c.Loop.Now(), s.from)
	}
}

// serverFailed takes the element's word that its server has failed.
func (s *Session) serverFailed(m *message, cause string) {
	leg := s.leg
	switch {
	case !m.listens:
		s.elementFailed(m.code)
	case leg.restore != nil:
		s.elementFailed(CodeNone)
	case s.awaiting.len() == 0:
		s.notAtOnce()
	}
	switch {
	case m.received < leg.acked || m.received > leg.highest:
		m.received = leg.highest
	case s.u.c.Exact, leg.reads && m.code != CodeServerEnded: // so much it may have read; what it has read was acknowledged
	default:
		leg.acked = m.received
		s.settle()
		if s.leg != leg { // that was all there was to do
			return
		}
	}
	f := failure{cause: cause, detector: cmp.Or(detectors[m.code], "element"), reach: m.received, confirmed: true}
	if leg.gaveUp != "" {
		f.cause, f.detector = leg.gaveUp+" ("+cause+")", "reply timeout"
	}
	s.legFailed(f)
}

// detectors are the words for what noticed a failure, by the code of LEG-FAILED.
var detectors = map[Code]string{CodeServerReset: "reset", CodeServerEnded: "end of file", CodeHealth: "health check", CodeSilent: "reply timeout"}

// legRefused looks for another element for a leg of which nothing was given to a server.
func (s *Session) legRefused(cause string) {
	if s.done {
		return
	}
	s.failed(failure{cause: cause, reach: 0, confirmed: true})
}

// legFailed moves the session to another element, or ends it.
func (s *Session) legFailed(f failure) {
	if s.done {
		return
	}
	s.notice(f)
	if s.leg.restore != nil {
		s.notRestored()
	} else if s.leg.open {
		s.deadline = s.u.c.Loop.Now().Add(s.u.c.Failover.Deadline)
		if s.inFlight() {
			s.failures++ // pass sets it back: who brings the client something new has not been brought down by the request
		}
	}
	s.failed(f)
}

func (s *Session) failed(f failure) {
	s.lastCause = f.cause
	if s.u.c.Once {
		s.endWith(f.cause, nil)
		return
	}
	if s.out.end {
		s.failedBehindEnd()
		return
	}
	s.remember()
	if s.failures >= s.u.c.Failover.Attempts && !s.poison() {
		s.refuse(fmt.Sprintf("the request has brought down %d elements (failover.attempts)", s.failures))
		return
	}
	next, err := s.plan(f.reach)
	if err != nil {
		if s.record != nil {
			s.record.Unprotected = true
		}
		s.refuse(err.Error())
		return
	}
	s.doubted(f.reach)
	leg := s.leg
	leg.over = true
	s.leg = nil
	s.exit()
	s.failedOver = s.failedOver || leg.open || leg.highest > 0
	if next.whole {
		s.rewind()
	}
	s.next = next
	s.letLose(next)
	s.answerLost()
	if s.done {
		return
	}
	s.fence(leg, f, next)
	s.place(next)
}

// failedBehindEnd ends a session whose client has been told the end, or will be: no other server could say anything more to it.
// What is left for the client is still written.
func (s *Session) failedBehindEnd() {
	s.because(EndClosed, "")
	s.leg.over = true
	s.leg, s.closing = nil, true
	s.store.Clear()
	s.u.c.Loop.Cancel(&s.timer)
	if err := s.out.finish(true); err != nil {
		s.over(true)
		return
	}
	s.maybeClosed()
	if s.stopped && !s.done {
		s.out.socket.ReadOn()
	}
}

// remember keeps what the leg knows of a reply that it leaves behind in the middle.
func (s *Session) remember() {
	switch leg := s.leg; {
	case leg.joiner != nil:
		s.partial = leg.joiner.Delivered()
	case leg.replies == nil || leg.received == 0 || leg.restore != nil:
	case leg.verifier == nil || leg.verifier.Remaining() == 0:
		s.partial = leg.replies.Delivered()
	}
}

// rewind makes all replies due again, for a leg that repeats the whole session.
func (s *Session) rewind() {
	s.awaiting = queue[*retrieval.Message[*request]]{}
	for m := range s.store.All() {
		if m.About.queued && m.Start >= s.begin {
			s.awaiting.push(m)
		}
	}
}

// wake runs when it is time to look for an element again, when the deadline has passed, and when closing has taken too long.
func (s *Session) wake() {
	switch {
	case s.done:
	case s.closing:
		s.over(s.out.spill.Len() > 0)
	case s.leg == nil:
		s.leaveLine()
		s.place(s.next)
	case s.leg.gaveUp != "":
		leg := s.leg
		leg.abandon(CodeAbandoned, "the element did not answer")
		s.legFailed(failure{cause: leg.gaveUp, detector: "reply timeout", reach: leg.highest})
	case s.leg.lost:
		leg := s.leg
		leg.abandon(CodeAbandoned, "not resumed in time")
		s.legFailed(failure{cause: "the element did not answer the resumption", detector: "association", reach: leg.highest})
	case !s.leg.open && s.u.c.Loop.Now().Before(s.deadline): // it has moved since
		s.u.c.Loop.Schedule(&s.timer, s.deadline)
	case !s.leg.open:
		leg := s.leg
		leg.abandon(CodeAbandoned, "not open in time")
		s.legFailed(failure{cause: "the element did not answer", detector: "silence", reach: leg.highest}) // it is too late for another
	case s.leg.restore != nil && (s.greeted || s.leg.restore.greeting == nil):
		s.leg.restore.fail(errors.New("the deadline has passed (failover.deadline)"))
	}
}

// mixed ends a session whose new server answers differently: what the client would get is neither server's.
func (s *Session) mixed(err error) {
	s.end(err.Error(), true)
}

// refuse ends a session that cannot be carried on, by the protocol's own error where one can still be told.
func (s *Session) refuse(reason string) { s.end(reason, false) }

// invalid ends a session whose client does not speak the protocol. It is told so where no other reply is due before that.
func (s *Session) invalid(err error) {
	reason := "the request is not valid: " + err.Error()
	if !s.done && !s.closing {
		s.because(EndInvalid, reason)
	}
	if r, ok := s.u.c.Protocol.(protocol.Refuser); ok && (s.awaiting.len() == 0 || s.awaiting.first() == s.store.Last() && !s.answering()) {
		s.endWith(reason, r.Invalid(reason))
		return
	}
	s.refuse(reason)
}

// lingering is how long a client may take to read the protocol's own error.
const lingering = 2 * time.Second

// end ends the session for a reason that the operator is told, and the client where its protocol has words for it.
func (s *Session) end(reason string, mixed bool) {
	var text []byte
	if !s.done && !s.closing && !mixed && s.unanswered() && !s.answering() {
		text = s.u.c.Protocol.Abort(reason)
	}
	s.endWith(reason, text)
}

// endWith ends the session with a last text for the client; nil: it is reset.
func (s *Session) endWith(reason string, text []byte) {
	if s.done || s.closing {
		return
	}
	s.because(EndFailed, reason)
	s.notice(failure{cause: reason, detector: "refused"})
	leg := s.leg
	if leg != nil {
		leg.abandon(CodeAbandoned, reason)
	}
	s.u.c.Trace.log('w', "session ended", "session", s.ID, "client", s.Client, "reason", reason, "told", text != nil)
	s.report(reason)
	s.leg = nil
	s.leaveLine() // else room would be found for what is about to close
	if text == nil {
		s.over(true)
		return
	}
	s.closing = true
	s.store.Clear()
	if err := errors.Join(s.out.put(text), s.out.finish(true)); err != nil {
		s.over(true)
		return
	}
	s.u.c.Loop.Schedule(&s.timer, s.u.c.Loop.Now().Add(lingering))
	s.maybeClosed()
	if s.stopped && !s.done {
		s.out.socket.ReadOn()
	}
}

// unanswered reports whether a reply is due that the client does not have: where a leg repeats the session, those that it has
// are due, too.
func (s *Session) unanswered() bool {
	return slices.ContainsFunc(s.awaiting.all(), func(m *retrieval.Message[*request]) bool { return !m.About.replied })
}

// answering reports whether the client has a part of the first due reply.
func (s *Session) answering() bool {
	if s.leg != nil {
		s.remember()
	}
	return s.partial.Bytes > 0 && !s.partial.Ahead
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

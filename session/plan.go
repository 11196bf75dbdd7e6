package session

import (
	"errors"
	"fmt"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// plan is what a new leg has to send, and how its replies are joined to those that the client has.
type plan struct {
	spans    spans
	joiner   protocol.Joiner
	messages int   // that were sent before
	bytes    int64 // of them
	whole    bool  // the whole session is repeated
}

// Reasons why a session cannot be moved. Each names the setting that would change it.
var (
	errStream = errors.New(`replay is not allowed for protocol stream: failover { replay = "session" } would allow it, ` +
		`if the servers answer the same to the same`)
	errStreamAnswered = errors.New(`replay = "unacked" cannot join the answers of two servers, and the server has answered: ` +
		`failover { replay = "session" } compares all of them`)
	errHistory = errors.New(`the session's history passed retrieval.memory: a larger one would keep it`)
	errUnasked = errors.New("the server spoke without being asked, so its replies cannot be told apart")
)

// maxHead is how much of a request is handed to the protocol to be rewritten.
const maxHead = 64 << 10

// plan decides what may be sent to another element after the present leg, of which the server may have read reach bytes. The error
// says why the session cannot be moved, and which setting would change that.
func (s *Session) plan(reach int64) (*plan, error) {
	if reach == 0 && s.leg.received == 0 && (s.whole || !s.next.whole) {
		return s.next, nil // as if this leg had never been
	}
	switch {
	case s.u.c.Failover.Replay == ReplaySession:
		return s.planWhole()
	case s.opaque:
		return s.planStream(reach)
	case s.unasked && !s.unpaired():
		return nil, errUnasked
	}
	return s.planMessages(reach)
}

// unpaired reports whether replies do not belong to requests in this protocol as it is configured.
func (s *Session) unpaired() bool {
	u, ok := s.u.c.Protocol.(interface{ Unpaired() bool })
	return ok && u.Unpaired()
}

// planWhole repeats the session from its beginning. All replies are compared with those delivered.
func (s *Session) planWhole() (*plan, error) {
	if !s.whole || s.store.Start() > 0 {
		return nil, errHistory
	}
	if s.unsafe && s.u.c.Failover.Unsafe == UnsafeRefuse {
		return nil, errors.New(`the session contains an unsafe request, which must not be repeated: failover { unsafe = "replay" } would allow it`)
	}
	return &plan{spans: spans{}.add(0, toEnd, nil), messages: s.store.Messages(), bytes: min(s.sentTo(), s.store.End()), whole: true}, nil
}

// planStream carries on a stream of which nothing is known: only what no server can have read may be sent, and with replay =
// "unacked" what no server has acknowledged, as long as the client has no answer that another server could contradict.
func (s *Session) planStream(reach int64) (*plan, error) {
	switch {
	case s.u.c.Failover.Replay == ReplayNone:
		return nil, errStream
	case s.out.accepted > 0:
		return nil, errStreamAnswered
	}
	start := s.store.Start()
	return &plan{spans: spans{}.add(start, toEnd, nil), messages: 1, bytes: max(0, s.sentTo()-start)}, nil
}

// planMessages goes through the messages that are kept, and judges each.
func (s *Session) planMessages(reach int64) (*plan, error) {
	for _, m := range s.awaiting.all() {
		if m.Released {
			return nil, fmt.Errorf(`the request in flight (%s) was forgotten when it was delivered: failover { ack = "reply" } would keep it`,
				m.About.Label)
		}
	}
	if m := s.store.Last(); m != nil && m.Released && !m.Complete() {
		return nil, fmt.Errorf("the request (%s) was answered before it was complete: its rest cannot be given to another server", m.About.Label)
	}
	p := &plan{}
	sentTo := s.sentTo()
	for m := range s.store.Kept() {
		if err := s.mayRepeat(m, reach); err != nil {
			return nil, err
		}
		if end := min(s.endOf(m), sentTo); m.Start < end {
			p.messages++
			p.bytes += end - m.Start
		}
		if err := s.repeat(p, m); err != nil {
			return nil, err
		}
	}
	if last := len(p.spans) - 1; last < 0 || p.spans[last].to != toEnd {
		p.spans = p.spans.add(s.store.Marked(), toEnd, nil)
	}
	return p, nil
}

// endOf is the end of what has come of m.
func (s *Session) endOf(m *retrieval.Message[*request]) int64 {
	if m.Complete() {
		return m.End
	}
	return s.store.Marked()
}

// mayRepeat judges whether m may be sent to another element, when the server of the present leg may have read reach bytes of it.
func (s *Session) mayRepeat(m *retrieval.Message[*request], reach int64) error {
	first := s.awaiting.len() > 0 && s.awaiting.first() == m
	begun := first && s.partial.Bytes > 0 && !s.partial.Ahead
	end, onLeg := s.leg.spans.legOffset(m.End)
	unread := !m.Complete() || (onLeg && end > reach)
	if m.About.Request != nil && m.About.Expect == protocol.ExpectUnknown { // it has no end: a part of it may have been carried out
		first, sent := s.leg.spans.legOffset(m.Start + 1)
		unread = sent && first > reach
	}
	f := &s.u.c.Failover
	label := ""
	if m.About.Request != nil {
		label = m.About.Label
	}
	switch {
	case m.Lost:
		return fmt.Errorf("the request in flight (%s) passed retrieval.memory: a larger one would keep it", label)
	case unread && !begun:
		return nil
	case m.About.Expect == protocol.ExpectUnknown:
		return fmt.Errorf("nothing is known of what followed the request in flight (%s)", label)
	case f.Replay == ReplayNone:
		return fmt.Errorf(`a request is in flight (%s) and replay is not allowed: failover { replay = "unacked" } would allow it`, label)
	case !m.About.Safe && f.Unsafe == UnsafeRefuse:
		return fmt.Errorf(`an unsafe request is in flight (%s) and may have been executed: it is not repeated`, label)
	}
	return nil
}

// repeat adds m to what the new leg sends; the reply that was cut in the middle is prepared to be joined.
func (s *Session) repeat(p *plan, m *retrieval.Message[*request]) error {
	to := m.End
	if !m.Complete() {
		to = toEnd
	}
	if s.awaiting.len() == 0 || s.awaiting.first() != m || s.partial.Bytes == 0 {
		p.spans = p.spans.add(m.Start, to, nil)
		return nil
	}
	var head []byte
	if m.Complete() && m.End-m.Start <= maxHead {
		head = s.store.Copy(nil, m.Start, m.End)
	}
	again, joiner, err := s.u.c.Protocol.Join(m.About.Request, head, s.partial)
	if err != nil {
		return fmt.Errorf("the reply to %s was cut and cannot be joined: %w", m.About.Label, err)
	}
	p.joiner = joiner
	p.spans = p.spans.add(m.Start, to, again)
	return nil
}

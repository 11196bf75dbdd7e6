package session

import (
	"errors"
	"fmt"
	"slices"

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
	unsafe   bool  // something is repeated that may have been executed, and is not safe, or of which nothing is known
	losses   []loss
	units    []unitLoss
	dropped  []*retrieval.Message[*request] // parts of units, which have no replies

	continued *retrieval.Message[*request] // in place of which a callback asks for the rest of its reply; nil: none
}

// free reports whether nothing is lost by the plan, and it can be followed at once.
func (p *plan) free() bool { return !p.unsafe && len(p.losses)+len(p.units)+len(p.dropped) == 0 }

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
	if (s.leg.restore != nil || reach == 0 && s.leg.received == 0) && (s.whole || !s.next.whole) {
		return s.next, nil // as if this leg had never been
	}
	if err := s.states.possible(); err != nil {
		return nil, err
	}
	switch {
	case s.u.c.Failover.Replay == ReplaySession:
		if h := s.history; h != nil { // what was then may be void by now, but the next server is told it
			if err := (&states{list: h.atSync}).possible(); err != nil {
				return nil, err
			}
		}
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
	if !s.whole || s.store.Start() > s.begin {
		return nil, errHistory
	}
	if s.unsafe && s.u.c.Failover.Unsafe == UnsafeRefuse {
		return nil, errors.New(`the session contains an unsafe request, which must not be repeated: failover { unsafe = "replay" } would allow it`)
	}
	return &plan{spans: spans{}.add(s.begin, toEnd, nil), messages: s.store.Messages(), bytes: min(s.sentTo(), s.store.End()) - s.begin,
		whole: true, unsafe: s.unsafe || s.opaque}, nil
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
	again := max(0, s.sentTo()-start)
	return &plan{spans: spans{}.add(start, toEnd, nil), messages: 1, bytes: again, unsafe: again > 0}, nil
}

// planMessages goes through the messages that are kept, and judges each.
func (s *Session) planMessages(reach int64) (*plan, error) {
	p := &plan{}
	if err := s.planGone(p); err != nil {
		return nil, err
	}
	if p.units = s.judgeUnits(reach); len(p.units) > 0 && !s.losesReplies() {
		return nil, errors.New(p.units[0].reason)
	}
	sentTo := s.sentTo()
	for m := range s.store.Kept() {
		if m.About.lost != nil {
			continue
		}
		again, err := s.planOne(p, m, reach)
		if err != nil {
			return nil, err
		}
		if end := min(s.endOf(m), sentTo); again && m.Start < end {
			p.messages++
			p.bytes += end - m.Start
		}
	}
	if last := len(p.spans) - 1; last < 0 || p.spans[last].to != toEnd {
		p.spans = p.spans.add(s.store.Marked(), toEnd, nil)
	}
	return p, nil
}

// planGone judges what is not kept any more.
func (s *Session) planGone(p *plan) error {
	for _, m := range s.awaiting.all() {
		if !m.Released || m.About.lost != nil {
			continue
		}
		err := fmt.Errorf(`the request in flight (%s) was forgotten when it was delivered: failover { ack = "reply" } would keep it`, m.About.Label)
		text := s.lose(m, true, err.Error())
		if text == nil {
			return err
		}
		p.losses = append(p.losses, loss{m, text, err.Error()})
	}
	if m := s.store.Last(); m != nil && m.Released && !m.Complete() {
		return fmt.Errorf("the request (%s) was answered before it was complete: its rest cannot be given to another server", m.About.Label)
	}
	if s.awaiting.len() == 0 && s.partial.Bytes > 0 { // the server was cut in the middle of something unasked
		_, joiner, err := s.u.c.Protocol.Join(nil, nil, s.partial)
		if err != nil {
			return fmt.Errorf("what the server was saying was cut and cannot be joined: %w", err)
		}
		p.joiner = joiner
	}
	return nil
}

// planOne judges one message: it is sent again, continued, lost, or the session cannot be moved.
func (s *Session) planOne(p *plan, m *retrieval.Message[*request], reach int64) (again bool, err error) {
	if s.continues(m) {
		return true, s.continueReply(p, m)
	}
	if !m.Complete() && p.breaks(unitOf(m)) { // it is answered when it is complete
		return false, nil
	}
	doubt, err := s.mayRepeat(p, m, reach)
	if err == nil {
		return true, s.repeat(p, m)
	}
	text := s.lose(m, doubt || m.About.doubt, err.Error())
	switch {
	case text != nil:
		p.losses = append(p.losses, loss{m, text, err.Error()})
	case m.Complete() && m.About.Expect == protocol.ExpectNone && p.breaks(unitOf(m)) && !unitOf(m).Mute: // its unit's end is answered
		p.dropped = append(p.dropped, m)
	default:
		return false, err
	}
	return false, nil
}

// endOf is the end of what has come of m.
func (s *Session) endOf(m *retrieval.Message[*request]) int64 {
	if m.Complete() {
		return m.End
	}
	return s.store.Marked()
}

// mayRepeat judges whether m may be sent to another element, when the server of the present leg may have read reach bytes of it.
// doubt: it may have been executed.
func (s *Session) mayRepeat(p *plan, m *retrieval.Message[*request], reach int64) (doubt bool, err error) {
	unread := s.unread(m, reach)
	f := &s.u.c.Failover
	text := label(m)
	unit := unitOf(m)
	for _, x := range p.units {
		if x.unit == unit {
			return !unread, errors.New(x.reason)
		}
	}
	if unit != nil && unit.Broken() != "" {
		return !unread, errors.New(unit.Broken())
	}
	switch {
	case !unread && m.About.Request != nil && m.About.Expect == protocol.ExpectUnknown:
		return true, fmt.Errorf("nothing is known of what followed the request in flight (%s)", text)
	case m.Lost:
		return !unread, fmt.Errorf("the request in flight (%s) passed retrieval.memory: a larger one would keep it", text)
	case unread && !s.begun(m):
		return false, nil
	case f.Replay == ReplayNone:
		return true, fmt.Errorf(`a request is in flight (%s) and replay is not allowed: failover { replay = "unacked" } would allow it`, text)
	case m.About.Safe || unit != nil && unit.Repeatable():
		return false, nil
	case f.Unsafe == UnsafeRefuse:
		return true, fmt.Errorf(`an unsafe request is in flight (%s) and may have been executed: it is not repeated`, text)
	}
	p.unsafe = true
	return false, nil
}

// breaks reports whether the unit is given up, or was before.
func (p *plan) breaks(u *protocol.Unit) bool {
	return u != nil && (u.Broken() != "" || slices.ContainsFunc(p.units, func(x unitLoss) bool { return x.unit == u }))
}

// unread reports whether no server can have read so much of m that it would carry it out, or begin to.
func (s *Session) unread(m *retrieval.Message[*request], reach int64) bool {
	if m == s.leg.unready {
		return true
	}
	if m.About.Request != nil && m.About.Expect == protocol.ExpectUnknown { // it has no end: a part of it may have been carried out
		first, sent := s.leg.spans.legOffset(m.Start + 1)
		return sent && first > reach
	}
	end := m.End
	if r := m.About.Request; r != nil && r.Early > 0 && (!m.Complete() || m.Start+r.Early < m.End) {
		end = m.Start + r.Early // from here on a server may act
	} else if !m.Complete() {
		return true
	}
	end, onLeg := s.leg.spans.legOffset(end)
	return onLeg && end > reach
}

// unitOf is the unit that m is a part of, nil if it stands alone.
func unitOf(m *retrieval.Message[*request]) *protocol.Unit {
	if c := connectionOf(m.About.Request); c != nil {
		return c.Unit()
	}
	return nil
}

// continues reports whether a callback asks for the rest of the reply to m, so that m is not repeated.
func (s *Session) continues(m *retrieval.Message[*request]) bool {
	if len(s.u.c.Callbacks) == 0 || s.awaiting.len() == 0 || s.awaiting.first() != m || !m.Complete() || m.Lost {
		return false
	}
	if first, sent := s.leg.spans.legOffset(m.Start + 1); !sent || first > s.leg.highest {
		return false // it was not asked yet
	}
	head := s.head(m)
	for _, c := range s.u.c.Callbacks {
		if c, ok := c.(Continuer); ok && head != nil && c.Continues(head) {
			return true
		}
	}
	return false
}

// continueReply plans for a callback that asks for the rest of the reply to m.
func (s *Session) continueReply(p *plan, m *retrieval.Message[*request]) error {
	parser := s.leg.replies
	if c, ok := s.leg.joiner.(*protocol.Continuation); ok {
		parser = c.Parser()
	} else if s.leg.joiner != nil {
		return errors.New("a reply that is being repeated cannot be continued")
	}
	if len(s.leg.kept) > 0 {
		return errors.New("the reply was cut where it cannot be continued")
	}
	p.continued = m
	p.joiner = protocol.NewContinuation(parser, m.About.Request)
	p.spans = p.spans.add(m.Start, m.End, nil)
	return nil
}

// head is the bytes of m for those who look at requests; nil where they are too long, or gone.
func (s *Session) head(m *retrieval.Message[*request]) []byte {
	if !m.Complete() || m.End-m.Start > maxHead || m.Start < s.store.Start() {
		return nil
	}
	return s.store.Copy(nil, m.Start, m.End)
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
	again, joiner, err := s.u.c.Protocol.Join(m.About.Request, s.head(m), s.partial)
	if err != nil {
		return fmt.Errorf("the reply to %s was cut and cannot be joined: %w", m.About.Label, err)
	}
	p.joiner = joiner
	p.spans = p.spans.add(m.Start, to, again)
	return nil
}

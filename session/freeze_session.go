package session

import (
	"math"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// Freeze appends to p all that there is of the session. It is called between two events; the session is not changed by it, and may go on. An
// error wraps ErrNotFreezable, and says why; then what is returned is p.
func (s *Session) Freeze(p []byte) ([]byte, error) {
	t := &thawing{s: s}
	return frozen(p, frozenSession, s.u.c.Loop.Now(), t.show)
}

// Socket is the client's, as it was given to Accept or ThawSession.
func (s *Session) Socket() Socket { return s.out.socket }

// HasEnded reports whether the client has finished sending, which was told by End. Its socket need not be read any more.
func (s *Session) HasEnded() bool { return s.ended }

// thawing is a session on its way from one process to another, and what is done with it at its end.
type thawing struct {
	s              *Session
	timer, silence time.Time // when they run; zero: they do not
	waiting        bool      // in User.waiting
	anew           bool      // its leg cannot be carried in the middle of its beginning: it begins another one
	place          legPlace
}

// freezeMost bounds the bytes of one stream that are thawed: of retained ones there may be more than retrieval.memory says here, for it may
// have said something else there.
const freezeMost = 1 << 32

// show shows all of the session.
func (t *thawing) show(c *freeze.Coder) {
	s := t.s
	if s.done {
		c.Fail("the session has ended")
		return
	}
	name := s.u.c.Protocol.Name()
	c.Text(&name)
	if !c.Check(name == s.u.c.Protocol.Name(), "it speaks protocol %.40q, here it would be %s", name, s.u.c.Protocol.Name()) {
		return
	}
	c.Word(&s.ID)
	c.Text(&s.Client)
	freezeEnds(c, &s.Ends)
	c.Array(s.token[:])
	c.Time(&s.began)
	c.Bool(&s.ended, &s.stopped, &s.whole, &s.unsafe, &s.unasked, &s.goodbye, &s.idle, &s.closing, &s.greeted, &s.failedOver, &s.excused)
	s.out.freeze(c, freezeMost)
	freeze.Maybe(c, &s.life, func(l *life) { l.freeze(c) })
	s.cookie.freeze(c, func(p []byte) { s.cookie.set(s.u.c.Loop.Buffers(), p) })
	t.search(c)
	if !s.closing { // else the rest is of no use any more
		t.conversation(c)
		t.leg(c)
	}
}

// search shows what is known of elements.
func (t *thawing) search(c *freeze.Coder) {
	s := t.s
	freeze.Number(c, &s.legs, 0, math.MaxUint32)
	freeze.Number(c, &s.recordOf, 0, math.MaxUint32)
	c.Text(&s.from, &s.served, &s.back, &s.lastCause)
	c.Count(&s.failures, &s.returns, &s.statesRefused, &s.restores)
	c.Time(&s.heard, &s.unitSince, &s.deadline, &s.placed, &s.departs, &s.notYet)
	freeze.Map(c, &s.shunned, func(until *time.Time) { c.Time(until) })
	freeze.Maybe(c, &s.record, func(r *Record) { r.freeze(c) })
	if !c.Thaws() {
		t.timer, t.silence, t.waiting = s.timer.At(), s.silence.At(), s.u.waiting[s]
	}
	freezeTimer(c, s.timer.Armed() && !s.inLine, &t.timer) // who waits for room looks for an element anew
	freezeTimer(c, s.silence.Armed(), &t.silence)
	c.Bool(&t.waiting)
}

// conversation shows the client's messages, and what it has of their replies.
func (t *thawing) conversation(c *freeze.Coder) {
	s := t.s
	s.store.Freeze(c, s.u.c.Loop.Buffers(), freezeMost, func(m **retrieval.Message[*request]) { freezeMessage(c, m) })
	waiting := s.awaiting.all()
	freeze.List(c, &waiting, func(m **retrieval.Message[*request]) { freezeMessage(c, m) })
	if c.Thaws() {
		s.awaiting = queue[*retrieval.Message[*request]]{items: waiting}
		for _, m := range waiting {
			c.Check(m != nil && m.End <= s.store.Marked(), "a reply is due to no message")
		}
	}
	for m := range s.store.All() {
		c.Check(s.opaque || m.Released || m.Lost || m.Start >= s.store.Start(), "a message at %d is to be kept, what is kept begins at %d", m.Start, s.store.Start())
	}
	protocol.FreezeRequests(c, s.u.c.Protocol, &s.requests)
	c.Offset(&s.sendable, &s.answered, &s.begin)
	protocol.FreezeUnit(c, &s.broken)
	protocol.FreezeUnit(c, &s.inUnit)
	protocol.FreezeDelivered(c, &s.partial)
	freezeStates(c, &s.states.list)
	freeze.Maybe(c, &s.history, func(h *history) {
		h.History.Freeze(c)
		freezeStates(c, &h.atSync)
	})
	c.Buffer(&s.behind)
	c.Check(s.sendable <= s.store.Marked() && s.begin <= s.store.Marked(), "sendable up to %d, kept from %d", s.sendable, s.begin)
	c.Check(!s.whole || s.history != nil, "a session is repeated from its beginning, and nothing is known of it")
	c.Check(len(s.behind) <= maxBehind, "%d bytes behind a reply", len(s.behind))
	if c.Thaws() {
		for i := range s.states.list {
			s.states.bytes += s.states.list[i].size()
		}
		if s.u.c.Failover.Replay != ReplaySession {
			s.whole = false // what is not kept any more cannot be repeated, and what is goes with the next reply
		}
	}
}

// freezeMessage shows a message of the client, to which the store, the list of those that are due, and a plan may refer.
func freezeMessage(c *freeze.Coder, m **retrieval.Message[*request]) {
	fresh := func() *retrieval.Message[*request] {
		k := &kept{}
		k.message.About = &k.about
		return &k.message
	}
	freeze.SharedIn(c, m, fresh, func(m *retrieval.Message[*request]) {
		m.Freeze(c)
		r := m.About
		protocol.FreezeRequest(c, &r.Request)
		c.Bool(&r.queued, &r.replied, &r.goodbye, &r.doubt)
		c.Bytes(&r.own)
		c.Bytes(&r.lost)
		c.Check(r.Request != nil, "a message of which nothing is known")
	})
}

func freezeStates(c *freeze.Coder, list *[]state) {
	freeze.List(c, list, func(x *state) {
		c.Text(&x.key, &x.never)
		c.Bytes(&x.send)
		c.Bytes(&x.tell)
		protocol.FreezeValues(c, &x.values)
		c.Offset(&x.end, &x.first)
	})
}

// freeze shows the record of a failover that is going on.
func (r *Record) freeze(c *freeze.Coder) {
	c.Time(&r.Time)
	c.Word(&r.Session)
	freeze.Number(c, &r.Leg, 0, math.MaxUint32)
	c.Text(&r.From, &r.To, &r.Kind, &r.Cause, &r.Detector, &r.Verdict)
	c.Duration(&r.Detect, &r.Fence, &r.Choose, &r.Connect, &r.Restored, &r.Replayed, &r.First)
	c.Count(&r.Messages, &r.Tried, &r.Lost)
	c.Offset(&r.Bytes, &r.Skipped, &r.Saved)
}

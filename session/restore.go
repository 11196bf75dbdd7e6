package session

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// A new leg begins with what its server has to hear before it can carry the session on: its greeting is awaited, and swallowed where
// the client has one already, the states are set again in their order, the callbacks are asked. Only then the messages are
// sent. What fails on the way ends the leg, and the session tries another element.

const (
	// restoreTimeout is how long a new server may be silent meanwhile.
	restoreTimeout = 5 * time.Second

	// firstPause and lastPause bound the pause between two elements that could not be restored.
	firstPause = 25 * time.Millisecond
	lastPause  = 2 * time.Second

	// maxAnswer bounds an answer that is swallowed, in bytes; of COMMAND redis has some hundred KiB.
	maxAnswer = 1 << 20

	// maxBehind bounds what a server may say unasked while the client is in the middle of a reply, in bytes.
	maxBehind = 64 << 10
)

// restore is the beginning of a leg. It belongs to its userLeg and is gone when the messages are sent.
type restore struct {
	s        *Session
	leg      *userLeg
	requests protocol.Requests // splits what is sent here; nil with a protocol that knows no messages
	greeting *protocol.Request // is awaited
	due      queue[*step]      // requests of ours whose answers are due
	answer   []byte            // what has come of the first one's
	held     []byte            // what the protocol does not let pass yet; of an opaque stream, what the server has said unasked
	next     int               // the callback to be asked next
	asking   bool              // it has not answered
	again    []byte            // what a callback has the interrupted request replaced by
	raw      func([]byte) error
}

// step is a request of ours.
type step struct {
	req    *protocol.Request
	what   string // for people
	expect func([]byte) error
	tell   []byte
}

// newRestore returns nil where nothing has to be done.
func newRestore(leg *userLeg) *restore {
	s := leg.s
	greeting := s.greeting()
	if greeting == nil && len(s.setStates()) == 0 && len(s.u.c.Callbacks) == 0 {
		return nil
	}
	r := &restore{s: s, leg: leg, greeting: greeting}
	if !s.opaque {
		r.requests = s.u.c.Protocol.Requests()
	}
	return r
}

// greeting is what a server of this protocol says first, nil if it waits.
func (s *Session) greeting() *protocol.Request {
	if g, ok := s.u.c.Protocol.(protocol.Greeter); ok {
		return g.Greeting()
	}
	return nil
}

// setStates are those that the messages of the coming leg do not set by themselves, in the order in which they were last set.
func (s *Session) setStates() []state {
	switch {
	case !s.next.whole:
		return s.states.list
	case s.history == nil:
		return nil
	}
	return s.history.atSync
}

// states are those that the messages of this leg do not set by themselves, in the order in which they were last set. Where a server
// refuses that, the next one is given them in the order in which their keys were first set, and so on in turns: a client that
// logs in again, with the token of the day, behind its choice of a database, still logged in before that.
func (r *restore) states() []state {
	list := r.s.setStates()
	if r.s.statesRefused%2 == 0 {
		return list
	}
	return slices.SortedStableFunc(slices.Values(list), func(a, b state) int { return cmp.Compare(a.first, b.first) })
}

// base is where the messages of the leg begin, an offset in the log.
func (r *restore) base() int64 { return r.s.next.spans[0].from }

// begin is called when the leg has its stream.
func (r *restore) begin() {
	r.leg.spans = spans{}.add(r.base(), r.base(), []byte{})
	if r.greeting == nil {
		r.setStates()
	}
}

// setStates sends all states at once: each was a request of the client's, which need not wait for the one before.
func (r *restore) setStates() {
	for _, x := range r.states() {
		if err := r.send(x.send, step{what: "state " + x.key, tell: x.tell}); err != nil {
			r.fail(err)
			return
		}
	}
	r.advance()
}

// send sends requests of ours. like is what is done with the answer to each. What they say is in no error: it may be a login.
func (r *restore) send(p []byte, like step) error {
	r.leg.spans = r.leg.spans.add(r.base(), r.base(), p)
	for rest := p; r.requests != nil && len(rest) > 0; {
		cut, req, err := r.requests.Next(rest)
		if err != nil {
			return fmt.Errorf("%s: %d bytes that are not valid in this protocol", like.what, len(p))
		}
		if rest = rest[cut.N:]; len(rest) == 0 && !cut.End {
			return fmt.Errorf("%s: %d bytes that are not a whole request", like.what, len(p))
		}
		if cut.End && req.Expect == protocol.ExpectOne {
			x := like
			x.req = req
			r.due.push(&x)
		}
	}
	r.leg.pump()
	return nil
}

// take takes bytes of the server and returns what is left when the beginning of the leg is over.
func (r *restore) take(p []byte) []byte {
	for len(p) > 0 && r.here() {
		if r.requests == nil {
			r.takeRaw(p)
			return nil
		}
		req := r.greeting
		if req == nil && r.due.len() > 0 {
			req = r.due.first().req
		}
		cut, err := r.leg.replies.Next(req, p)
		if err != nil {
			r.fail(err)
			return nil
		}
		r.cut(p[:cut.N], cut, req)
		p = p[cut.N:]
	}
	if !r.alive() {
		return nil
	}
	return p
}

// alive reports whether the leg still is the session's.
func (r *restore) alive() bool { return r.s.leg == r.leg && !r.s.done && !r.leg.over }

// here reports whether the leg is still in its beginning.
func (r *restore) here() bool { return r.alive() && r.leg.restore == r }

// cut takes one cut of the server's.
func (r *restore) cut(p []byte, cut protocol.Cut, req *protocol.Request) {
	if cut.Hold {
		r.held = append(r.held, p...)
		return
	}
	if len(r.held) > 0 {
		p, r.held = append(r.held, p...), nil
	}
	switch {
	case cut.Push, req == nil && (r.s.unpaired() || !r.s.failedOver):
		r.unasked(p, cut)
	case req == nil:
		r.fail(errors.New("the server spoke without being asked"))
	case len(r.answer)+len(p) > maxAnswer:
		r.fail(fmt.Errorf("an answer of more than %d bytes", maxAnswer))
	default:
		r.answer = append(r.answer, p...)
		if cut.End {
			r.answered()
		}
	}
}

// answered takes a whole answer.
func (r *restore) answered() {
	answer := r.answer
	r.answer = nil
	if r.greeting != nil {
		r.greeting = nil
		if r.s.greet(answer); r.here() {
			if !r.s.timer.Armed() { // it has passed while nobody greeted the client
				r.s.newDeadline()
			}
			r.setStates()
		}
		return
	}
	x := r.due.pop()
	var err error
	switch {
	case failedOutcome(x.req):
		r.s.statesRefused++
		err = fmt.Errorf("%s: the server answered %q, in %d bytes", x.what, firstWord(answer), len(answer))
	case x.expect != nil:
		err = x.expect(answer)
	}
	if err != nil {
		r.fail(err)
		return
	}
	r.s.between(x.tell)
	r.advance()
}

// newDeadline has the rest of a leg's beginning take no longer than the whole search may.
func (s *Session) newDeadline() {
	s.deadline = s.u.c.Loop.Now().Add(s.u.c.Failover.Deadline)
	s.u.c.Loop.Schedule(&s.timer, s.deadline)
}

// takeRaw takes bytes of which nothing is known. Those that come while nothing is asked are the client's.
func (r *restore) takeRaw(p []byte) {
	if len(r.answer)+len(r.held)+len(p) > maxAnswer {
		r.fail(fmt.Errorf("an answer of more than %d bytes", maxAnswer))
		return
	}
	if r.raw == nil {
		r.held = append(r.held, p...)
		return
	}
	if r.answer = append(r.answer, p...); r.raw(r.answer) == nil {
		r.raw, r.answer = nil, nil
		r.advance()
	}
}

// quiet reports whether nothing is due, and the server is not in the middle of something.
func (r *restore) quiet() bool {
	return !r.asking && r.greeting == nil && r.due.len() == 0 && r.raw == nil && (r.requests == nil || len(r.held) == 0)
}

// advance asks the next callback when nothing is due. A callback of a failover is asked when its server is connected.
func (r *restore) advance() {
	for r.here() && r.quiet() {
		if r.next == len(r.s.u.c.Callbacks) {
			r.finish()
			return
		}
		if r.leg.number > 1 && !r.leg.open {
			return
		}
		r.ask(r.s.u.c.Callbacks[r.next])
	}
}

func (r *restore) ask(c Callback) {
	mine := r.next
	r.next++
	r.asking = true
	c.Call(r.moment(), func(x Reaction, err error) {
		if !r.here() || !r.asking || r.next != mine+1 {
			return
		}
		r.asking = false
		r.s.heard = r.s.u.c.Loop.Now()
		if err == nil {
			err = r.react(x)
		}
		if err != nil {
			r.fail(fmt.Errorf("callback %d: %w", mine+1, err))
			return
		}
		r.advance()
	})
}

// moment is where the session stands.
func (r *restore) moment() Moment {
	e := r.leg.link.element
	m := Moment{Session: r.s.ID, Client: r.s.Client, Leg: r.leg.number, Failover: r.s.failedOver, Element: e.Name, Address: e.Address.String(),
		State: r.s.states.values()}
	if r.s.awaiting.len() > 0 {
		m.Request = r.s.head(r.s.awaiting.first())
		m.ReplyBytes = r.s.partial.Bytes
	}
	return m
}

// react does what a callback wants.
func (r *restore) react(x Reaction) error {
	switch {
	case x.Continue && r.s.next.continued == nil: // the request was never sent to a server, and will be
	case x.Continue && len(x.Send) == 0:
		return errors.New("it continues with nothing")
	case x.Continue:
		r.again = x.Send
	case len(x.Send) > 0:
		if r.requests == nil {
			r.raw, r.answer = x.Expect, nil
		}
		return r.send(x.Send, step{what: "its request", expect: x.Expect})
	}
	return nil
}

// finish lets the messages go.
func (r *restore) finish() {
	s, leg, next := r.s, r.leg, r.s.next
	if next.continued != nil && r.again == nil {
		r.fail(errors.New("no callback has continued the interrupted request"))
		return
	}
	leg.restore, s.restores = nil, 0
	for _, x := range next.spans {
		if c := next.continued; c != nil && x.own == nil && x.from <= c.Start && (x.to == toEnd || x.to >= c.End) {
			if x.from < c.Start {
				leg.spans = leg.spans.add(x.from, c.Start, nil)
			}
			leg.spans = leg.spans.add(c.Start, c.End, r.again)
			if x.from = c.End; x.to == x.from {
				continue
			}
		}
		leg.spans = leg.spans.add(x.from, x.to, x.own)
	}
	if s.record != nil {
		s.record.Restored = s.u.c.Loop.Now().Sub(s.record.Time)
	}
	s.u.c.Loop.Cancel(&s.silence) // it runs anew, for replies
	leg.ready()
	leg.pump()
	if len(r.held) > 0 {
		s.pass(leg, r.held)
	}
	if leg.open && r.alive() {
		if !leg.lost {
			s.u.c.Loop.Cancel(&s.timer)
		}
		s.serving()
	}
	s.settle()
}

// fail ends the leg. The element is passed over for a moment.
func (r *restore) fail(err error) {
	if !r.here() {
		return
	}
	s := r.s
	s.u.c.Pool.Failed(s.u.c.Loop.Now(), s.from)
	s.u.c.Trace.log('i', "session not restored at an element", "pool_element", s.from, "session", s.ID, "client", s.Client, "reason", err)
	r.leg.abandon(CodeAbandoned, "the session could not be restored")
	s.legFailed(failure{cause: "the session could not be restored: " + err.Error(), detector: "restore", reach: r.leg.highest, confirmed: true})
}

// notRestored sees to it that servers which cannot be restored are not tried at full speed: another element is tried at once, then it
// takes longer each time.
func (s *Session) notRestored() {
	now := s.u.c.Loop.Now()
	if !s.greeted && !s.ended && s.leg.restore.greeting != nil && s.leg.open && now.After(s.deadline) {
		s.deadline = now.Add(s.u.c.Failover.Deadline) // until now nobody was searching
	}
	if s.restores > 0 {
		s.notYet = now.Add(min(firstPause<<min(s.restores, 10), lastPause))
	}
	s.restores++
}

// firstWord is the beginning of an answer, for people. What follows may repeat what the server was told, which may be a login.
func firstWord(p []byte) string {
	for i, c := range p {
		if c <= ' ' || i == 20 {
			return string(p[:i])
		}
	}
	return string(p)
}

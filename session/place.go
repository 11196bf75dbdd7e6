package session

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// How a session looks for an element, at its beginning and when it has lost one.

// place looks for an element that carries on what next says.
func (s *Session) place(next *plan) {
	s.next = next
	s.exit()
	now := s.u.c.Loop.Now()
	if !now.Before(s.deadline) {
		s.tooLate()
		return
	}
	if now.Before(s.notYet) {
		s.u.c.Loop.Schedule(&s.timer, earlier(s.notYet, s.deadline))
		return
	}
	choice, ok := s.choose(now)
	switch {
	case ok:
	case choice.Full && s.shunned == nil:
		s.waitForRoom(choice)
		return
	default:
		s.u.waiting[s] = true
		s.u.c.Loop.Schedule(&s.timer, earlier(now.Add(choice.Wait), s.deadline))
		return
	}
	if choice.Err != nil {
		s.u.policyFailed(choice.Err)
	}
	e := choice.Element
	delete(s.u.waiting, s)
	if choice.Back {
		s.goesBack(now)
	}
	if suspect, ok := s.u.c.Pool.Suspect(now); ok && s.u.lookAt(suspect) && !choice.Asked && s.shunned == nil {
		e = suspect
	}
	if s.entered == "" || s.entered != e.Name {
		s.exit()
		s.u.c.Pool.Stay(e.Name)
		s.entered = e.Name
	}
	s.u.c.Loop.Schedule(&s.timer, s.deadline)
	s.legs++
	s.placed = now
	leg := &userLeg{s: s, number: s.legs, spans: next.spans, joiner: next.joiner}
	if !s.opaque {
		leg.replies = s.u.c.Protocol.Replies()
	}
	if s.whole && s.history.Bytes() > 0 {
		leg.verifier = s.history.Verify()
	}
	leg.restore = newRestore(leg)
	s.leg, s.from = leg, e.Name
	if s.record != nil {
		s.record.Messages, s.record.Bytes = next.messages, next.bytes
		s.record.Choose = now.Sub(s.record.Time)
		s.record.Tried++
	}
	s.u.linkTo(e).add(leg)
}

// choose names an element that has room for the session, which counts among its sessions from then on.
func (s *Session) choose(now time.Time) (c pool.Choice, ok bool) {
	if s.u.room.len() > 0 && !s.letIn && s.shunned == nil && s.back == "" { // who was asked to leave may go back, and need not wait
		return pool.Choice{Wait: pool.LastPause, Full: true}, false
	}
	for range mostChoices {
		c, ok = s.u.c.Pool.ChooseFor(now, pool.Wish{After: s.served, Not: s.shuns(now), Back: s.back})
		if !ok || s.enter(c.Element.Name) {
			return c, ok
		}
	}
	return pool.Choice{Wait: pool.FirstPause, Full: true}, false // others have been faster each time
}

// mostChoices is how often a session chooses again because the one that was chosen has been filled by others in that moment.
const mostChoices = 4

// Served reports whether an element has carried the session yet.
func (s *Session) Served() bool { return s.served != "" }

// tooLate ends the search for an element: with the protocol's own error for what waits, if it has one, and then the search goes on.
func (s *Session) tooLate() {
	reason := fmt.Sprintf("no pool element has taken the session within %v (failover.deadline)", s.u.c.Failover.Deadline)
	switch {
	case !s.expired(reason):
		s.refuse(reason)
	case !s.done && !s.closing:
		s.deadline = s.u.c.Loop.Now().Add(s.u.c.Failover.Deadline)
		s.place(s.next)
	}
}

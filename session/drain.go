package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Sessions leave an element that is drained (pool.Pool.Draining): because an operator says so, because the element itself does (DRAIN), or
// because it has left the pool. Each does so at a quiet point: all that was sent is answered or taken, and a new server needs to be told
// nothing but the session's states. What the client says meanwhile waits for that at the boundary of two messages, and is sent to the new
// element; nothing is ever sent twice. A session that cannot leave stays, and tells why.

const (
	// drainEvery is how often those that could not leave are looked at besides whenever they are answered.
	drainEvery = 250 * time.Millisecond

	// drainHold bounds how long a client's next request waits for the answer to the one before, for the sake of a quiet point.
	drainHold = time.Second

	// mostLooks is how many elements are looked at at a time before sessions leave for them.
	mostLooks = 3

	// drainAgain is the longest until a session leaves again that had to go back.
	drainAgain = time.Minute

	// drainGone is how long an element must have been away from the pool before its sessions leave: sources leave out elements and name
	// them again.
	drainGone = 2 * time.Second
)

// Drains says that the pool may want other elements drained than before.
func (u *User) Drains() {
	now := u.c.Loop.Now()
	why := u.toLeave(now)
	var concerned []*Session
	for _, s := range u.sessions {
		if leg := s.leg; leg != nil && leg.link != nil && (leg.leaving != "" || why[leg.link.element.Name] != "") {
			concerned = append(concerned, s)
		}
	}
	slices.SortFunc(concerned, func(a, b *Session) int { return cmp.Compare(a.ID, b.ID) })
	busy := false
	for _, s := range concerned {
		if leg := s.leg; leg != nil && leg.link != nil {
			leg.leaves(why[leg.link.element.Name], now)
		}
		busy = busy || s.leg != nil && s.leg.leaving != "" && !s.done
	}
	for _, at := range u.left {
		busy = busy || now.Sub(at) < drainGone
	}
	if busy {
		u.c.Loop.Schedule(&u.drains, now.Add(drainEvery))
	} else {
		u.c.Loop.Cancel(&u.drains)
	}
}

// toLeave says of the elements with associations why sessions should leave them, if they should.
func (u *User) toLeave(now time.Time) map[string]string {
	why := make(map[string]string)
	for name := range u.links {
		_, known := u.c.Pool.Element(name)
		at, gone := u.left[name]
		if known || gone && now.Sub(at) >= drainGone {
			why[name] = u.c.Pool.Draining(name)
		}
	}
	return why
}

// gone notes which elements that carry sessions have left the pool, and when.
func (u *User) gone(known map[string]bool) {
	now := u.c.Loop.Now()
	for name := range u.links {
		if _, noted := u.left[name]; !known[name] && !noted {
			u.left[name] = now
		}
	}
	for name := range u.left {
		if known[name] || u.links[name] == nil {
			delete(u.left, name)
		}
	}
	u.Drains()
}

// told takes an element's word that it wants to be drained, or does not any more.
func (l *userLink) told(m *message) {
	u, name := l.u, l.element.Name
	if m.drains {
		u.c.Trace.log('i', "the element has asked to be drained", "pool_element", name, "reason", m.text, "sessions", l.legs())
		u.c.Pool.Asks(name, l.hello.instance, m.text, l)
	} else {
		u.c.Trace.log('i', "the element has asked to be drained no more", "pool_element", name)
		u.c.Pool.Stops(name, l.hello.instance)
	}
	u.drained()
}

// drained has all shards look.
func (u *User) drained() {
	if u.c.Drained != nil {
		u.c.Drained()
	}
	u.Drains()
	u.Wake()
}

// untold forgets that an element has asked to be drained when no association leads to it any more: it asks again when there is one.
func (l *userLink) untold() {
	if l.u.c.Pool.Untold(l.element.Name, l) {
		l.u.drained()
	}
}

// leaves has the leg's session leave, for the reason, or stay ("").
func (g *userLeg) leaves(reason string, now time.Time) {
	g.leaving = reason
	switch {
	case reason == "" && !g.heldSince.IsZero():
		g.heldSince = time.Time{}
		g.pump()
	case reason == "":
		g.stays = ""
	case !g.heldSince.IsZero() && now.Sub(g.heldSince) >= drainHold:
		g.stuck, g.inVain, g.heldSince = true, true, time.Time{}
		g.pump()
	default:
		g.s.depart()
	}
}

// atQuietPoint cuts what is sent in one piece, limit bytes of the log from offset from on, at the boundary of two messages where the session
// waits for a quiet point.
func (g *userLeg) atQuietPoint(from, limit int64) int64 {
	if g.leaving == "" || g.stuck || limit <= 0 {
		return limit
	}
	for m := range g.s.store.Within(from, from+limit) {
		if limit = m.Start - from; limit == 0 && g.heldSince.IsZero() {
			g.heldSince = g.s.u.c.Loop.Now()
		}
		break
	}
	return limit
}

// depart has the session leave its element now, if it is to and can.
func (s *Session) depart() {
	leg := s.leg
	if leg == nil || leg.leaving == "" || s.done || s.closing {
		return
	}
	next, reason, waits := s.leave()
	if leg.stays = reason; reason != "" {
		if leg.stuck = !waits || leg.inVain; leg.stuck && !leg.heldSince.IsZero() {
			leg.heldSince = time.Time{}
			leg.pump()
		}
		return
	}
	s.back = s.from
	s.lastCause = "the element is drained: " + leg.leaving
	s.notice(failure{cause: s.lastCause, detector: "drain"})
	leg.last(&message{typ: typeClosed})
	s.leg, s.failedOver, s.failures = nil, s.failedOver || leg.open, 0
	s.u.c.Loop.Cancel(&s.silence)
	s.deadline = s.u.c.Loop.Now().Add(s.u.c.Failover.Deadline)
	if next.whole {
		s.rewind()
	}
	s.place(next)
}

// said has the session leave if it can, the server having said something.
func (g *userLeg) said() {
	if g.leaving != "" {
		g.inVain = false
		g.s.depart()
	}
}

// goesBack notes that the session goes back to the element that it has left, since no other one can be had. It leaves again after a second,
// which doubles each time.
func (s *Session) goesBack(now time.Time) {
	s.departs = now.Add(min(time.Second<<min(s.returns, 10), drainAgain))
	s.returns++
	if u := s.u; !u.drains.Armed() {
		u.c.Loop.Schedule(&u.drains, now.Add(drainEvery))
	}
}

// leave is what another element would be sent, or the reason why the session cannot leave. waits: it can as soon as it is answered.
func (s *Session) leave() (next *plan, reason string, waits bool) {
	if reason = s.clings(); reason != "" {
		return nil, reason, false
	}
	inTouch := s.u.inTouch(s.from)
	sent := s.sentTo()
	for _, m := range s.awaiting.all() {
		if m.Start < sent && m.About.lost == nil {
			return nil, fmt.Sprintf("a request is in flight (%s)", label(m)), m.About.Expect == protocol.ExpectOne
		}
	}
	for m := range s.store.Unacknowledged(sent) {
		if m.About.lost == nil {
			return nil, fmt.Sprintf("a message (%s) is on its way to the server", label(m)), true
		}
	}
	if s.remember(); s.partial.Bytes > 0 || len(s.leg.kept) > 0 {
		return nil, "the server is in the middle of something", true
	}
	next, err := s.plan(s.leg.highest)
	switch {
	case err != nil:
		return nil, err.Error(), false
	case len(next.units) > 0:
		return nil, "in a transaction since " + s.unitSince.UTC().Format("15:04:05"), false
	case next.bytes > 0 || len(next.losses) > 0:
		return nil, "requests that were answered would have to be repeated", false
	case !inTouch:
		return nil, "no other element has answered yet", false
	}
	return next, "", false
}

// clings is why the session cannot leave its element, and waiting for a reply does not help; "": it may.
func (s *Session) clings() string {
	leg := s.leg
	switch {
	case s.ended || s.goodbye || s.out.end || leg.end:
		return "it is ending"
	case !leg.open || leg.lost || leg.restore != nil || leg.gaveUp != "" || leg.joiner != nil:
		return "it is being opened, resumed or carried on"
	case s.opaque && (leg.highest > 0 || leg.received > 0):
		return fmt.Sprintf("nothing is known of the messages of protocol %s, so it has no quiet point", s.u.c.Protocol.Name())
	}
	if err := s.states.possible(); err != nil {
		return err.Error()
	}
	if s.u.c.Loop.Now().Before(s.departs) {
		return "no other element has taken it; that is tried again"
	}
	if !s.u.c.Pool.Others(s.u.c.Loop.Now(), s.from) {
		return "no other element of the pool is believed alive"
	}
	if s.u.room.len() > 0 { // it has a server, and would wait behind them
		return "sessions without a server wait for room at the other elements"
	}
	return ""
}

// inTouch reports whether there is an association with an element that may be used, other than the one called name. If there is none, some
// are begun: a session does not leave a server that lives for one of which nobody has heard.
func (u *User) inTouch(name string) bool {
	now := u.c.Loop.Now()
	for other := range u.links {
		if other != name && u.linkUp(other) != nil && u.c.Pool.Usable(now, other) {
			return true
		}
	}
	if u.looked.Equal(now) { // for another session
		return false
	}
	u.looked = now
	begun := 0
	for _, e := range u.c.Pool.States() {
		if e.Name != name && begun < mostLooks && u.c.Pool.Usable(now, e.Name) {
			u.linkTo(e.Element)
			begun++
		}
	}
	return false
}

// At is the element that the session is at, "" while there is none, and why it has not left that, if it should.
func (s *Session) At() (element, stays string) {
	if s.leg == nil || s.leg.link == nil {
		return "", ""
	}
	return s.leg.link.element.Name, s.leg.stays
}

// Leaving reports whether the session should leave its element, and has not yet.
func (s *Session) Leaving() bool { return s.leg != nil && s.leg.leaving != "" }

// Since is when the session began.
func (s *Session) Since() time.Time { return s.began }

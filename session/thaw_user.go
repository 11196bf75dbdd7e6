package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/retrieval"
)

// Freeze appends to p what belongs to the pool user's side as a whole: its instance, when elements were lost, and its counters. It is called
// between two events.
func (u *User) Freeze(p []byte) []byte {
	p, _ = frozen(p, frozenUser, u.c.Loop.Now(), u.show) // nothing in it can fail
	return p
}

// Thaw takes over what Freeze of another process has written, its instance included, by which elements know whose legs are resumed. It is
// called first of all on a new User. After an error (ErrFrozen) the User must not be used.
func (u *User) Thaw(p []byte) error {
	return thawed(p, frozenUser, u.c.Loop.Now(), u.show)
}

func (u *User) show(c *freeze.Coder) {
	c.Array(u.c.Instance[:])
	t := &u.traffic
	c.Word(&t.ProtectedMessages, &t.ProtectedBytes, &t.UnprotectedMessages, &t.UnprotectedBytes)
	for _, times := range []*map[string]time.Time{&u.broke, &u.left} {
		freeze.Map(c, times, func(at *time.Time) { c.Time(at) })
		if *times == nil {
			*times = make(map[string]time.Time)
		}
	}
}

// ThawSession takes over a session that Freeze of another process has written, with the client's socket, which is not used before Resume. It
// is called between Thaw and Resume. After an error (ErrFrozen) nothing of the session is there, and the socket is the caller's.
func (u *User) ThawSession(p []byte, socket Socket) (*Session, error) {
	s := &Session{u: u, requests: u.c.Protocol.Requests(), opaque: u.c.Protocol.Opaque()}
	s.out = outlet{socket: socket, pool: u.c.Loop.Buffers()}
	s.timer.Func, s.silence.Func = s.wake, s.listen
	t := &thawing{s: s}
	err := thawed(p, frozenSession, u.c.Loop.Now(), t.show)
	if err == nil && u.sessions[s.ID] != nil {
		err = fmt.Errorf("%w: there is a session %d", ErrFrozen, s.ID)
	}
	if err != nil {
		s.store.Clear()
		s.out.spill.Clear()
		s.cookie.clear(u.c.Loop.Buffers())
		return nil, err
	}
	if s.next == nil {
		s.next = &plan{spans: everything}
	}
	switch wanted := u.c.Trace.Ended != nil; {
	case !wanted:
		s.life = nil
	case s.life == nil: // what was before is not known
		s.life = &life{}
	}
	u.sessions[s.ID] = s
	if s.leg != nil {
		s.leg.thaw(&t.place)
		s.stays(s.leg.link.element)
	}
	u.thawing = append(u.thawing, t)
	return s, nil
}

// thaw puts the leg on an association that is to be begun, as if the one that carried it had just broken.
func (g *userLeg) thaw(at *legPlace) {
	u := g.s.u
	l := u.thawLink(at)
	g.link, g.over = l, false
	if !g.begun {
		l.pending = append(l.pending, g)
		return
	}
	if g.lostAt.IsZero() {
		g.lostAt = u.c.Loop.Now()
	}
	g.lost = true
	l.lost = append(l.lost, g)
}

// thawLink is the association for a leg that was on one like it.
func (u *User) thawLink(at *legPlace) *userLink {
	e := at.element
	if known, ok := u.c.Pool.Element(e.Name); ok && known.Address == e.Address {
		e = known
	}
	if u.links[e.Name] == nil {
		u.links[e.Name] = make([]*userLink, max(u.c.Associations, 1))
	}
	all := u.links[e.Name]
	n := len(all)
	for k := range all {
		i := (at.n + k) % len(all)
		if l := all[i]; l == nil || l.peer == at.peer && l.peerName == at.peerName && l.element.Address == e.Address {
			n = i
			break
		}
	}
	if n == len(all) {
		all = append(all, nil)
	}
	if all[n] == nil {
		l := &userLink{u: u, element: e, n: n, peer: at.peer, peerName: at.peerName, lostAt: at.lostAt, start: redialEvery}
		l.timer.Func, l.patience.Func = l.silent, l.impatient
		all[n] = l
	}
	u.links[e.Name] = all
	return all[n]
}

// Resume has the thawed sessions go on: their clocks run, what their clients had not taken is written, their legs are resumed. From here on
// it is this process that serves them.
func (u *User) Resume() {
	list := u.thawing
	u.thawing = nil
	slices.SortFunc(list, func(a, b *thawing) int { return cmp.Compare(a.s.ID, b.s.ID) })
	begun := make(map[*userLink]bool)
	for _, t := range list {
		if g := t.s.leg; g != nil && !begun[g.link] {
			begun[g.link] = true
			g.link.resumeThawed()
		}
	}
	for _, t := range list {
		t.resume()
	}
	if len(list) > 0 {
		u.Drains()
	}
}

// resumeThawed begins the association. Its legs are resumed when it is up, as after a loss; a failover.resume that is very short does not
// end that, since the element has not failed.
func (l *userLink) resumeThawed() {
	now := l.u.c.Loop.Now()
	if l.lostAt.IsZero() {
		l.lostAt, l.thawed = now, true
	}
	for _, leg := range l.lost {
		if leg.since = l.lostAt; leg.lostAt.After(leg.since) { // the association has come up again since, and broken again: it may have come further
			leg.since = leg.lostAt
		}
	}
	l.dial()
	if len(l.lost) > 0 {
		l.u.c.Loop.Schedule(&l.patience, now.Add(redialEvery))
	}
}

// resume has the session go on.
func (t *thawing) resume() {
	s := t.s
	if s.done {
		return
	}
	l := s.u.c.Loop
	if !t.timer.IsZero() {
		l.Schedule(&s.timer, t.timer)
	}
	if !t.silence.IsZero() {
		l.Schedule(&s.silence, t.silence)
	}
	if t.waiting {
		s.u.waiting[s] = true
	}
	switch g := s.leg; {
	case s.closing:
	case t.anew:
		s.place(s.next)
	case g == nil && !s.timer.Armed():
		s.place(s.next)
	case g == nil:
	case g.gaveUp != "":
		g.link.remove(g)
		g.link = nil
		s.legFailed(failure{cause: g.gaveUp, detector: "reply timeout", reach: g.highest})
	case g.restore != nil && g.begun:
		g.restore.advance() // a callback that had not answered is asked again
	}
	if !s.done {
		s.Writable()
	}
}

// Leave is for the process that was replaced, once the other one goes on: it forgets all sessions, without touching a client's socket, and
// ends all associations. Nothing is called afterwards.
func (u *User) Leave() {
	buffers := u.c.Loop.Buffers()
	for id, s := range u.sessions {
		s.done, s.leg = true, nil
		u.c.Loop.Cancel(&s.timer)
		u.c.Loop.Cancel(&s.silence)
		s.store.Clear()
		s.script.drop()
		s.out.spill.Clear()
		s.cookie.clear(buffers)
		s.awaiting = queue[*retrieval.Message[*request]]{}
		delete(u.sessions, id)
	}
	clear(u.waiting)
	u.allLinks((*userLink).stop)
	clear(u.links)
	u.acks.stop()
	u.c.Loop.Cancel(&u.drains)
	u.c.Loop.Cancel(&u.room.timer)
	u.closed = true
}

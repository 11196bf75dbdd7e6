package session

import (
	"errors"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
)

// A User may keep several associations with each pool element (UserConfig.Associations), and spreads its sessions over them by count.
// A segment that is lost on one then holds up only the sessions on that one. Each association is watched by itself, at both ends, and a
// leg is in touch with its element over the association that carries it, not over its siblings: so what a fence promises is as true
// with many as with one.

// linkTo returns the association with an element that a session goes to: of those that are up the one with the fewest legs, or else
// of those that are being begun. All of an element's are begun together, when it is first used or has none any more; one that broke
// is begun again by later sessions.
func (u *User) linkTo(e pool.Element) *userLink {
	u.moved(e)
	all := u.links[e.Name]
	if all == nil {
		all = make([]*userLink, max(u.c.Associations, 1))
		u.links[e.Name] = all
	}
	for n, l := range all {
		if l == nil && (u.linkUp(e.Name) == nil || u.c.Loop.Now().Sub(u.broke[e.Name]) >= redialEvery) {
			u.newLink(e, n)
		}
	}
	return u.spread(e.Name, nil)
}

// newLink begins the n-th association with an element.
func (u *User) newLink(e pool.Element, n int) {
	l := &userLink{u: u, element: e, n: n}
	l.timer.Func = l.silent
	l.patience.Func = l.impatient
	u.links[e.Name][n] = l
	l.dial()
}

// linkUp returns an association with the element that is up, nil if none is.
func (u *User) linkUp(element string) *userLink {
	if l := u.spread(element, nil); l != nil && l.hello != nil {
		return l
	}
	return nil
}

// spread returns the association that is to carry one more leg, not counting except; nil if there is none.
func (u *User) spread(element string, except *userLink) (best *userLink) {
	for _, l := range u.links[element] {
		if l != nil && l != except && l.before(best) {
			best = l
		}
	}
	return best
}

// before reports whether one more leg would rather go to this association than to best, which may be nil: to one that is up, and to the
// one with fewer legs.
func (l *userLink) before(best *userLink) bool {
	if best == nil {
		return true
	}
	if up := l.hello != nil; up != (best.hello != nil) {
		return up
	}
	return l.legs() < best.legs()
}

// allLinks calls f for every association.
func (u *User) allLinks(f func(*userLink)) {
	for _, all := range u.links {
		for _, l := range all {
			if l != nil {
				f(l)
			}
		}
	}
}

// legs counts those that the association carries or is to carry.
func (l *userLink) legs() int { return l.streams.live + len(l.lost) + len(l.pending) }

// sibling returns another association with the same incarnation of the element that is up, nil if there is none.
func (l *userLink) sibling() *userLink {
	if s := l.u.spread(l.element.Name, l); s != nil && s.hello != nil && s.peer == l.peer && s.peerName == l.peerName {
		return s
	}
	return nil
}

// other returns another association that may do what this one has failed to: one that is up or, where this one never was, one that is
// being begun for no shorter time. Those that were begun later do not count: where each that fails is begun again, none would ever be the
// last one, and its sessions would wait for the next again and again.
func (l *userLink) other(wasUp bool) (best *userLink) {
	for _, s := range l.u.links[l.element.Name] {
		switch {
		case s == nil || s == l:
		case s.hello == nil && (wasUp || !s.dialing || s.dialed.After(l.dialed)):
		case s.before(best):
			best = s
		}
	}
	return best
}

// alone reports whether the association failed by itself, so that the element is not known to be at fault: another one is up or, where
// this one never was, may still come up.
func (l *userLink) alone(wasUp bool, err error) bool {
	return !errors.Is(err, loop.ErrRefused) && l.other(wasUp) != nil // refused: nobody listens there any more
}

// handOver has the lost legs resumed over siblings, without waiting for a new association. What is not resumed stays lost.
func (l *userLink) handOver() {
	for len(l.lost) > 0 {
		s := l.sibling()
		if s == nil {
			return
		}
		leg := l.lost[0]
		l.lost = l.lost[1:]
		leg.link = s
		s.resume(leg)
	}
}

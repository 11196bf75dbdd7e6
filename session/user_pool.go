package session

import (
	"maps"
	"slices"

	"github.com/poolproxy/poolproxy/pool"
)

// The elements of a User's pool may change under it (pool.Pool.Update). New sessions only go where the pool says. Sessions at an element
// that is gone leave it after a while (drain.go). Until then, and if they cannot, they stay, and their legs may be resumed there: that its
// name is not told any more does not say that it has died.

// Updated says that the pool may have other elements: sessions that wait for one look at once, and associations with elements that are
// gone are ended as soon as they carry nothing. left reports that some still do: then it should be called again, a while later.
func (u *User) Updated() (left bool) {
	known := make(map[string]bool)
	for _, e := range u.c.Pool.States() {
		known[e.Name] = true
		u.moved(e.Element)
	}
	for _, name := range slices.Sorted(maps.Keys(u.links)) {
		if !known[name] {
			u.leave(name)
			left = left || u.links[name] != nil
		}
	}
	forgotten := func(name string) bool { return !known[name] && u.links[name] == nil }
	for name := range u.broke {
		if forgotten(name) {
			delete(u.broke, name)
		}
	}
	for name := range u.said {
		if forgotten(name) {
			delete(u.said, name)
		}
	}
	u.gone(known)
	u.Wake()
	return left
}

// Uses reports whether there is an association with the element called name, or one is being begun.
func (u *User) Uses(name string) bool { return u.links[name] != nil }

// leave ends the associations with an element that carry no leg and are to carry none.
func (u *User) leave(name string) {
	for n, l := range u.links[name] {
		if l == nil || l.legs() > 0 {
			continue
		}
		l.stop()
		u.links[name][n] = nil
		u.c.Trace.log('i', "association ended: the element has left the pool", "pool_element", name, "address", l.element.Address)
	}
	if u.spread(name, nil) == nil {
		delete(u.links, name)
	}
}

// moved gives associations another name if the element that has theirs now is at another address: so it gets its own, and what becomes
// of the one that they lead to is not held against it.
func (u *User) moved(e pool.Element) {
	var old *userLink
	for _, l := range u.links[e.Name] {
		if l != nil {
			old = l
		}
	}
	if old == nil || old.element.Address == e.Address {
		return
	}
	all, name := u.links[e.Name], e.Name+" at "+old.element.Address.String()
	delete(u.links, e.Name)
	for _, l := range all {
		if l != nil {
			l.element.Name, l.n = name, l.n+len(u.links[name])
		}
	}
	u.links[name] = append(u.links[name], all...)
	renamed := func(leg *userLeg) {
		if s := leg.s; s != nil && s.leg == leg {
			s.from, s.entered = name, "" // the element that has the name now is another one
			if s.served == e.Name {
				s.served = name
			}
		}
	}
	for _, l := range all {
		if l != nil {
			l.eachLeg(renamed)
		}
	}
}

// eachLeg calls f for all legs that the association carries or is to carry.
func (l *userLink) eachLeg(f func(*userLeg)) {
	l.streams.all(f)
	for _, legs := range [][]*userLeg{l.lost, l.pending} {
		for _, leg := range legs {
			f(leg)
		}
	}
}

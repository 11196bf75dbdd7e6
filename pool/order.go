package pool

import (
	"net/netip"
	"slices"
	"time"
)

// Wish narrows the choice for one session.
type Wish struct {
	After string                 // the element that has carried it: the failover order that this one asked for comes before the policy; "": none
	Not   func(name string) bool // elements that are of no use to it now; nil: all are
}

// Choice is the element that was chosen, or how long it takes until there is one to choose.
type Choice struct {
	Element
	Wait  time.Duration
	Asked bool // by the failover order of Wish.After, and not by the policy
}

// refuses reports whether an element is of no use.
func (w *Wish) refuses(m *member) bool { return w.Not != nil && w.Not(m.Name) }

// Prefer notes in which order other elements should be tried for the sessions of the element called name, should it fail
// (RFC 5352 §3.9), in place of what was noted before. They are named by address; what is no element of this pool, and the element itself, is
// left out. known are the names of the rest, and news says that it is another order than before.
func (p *Pool) Prefer(name string, order []netip.AddrPort) (known []string, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	if m == nil {
		return nil, false
	}
	for _, at := range order {
		i := slices.IndexFunc(p.elements, func(x member) bool { return x.at(at) })
		if i >= 0 && p.elements[i].Name != name && !slices.Contains(known, p.elements[i].Name) {
			known = append(known, p.elements[i].Name)
		}
	}
	news = !slices.Equal(m.order, known)
	m.order = known
	return known, news
}

// at reports whether the element is reached at the address.
func (e *Element) at(to netip.AddrPort) bool {
	ip := to.Addr().Unmap()
	return to.Port() == e.Address.Port() && (ip == e.Address.Addr().Unmap() || slices.Contains(e.Paths, ip))
}

// preferred is the first element of the order that After has asked for which is believed alive, nil if there is none. It is called
// with p.mu held.
func (p *Pool) preferred(w Wish) *member {
	after := p.find(w.After)
	if after == nil {
		return nil
	}
	for _, name := range after.order {
		if m := p.find(name); m != nil && m.failures == 0 && !w.refuses(m) {
			return m
		}
	}
	return nil
}

// Choose names the element that the policy gives to a session: one that is believed alive, if there is any (see Suspect for the
// others), else one that failed and whose pause has passed. When there is none to be had, ok is false and wait says how long
// until one may be tried.
func (p *Pool) Choose(now time.Time) (e Element, wait time.Duration, ok bool) {
	c, ok := p.ChooseFor(now, Wish{})
	return c.Element, c.Wait, ok
}

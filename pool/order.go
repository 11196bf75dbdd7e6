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
	Back  string                 // an element that it has left because that is drained: it may go back if there is no other; "": none
}

// Choice is the element that was chosen, or how long it takes until there is one to choose.
type Choice struct {
	Element
	Wait  time.Duration
	Full  bool  // there is none because those that are alive have all the sessions that they take
	Back  bool  // it is Wish.Back
	Asked bool  // by the failover order of Wish.After, and not by the policy
	Err   error // the application's policy failed, see NewSorted; the element was chosen by round robin. To be told an operator
}

// refuses reports whether an element is of no use.
func (w *Wish) refuses(m *member) bool { return w.Not != nil && w.Not(m.Name) }

// health is what is known of those that may be chosen.
type health uint8

const (
	alive  health = iota // they are believed alive
	again                // they failed, and may be tried again
	either               // they may be alive or not
)

// may reports whether an element of that health is of use.
func (w *Wish) may(m *member, h health, now time.Time) bool {
	switch {
	case w.refuses(m), h != either && m.full(now):
		return false
	case h == alive:
		return m.failures == 0
	case h == again:
		return m.failures > 0 && !m.retry.After(now)
	}
	return true
}

// Prefer notes in which order other elements should be tried for the sessions of the element called name, should it fail
// (RFC 5352 §3.9), in place of what was noted before; by is the incarnation of it that asks. They are named by address; what is no element of
// this pool, and the element itself, is left out. known are the names of the rest, and news says that it is another order than before.
func (p *Pool) Prefer(name string, by [16]byte, order []netip.AddrPort) (known []string, news bool) {
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
	m.order, m.orderBy = known, by
	return known, news
}

// Shown says that this incarnation of the element called name is there now: what another one asked for counts no more.
func (p *Pool) Shown(name string, incarnation [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil && m.orderBy != incarnation {
		m.order = nil
	}
	if d := p.drains[name]; d != nil && d.asks && d.by != incarnation {
		d.asks = false
		p.drained()
	}
}

// at reports whether the element is reached at the address.
func (e *Element) at(to netip.AddrPort) bool {
	ip := to.Addr().Unmap()
	return to.Port() == e.Address.Port() && (ip == e.Address.Addr().Unmap() || slices.Contains(e.Paths, ip))
}

// preferred is the first element of the order that After has asked for which is believed alive, nil if there is none. It is called
// with p.mu held.
func (p *Pool) preferred(now time.Time, w Wish) *member {
	after := p.find(w.After)
	if after == nil {
		return nil
	}
	for _, name := range after.order {
		if m := p.find(name); m != nil && !m.unused(p.policy) && m.failures == 0 && !m.full(now) && !w.refuses(m) {
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

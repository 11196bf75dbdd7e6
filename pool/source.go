package pool

import (
	"net/netip"
	"slices"
	"time"
)

// Source is where the elements of pools come from: a configuration, DNS, a registrar. What it does to know them it does elsewhere, on a
// goroutine of its own; this package has the rules of what becomes of what it says.
type Source interface {
	// Follow has told called with what the source says of the pool: as soon as it knows or fails to, again with each change, and while
	// nothing changes often enough for the pool's age to mean something (Standing.Told). The calls come one after another, from any
	// goroutine, and must not block; they may come before Follow returns. When stop returns there will be no further call. stop may be
	// called twice, but not from told.
	Follow(handle string, told func(News)) (stop func())
}

// News is what a source says of a pool at one time.
type News struct {
	Elements []Element // all that there are, each name once; not to be changed by anybody afterwards. Of no meaning with Err
	Err      error     // why the source does not know them now: the elements known before stay
	Reported []string  // names of those that other pool users could not reach: only what is new since the last news. Also with Err
	Left     []error   // what the source has of the pool and cannot use, and has left out; each is told once

	// Policy is the pool's, as the source knows it; nil: it does not say. The pool keeps its own; that they differ is worth a word to an
	// operator (RFC 5352 §6.5.2 has users go by the source's).
	Policy *Policy
}

// Standing is how a pool stands to its source.
type Standing struct {
	Told time.Time // when the source last said which elements there are; zero: it never has
	Err  error     // why it could not the last time it was asked; nil: it could
	From time.Time // when the pool began to follow it, or Told; what Age counts from
}

// Age is how old that is which is known of the elements.
func (s Standing) Age(now time.Time) time.Duration { return max(0, now.Sub(s.From)) }

// Change is what an update has changed, by the names of elements.
type Change struct {
	Added []string // there was no element of that name
	Gone  []string // there is none any more: it gets no new sessions
	Moved []string // it is at another address now, which is another element: nothing is known of its health

	Valued []string // it is the same, with other policy values, or takes more sessions, or fewer
}

// None reports whether the same elements are where they were; their policy values may be others.
func (c Change) None() bool { return len(c.Added)+len(c.Gone)+len(c.Moved) == 0 }

// Learn takes what the source says. A source that fails changes nothing but its own standing: the last known elements stay, however
// long it takes.
func (p *Pool) Learn(now time.Time, n News) Change {
	defer p.spoke()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.standing.Err = n.Err
	if n.Err != nil {
		if p.standing.From.IsZero() {
			p.standing.From = now
		}
		return Change{}
	}
	p.standing.Told, p.standing.From = now, now
	if p.told != nil && slices.EqualFunc(p.told, n.Elements, Element.same) { // as most news are
		return Change{}
	}
	p.forget(now)
	c := p.update(n.Elements)
	p.told = n.Elements
	return c
}

// same reports whether nothing is different.
func (e Element) same(other Element) bool {
	return e.Name == other.Name && !e.Elsewhere(other) && e.Mapping == other.Mapping && e.values() == other.values() && e.MaxSessions == other.MaxSessions && e.Revision == other.Revision
}

// Follow has told called with what the source says of the pool from now on (Source.Follow), for whoever called it to Learn it; and if the source
// is a Reporter it is told which elements are Unreachable. stop ends both.
func (p *Pool) Follow(now time.Time, s Source, told func(News)) (stop func()) {
	p.mu.Lock()
	p.standing, p.spoken = Standing{From: now}, make(chan struct{})
	p.mu.Unlock()
	if r, is := s.(Reporter); is {
		p.OnUnreachable(func(e Element) { r.Report(p.Handle, e) })
	}
	end := s.Follow(p.Handle, told)
	return func() {
		p.OnUnreachable(nil)
		end()
	}
}

// ReachedBy leaves out elements that are reached by another mapping than that: one that is registered with several is there once for each. "" is
// any. The elements are not changed.
func ReachedBy(mapping string, elements []Element) []Element {
	other := func(e Element) bool { return mapping != "" && e.Mapping != "" && e.Mapping != mapping }
	if !slices.ContainsFunc(elements, other) {
		return elements
	}
	return slices.DeleteFunc(slices.Clone(elements), other)
}

// spoke notes that the source has said something, when that has been learned.
func (p *Pool) spoke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spoken != nil {
		close(p.spoken)
		p.spoken = nil
	}
}

// Spoken is closed when the source has said something since Follows, be it that it does not know; also where there is no source.
func (p *Pool) Spoken() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spoken != nil {
		return p.spoken
	}
	return over
}

// over is what nobody need wait for.
var over = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Standing tells how the pool stands to its source.
func (p *Pool) Standing() Standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standing
}

// Update makes these the elements of the pool. Those that stay keep their place in the round and what is known of their health; their
// policy values are the new ones. New ones come behind them, so that a source that tells the same elements in another order each time
// (DNS does) changes nothing. Of elements with the same name the first counts.
func (p *Pool) Update(elements []Element) Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.update(elements)
}

// update is Update. It is called with p.mu held.
func (p *Pool) update(elements []Element) (c Change) {
	told := make(map[string]*Element, len(elements))
	for i := range elements {
		if e := &elements[i]; told[e.Name] == nil {
			told[e.Name] = e
		}
	}
	kept, next := make([]member, 0, len(told)), 0
	for i := range p.elements {
		m := &p.elements[i]
		if i == p.next {
			next = len(kept)
		}
		e := told[m.Name]
		if e == nil {
			c.Gone = append(c.Gone, m.Name)
			p.leaves(m)
			p.remember(*m)
			p.keep(m)
			continue
		}
		kept = append(kept, p.stays(m, *e, &c))
		delete(told, m.Name)
	}
	if len(kept) == 0 {
		p.owed = nil // all begin alike
	}
	for i := range elements {
		if e := &elements[i]; told[e.Name] == e {
			c.Added = append(c.Added, e.Name)
			kept = append(kept, p.back(*e))
		}
	}
	p.elements, p.next, p.told = kept, next, nil
	p.join()
	p.moved(c.Gone...)
	p.moved(c.Moved...)
	return c
}

// stays is the element as it is told now, of which something may be known. It is called with p.mu held.
func (p *Pool) stays(was *member, e Element, c *Change) member {
	m := *was
	if m.elsewhere(p.policy, &e) {
		p.leaves(&m)
	}
	switch {
	case m.Elsewhere(e):
		c.Moved = append(c.Moved, m.Name)
		sessions := m.sessions
		if m.Address != e.Address {
			sessions = 0
		}
		m = member{total: m.total + 1, credit: m.credit, joins: m.joins, sessions: sessions} // what was learned of it is outdated (Failures)
	case m.values() != e.values() || m.MaxSessions != e.MaxSessions:
		c.Valued = append(c.Valued, m.Name)
	}
	m.take(e)
	return m
}

// Elsewhere reports whether the element called the same is reached in another place: it is another one then.
func (e *Element) Elsewhere(other Element) bool {
	return e.Address != other.Address || !slices.Equal(e.Paths, other.Paths)
}

// values are the policy values.
func (e *Element) values() [4]uint32 { return [...]uint32{e.Priority, e.Weight, e.Load, e.Degradation} }

// take takes the element as it is told. If it is registered anew, or with other policy values, what has been given since the last time
// does not count any more (RFC 5356 §5.2.2).
func (m *member) take(e Element) {
	if m.Revision != e.Revision || m.values() != e.values() {
		m.given = 0
	}
	m.Element = e
}

// Paths are the further addresses of the element that is reached at this one, none if there is no such element or it has none. They are not
// to be changed.
func (p *Pool) Paths(at netip.AddrPort) []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		if e := &p.elements[i].Element; e.Address == at && len(e.Paths) > 0 {
			return e.Paths
		}
	}
	return nil
}

// Len is how many elements there are.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.elements)
}

// Element finds an element by its name.
func (p *Pool) Element(name string) (e Element, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		return m.Element, true
	}
	return Element{}, false
}

// ElementAt finds the first element at an address.
func (p *Pool) ElementAt(at netip.AddrPort) (e Element, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		if p.elements[i].Address == at {
			return p.elements[i].Element, true
		}
	}
	return Element{}, false
}

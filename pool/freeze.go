package pool

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
)

// frozenPool and frozenVersion are the kind and the version of what is frozen of a pool.
const (
	frozenPool    = 'p'
	frozenVersion = 1
)

// Freeze appends to to what is known of the elements: who they are, who has failed, who is drained, what they have asked for, and whose turn it
// is; for another process that takes this one's place.
func (p *Pool) Freeze(to []byte, now time.Time) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	to, _ = freeze.Frame(to, frozenPool, frozenVersion, now, p.show) // nothing in it can fail
	return to
}

// Thaw takes over what Freeze of another process has written. Elements that the pool knows already, by their name and place, are given the health
// that they have there; if it knows none at all, because its source has not told yet, it takes over those, too. After an error, which
// wraps freeze.Err, nothing has changed.
func (p *Pool) Thaw(from []byte, now time.Time) error {
	var was Pool
	if err := freeze.Open(from, frozenPool, frozenVersion, now, was.show); err != nil {
		return fmt.Errorf("pool %s: %w", p.Handle, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.elements) == 0 {
		var elements []Element
		for i := range was.elements {
			elements = append(elements, was.elements[i].Element)
		}
		p.update(elements)
	}
	for i := range p.elements {
		m := &p.elements[i]
		old := was.find(m.Name)
		if old == nil || m.Elsewhere(old.Element) {
			continue
		}
		as := m.Element
		*m = *old
		m.Element = old.Element
		m.take(as)
	}
	if len(was.elements) > 0 && was.next < len(was.elements) {
		for i := range p.elements {
			if p.elements[i].Name == was.elements[was.next].Name {
				p.next = i
			}
		}
	}
	p.gone, p.drains = was.gone, was.drains
	for _, d := range p.drains {
		d.asks = false // associations begin anew, and are told again: without one, nobody would hear that it is taken back
	}
	p.drained()
	return nil
}

// show shows all. Of what it fills in only the fields that it shows are of use. It is called with p.mu held.
func (p *Pool) show(c *freeze.Coder) {
	freeze.List(c, &p.elements, func(m *member) { m.freeze(c) })
	c.Count(&p.next)
	freeze.Map(c, &p.gone, func(m *member) { m.freeze(c) })
	freeze.Map(c, &p.drains, func(d **drain) {
		if c.Thaws() {
			*d = &drain{}
		}
		c.Bool(&(*d).operator, &(*d).asks)
		c.Array((*d).by[:])
		c.Text(&(*d).reason)
	})
}

func (m *member) freeze(c *freeze.Coder) {
	m.Element.Freeze(c)
	c.Count(&m.failures)
	c.Word(&m.total)
	c.Time(&m.retry, &m.reports, &m.heard)
	c.Bool(&m.serves, &m.joins)
	freeze.List(c, &m.order, func(name *string) { c.Text(name) })
	c.Array(m.orderBy[:])
	freeze.Number(c, &m.given, 0, math.MaxUint32)
	freeze.Number(c, &m.credit, -1<<62, 1<<62)
}

// Freeze shows where the element is, and its policy values.
func (e *Element) Freeze(c *freeze.Coder) {
	c.Text(&e.Name, &e.Mapping)
	freezeAddress(c, &e.Address)
	freeze.List(c, &e.Paths, func(a *netip.Addr) { freezeAddr(c, a) })
	for _, v := range []*uint32{&e.Priority, &e.Weight, &e.Load, &e.Degradation} {
		freeze.Number(c, v, 0, math.MaxUint32)
	}
	freeze.Number(c, &e.Revision, -1<<62, 1<<62)
}

func freezeAddress(c *freeze.Coder, at *netip.AddrPort) {
	host, port := at.Addr(), at.Port()
	freezeAddr(c, &host)
	if freeze.Number(c, &port, 0, math.MaxUint16); c.Thaws() {
		*at = netip.AddrPortFrom(host, port)
	}
}

func freezeAddr(c *freeze.Coder, a *netip.Addr) {
	p, _ := a.MarshalBinary() // never fails
	if c.Bytes(&p); c.Thaws() {
		c.Check(a.UnmarshalBinary(p) == nil, "%d bytes that are no address", len(p))
	}
}

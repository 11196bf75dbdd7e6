package pool

import "time"

// An element is drained when it is to get no new sessions and those that it has should leave: an operator has said so, or the element itself,
// which is about to stop. It is no failure: who is there goes on until it can be moved.

// drain is who wants an element drained.
type drain struct {
	operator bool
	asks     bool     // the element itself
	by       [16]byte // the incarnation of it that asks
	reason   string   // of that

	tellers map[any]bool // the associations that it has said so on, and will take it back on; nil: none
}

// why is the reason for people.
func (d *drain) why() string {
	switch {
	case d == nil:
		return ""
	case d.operator:
		return "it is drained by an operator"
	case d.reason == "":
		return "it has asked to be drained"
	}
	return "it has asked to be drained: " + d.reason
}

// Drain begins to drain the element called name, as an operator wants, also after it has left the pool and come back. It reports false if
// there is no such element.
func (p *Pool) Drain(name string) (known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.find(name) == nil {
		return false
	}
	p.drainOf(name).operator = true
	p.drained()
	return true
}

// Undrain takes an operator's Drain back. What the element itself has asked for stands. It reports false if nothing is known of such an
// element.
func (p *Pool) Undrain(name string) (known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.drains[name]
	if d == nil {
		return p.find(name) != nil
	}
	d.operator = false
	p.drained()
	return true
}

// Asks says that this incarnation of the element called name wants to be drained, for the reason. teller is the association on which it has
// said so, of any pool_user and shard. It holds until Stops, until the last teller is Untold, until another incarnation is Shown, or until the
// element is reached elsewhere or has left the pool.
func (p *Pool) Asks(name string, incarnation [16]byte, reason string, teller any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.find(name) == nil {
		return
	}
	d := p.drainOf(name)
	if !d.asks || d.by != incarnation {
		d.tellers = make(map[any]bool)
	}
	d.asks, d.by, d.reason = true, incarnation, reason
	d.tellers[teller] = true
	p.drained()
}

// Untold says that an association is no more. When it was the last one on which the element called name has asked to be drained nobody would
// hear that it takes that back, so it does not hold any longer: it asks again on the next. It reports whether that is so.
func (p *Pool) Untold(name string, teller any) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.drains[name]
	if d == nil || !d.tellers[teller] {
		return false
	}
	if delete(d.tellers, teller); len(d.tellers) > 0 || !d.asks {
		return false
	}
	d.asks = false
	p.drained()
	return true
}

// Stops takes Asks of this incarnation back.
func (p *Pool) Stops(name string, incarnation [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.drains[name]; d != nil && d.by == incarnation {
		d.asks = false
		p.drained()
	}
}

// Draining says why sessions should leave the element called name; "": they should not. One that the pool does not have any more is one
// that they should leave.
func (p *Pool) Draining(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.find(name) == nil {
		return "it has left the pool"
	}
	return p.drains[name].why()
}

// drainOf is called with p.mu held.
func (p *Pool) drainOf(name string) *drain {
	d := p.drains[name]
	if d == nil {
		d = &drain{}
		if p.drains == nil {
			p.drains = make(map[string]*drain)
		}
		p.drains[name] = d
	}
	return d
}

// drained notes at the members who is drained, and forgets what nobody wants any more. It is called with p.mu held.
func (p *Pool) drained() {
	for name, d := range p.drains {
		if !d.operator && !d.asks {
			delete(p.drains, name)
		}
	}
	for i := range p.elements {
		m := &p.elements[i]
		m.drained = p.drains[m.Name] != nil
	}
}

// moved forgets what elements have asked for that are another one now, or none. It is called with p.mu held, behind an update.
func (p *Pool) moved(names ...string) {
	if len(p.drains) == 0 { // then nobody is marked either
		return
	}
	for _, name := range names {
		if d := p.drains[name]; d != nil {
			d.asks = false
		}
	}
	p.drained()
}

// unused reports whether the element gets no sessions: by its own word, or because it is drained.
func (m *member) unused(p Policy) bool { return m.drained || m.idle(p) }

// goBack is the drained element that a session may go back to; nil: none. It is called with p.mu held.
func (p *Pool) goBack(now time.Time, w Wish) *member {
	if w.Back == "" {
		return nil
	}
	if m := p.find(w.Back); m != nil && !m.idle(p.policy) && !w.refuses(m) && !m.full(now) && (m.failures == 0 || !m.retry.After(now)) {
		return m
	}
	return nil
}

// Usable reports whether the element called name may be given a session now.
func (p *Pool) Usable(now time.Time, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	return m != nil && !m.unused(p.policy) && !m.full(now) && (m.failures == 0 || !m.retry.After(now))
}

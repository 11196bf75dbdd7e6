package pool

import (
	"net/netip"
	"time"
)

// An element is full when it has as many sessions as it takes: because the configuration says how many (Element.MaxSessions), which is counted
// here for all that share the pool, or because it has refused one for that reason. That is no failure, and nothing is held against it. As
// long as that holds others are chosen; one session at a time finds out whether an element that has refused has room again.

// Enter counts a session that goes to the element called name. It reports false, and does not count it, if the element has all that it takes.
func (p *Pool) Enter(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	if m == nil {
		p.countLeft(name, 1)
		return true
	}
	if m.crowded() {
		return false
	}
	m.sessions++
	return true
}

// Stay counts a session that is at the element called name already, whatever it takes.
func (p *Pool) Stay(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		m.sessions++
	} else {
		p.countLeft(name, 1)
	}
}

// Exit says that a session that was counted has left the element called name. It reports whether the element was full: then there may be room.
func (p *Pool) Exit(name string) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	if m == nil {
		p.countLeft(name, -1)
		return false
	}
	if m.sessions == 0 { // it has left the pool meanwhile, and has come back at another address
		return false
	}
	full = m.crowded() || m.refusals > 0
	m.sessions--
	m.room = time.Time{}
	return full
}

// Full reports that the element called name has refused a session, which was counted, because it has all that it takes.
func (p *Pool) Full(now time.Time, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	if m == nil {
		p.countLeft(name, -1)
		return
	}
	m.sessions = max(m.sessions-1, 0)
	m.refusals++
	m.refused = now
	m.room = now.Add(pause(m.refusals))
}

// HasRoom says that the element called name has taken a session that went there at that time. If it has refused another one since, it may have
// been the last that it takes.
func (p *Pool) HasRoom(name string, went time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil && m.refusals > 0 && went.After(m.refused) {
		m.refusals, m.room = 0, time.Time{}
	}
}

// occupied is an element that has left the pool while sessions were at it.
type occupied struct {
	at       netip.AddrPort
	sessions int
}

// keep keeps the count of an element that leaves; there are no more of them than there are sessions. It is called with p.mu held.
func (p *Pool) keep(m *member) {
	if m.sessions == 0 {
		return
	}
	if p.occupied == nil {
		p.occupied = make(map[string]occupied)
	}
	p.occupied[m.Name] = occupied{m.Address, m.sessions}
}

// countLeft counts n sessions more at an element that has left. It is called with p.mu held.
func (p *Pool) countLeft(name string, n int) {
	o, is := p.occupied[name]
	if !is {
		return
	}
	if o.sessions += n; o.sessions <= 0 {
		delete(p.occupied, name)
		return
	}
	p.occupied[name] = o
}

// occupants is how many sessions are still at an element that is new in the pool, because it has been in it before. At another address it is
// another one, and has none. It is called with p.mu held.
func (p *Pool) occupants(e Element) int {
	o := p.occupied[e.Name]
	delete(p.occupied, e.Name)
	if o.at != e.Address {
		return 0
	}
	return o.sessions
}

// crowded reports whether the element has all the sessions of this process that it takes.
func (m *member) crowded() bool {
	return m.MaxSessions > 0 && m.sessions >= int(m.MaxSessions)
}

// full reports whether the element is not to be tried because it has no room.
func (m *member) full(now time.Time) bool { return m.crowded() || m.room.After(now) }

// full reports whether somebody would be chosen if there were room. It is called with p.mu held.
func (p *Pool) full(now time.Time, w Wish) bool {
	for i := range p.elements {
		if m := &p.elements[i]; m.full(now) && m.failures == 0 && !m.unused(p.policy) && !w.refuses(m) {
			return true
		}
	}
	return false
}

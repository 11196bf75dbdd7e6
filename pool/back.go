package pool

import "time"

// Belief is how long a failure is believed of an element that nobody has looked at since. Who is named a server by nameservice tries it, and
// comes back if it does not work, so it is short; and each time one caller in a while tries in vain, so it is not shorter.
const Belief = 10 * time.Second

// Forgive forgets failures that are older than Belief. It is for those who are named elements and do not say how these do: where sessions
// are carried, each failure is looked into by the next one (Suspect), which makes it a new one.
func (p *Pool) Forgive(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		if m := &p.elements[i]; m.failures > 0 && now.Sub(m.retry) > Belief {
			m.failures, m.retry = 0, time.Time{}
		}
	}
}

// Memory is how long it is remembered of an element that has left the pool that it had failed. A source may name some of the elements at a
// time, and others the next time; and one that is dead is no better for having been left out.
const Memory = time.Minute

// mostGone bounds how many are remembered.
const mostGone = 1024

// remember keeps what is known of an element that has left, if it had failed. It is called with p.mu held.
func (p *Pool) remember(m member) {
	if m.failures == 0 || len(p.gone) >= mostGone {
		return
	}
	if p.gone == nil {
		p.gone = make(map[string]member)
	}
	p.gone[m.Name] = m
}

// forget forgets those that have been away for long; their last failure tells. It is called with p.mu held.
func (p *Pool) forget(now time.Time) {
	for name, m := range p.gone {
		if now.Sub(m.retry) > Memory {
			delete(p.gone, name)
		}
	}
}

// back is an element that is new in the pool, or is named again: then it is known to have failed, unless it is reached elsewhere or registered
// anew. It is called with p.mu held.
func (p *Pool) back(e Element) member {
	m, was := p.gone[e.Name]
	delete(p.gone, e.Name)
	if !was || m.Elsewhere(e) || m.Revision != e.Revision {
		return member{Element: e, joins: true, sessions: p.occupants(e)}
	}
	return member{Element: e, joins: true, sessions: p.occupants(e), failures: m.failures, total: m.total, retry: m.retry}
}

package pool

import "maps"

// Policies of weighted turns, weighted round robin and Priority, go by smooth weighted round robin, as in nginx: with each turn all that
// take part earn by their shares, and the one whose turn it was pays for it. In as many turns as the sum of weights each has as many as its
// weight, spread evenly (RFC 5356 §4.2.2), and never one more than its share until then. Unlike there credit is counted in turns and not in
// weights, so that it means the same whoever takes part: elements come, go, fail and are given other weights, and what each was owed
// until then stays what it was.

// turn is what one turn costs. It is so much that a share is still seen beside the sum of thousands of the largest.
const turn = 1 << 56

// turns reports whether the policy is one of weighted turns.
func (p Policy) turns() bool { return p == WeightedRoundRobin || p == Priority }

// due is the member whose turn is the most overdue, the first one of several. Under Priority those of the highest priority take turns.
func (r *round) due() int {
	class, of := r.earn()
	best, most := -1, int64(0)
	for i := range r.members {
		m := &r.members[i]
		if !r.can(i) || m.class(r.policy) != class {
			continue
		}
		if c := m.credit + m.share(r.policy)*of; best < 0 || c > most {
			best, most = i, c
		}
	}
	return best
}

// earn tells which class takes turns now, the highest of those that may be chosen, and the credit that each turn brings for a share of 1.
func (r *round) earn() (class uint32, of int64) {
	shares := int64(0)
	for i := range r.members {
		if !r.can(i) {
			continue
		}
		m := &r.members[i]
		switch c := m.class(r.policy); {
		case shares == 0 || c > class:
			class, shares = c, m.share(r.policy)
		case c == class:
			shares += m.share(r.policy)
		}
	}
	return class, each(shares)
}

// each is the credit that a turn brings for a share of 1 of so many.
func each(shares int64) int64 { return turn / min(max(shares, 1), turn) }

// pay has member i, whose turn it was, pay for it.
func (r *round) pay(i int) {
	class, of := r.earn()
	for j := range r.members {
		m := &r.members[j]
		if r.can(j) && m.class(r.policy) == class {
			m.credit += m.share(r.policy) * of
			r.members[i].credit -= m.share(r.policy) * of
		}
	}
}

// class is what an element must have in common with those that it takes turns with; larger ones come first.
func (e *Element) class(p Policy) uint32 {
	if p == Priority {
		return e.Priority
	}
	return 0
}

// share is what an element earns with each turn of its class. Under Priority a weight of 0 does not mean that the element gives no service,
// as in the weighted policies, but a very small share of it (RFC 2782), so all weights count for more: RFC 5356 has none there, and whoever
// says nothing of them (ASAP cannot) has equal ones.
func (e *Element) share(p Policy) int64 {
	weight := int64(e.Weight)
	if p == Priority {
		return max(1, weight*leastShare)
	}
	return weight
}

// leastShare is how many elements of weight 0 have the share of one of weight 1, under Priority.
const leastShare = 100

// elsewhere reports whether the element, with its new values, takes turns with others than before.
func (e *Element) elsewhere(p Policy, now *Element) bool {
	return p.turns() && (e.class(p) != now.class(p) || e.idle(p) != now.idle(p))
}

const (
	mostLeft  = 4 * turn // what those that have left were owed; more is forgotten: when many leave at once the next few need not make up for it
	mostFirst = turn     // that an element begins with
	mostOwed  = 8 * turn // or had in advance by an element: more than comes to pass, so that sums never overflow
)

// within is the credit, or what is next to it between -most and most.
func within(credit, most int64) int64 { return max(-most, min(credit, most)) }

// leaves notes what an element is owed, or has had in advance, that leaves those that it took turns with. Those that come next begin with
// it: so where elements come and go all the time, none of them for long enough for a turn, all of them together have theirs, and no
// more. It is called with p.mu held.
func (p *Pool) leaves(m *member) {
	if m.credit != 0 {
		if p.owed == nil {
			p.owed = make(map[uint32]int64)
		}
		class := m.class(p.policy)
		p.owed[class] = within(p.owed[class]+m.credit, mostLeft)
	}
	m.credit, m.joins = 0, true
}

// join gives those that are new among others their first credit. It is called with p.mu held.
func (p *Pool) join() {
	if !p.policy.turns() {
		return
	}
	members, joining := make(map[uint32]int), make(map[uint32]int64) // by class
	for i := range p.elements {
		m := &p.elements[i]
		m.credit = within(m.credit, mostOwed)
		members[m.class(p.policy)]++
		if m.joins && !m.idle(p.policy) {
			joining[m.class(p.policy)]++
		}
	}
	for i := range p.elements {
		m := &p.elements[i]
		if class := m.class(p.policy); m.joins && !m.idle(p.policy) {
			if owed := p.owed[class]; owed != 0 {
				m.credit = within(owed/joining[class], mostFirst)
				p.owed[class] = owed - m.credit
			}
			joining[class]--
		}
		m.joins = false
	}
	maps.DeleteFunc(p.owed, func(class uint32, _ int64) bool { return members[class] == 0 })
}

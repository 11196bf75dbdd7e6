package pool

import (
	"math"
	"math/rand/v2"
	"time"
)

// round is what a policy chooses from. The policies are functions of what stands here: of the members, of where the round goes on, and
// of the numbers that random draws. Who may be chosen at all is not theirs to say.
type round struct {
	policy  Policy
	members []member
	head    int        // where the round goes on, and with equal values the search (RFC 5356 §4.1.2)
	without []bool     // which ones are not to be chosen again; nil: there are none
	sorted  []int      // Application: in the order that it wants
	random  *rand.Rand // policies that draw

	// Which members may be chosen.
	wish   *Wish
	health health
	now    time.Time
}

// can reports whether the member may be chosen.
func (r *round) can(i int) bool {
	m := &r.members[i]
	return (r.without == nil || !r.without[i]) && !m.unused(r.policy) && r.wish.may(m, r.health, r.now)
}

// idle reports whether the element gives no service, by its own word: its weight is 0 (RFC 5356 §3.2).
func (e *Element) idle(p Policy) bool {
	return e.Weight == 0 && (p == WeightedRoundRobin || p == WeightedRandom)
}

// pickOr is pick, and if there is none of the round's health, of this one.
func (r *round) pickOr(h health) int {
	i := r.pick()
	if i < 0 {
		r.health = h
		i = r.pick()
	}
	return i
}

// pick is the member that the policy wants; -1: none may be chosen. Nothing is changed: took says that it was handed out.
func (r *round) pick() int {
	switch {
	case r.policy.Draws():
		return r.draw()
	case r.policy.turns():
		return r.due()
	}
	for _, i := range r.sorted {
		if r.can(i) {
			return i
		}
	}
	return r.cheapest()
}

// cheapest is the member of the least cost, and the first from head on of several. With no cost at all that is round robin.
func (r *round) cheapest() int {
	best, least := -1, uint64(0)
	for k := range r.members {
		i := (r.head + k) % len(r.members)
		if !r.can(i) {
			continue
		}
		if c := r.members[i].cost(r.policy); best < 0 || c < least {
			best, least = i, c
		}
		if least == 0 {
			break // there is nothing less
		}
	}
	return best
}

// cost is what a policy wants the least of. The sums do not fit in the 32 bits of their parts.
func (m *member) cost(p Policy) uint64 {
	switch p {
	case LeastUsed:
		return uint64(m.Load)
	case LeastUsedDegradation:
		return uint64(m.Load) + uint64(m.given)*uint64(m.Degradation)
	case PriorityLeastUsed:
		return uint64(m.Load) + uint64(m.Degradation)
	}
	return 0
}

// draw is a member by chance, each with its share of all chances.
func (r *round) draw() int {
	var all, count uint64
	for i := range r.members {
		if r.can(i) {
			all += r.members[i].chance(r.policy)
			count++
		}
	}
	if count == 0 {
		return -1
	}
	even := all == 0 // randomized_least_used with all at full load: RFC 5356 §5.4 divides by 0. They are equal, and better than none
	if even {
		all = count
	}
	at := r.random.Uint64N(all)
	for i := range r.members {
		if !r.can(i) {
			continue
		}
		c := uint64(1)
		if !even {
			c = r.members[i].chance(r.policy)
		}
		if at < c {
			return i
		}
		at -= c
	}
	return -1 // the wish has changed its mind meanwhile
}

// chance is the share of a member in a policy that draws.
func (m *member) chance(p Policy) uint64 {
	switch p {
	case WeightedRandom:
		return uint64(m.Weight)
	case RandomizedLeastUsed:
		return uint64(math.MaxUint32 - m.Load)
	}
	return 1
}

// took notes that member i is handed out, as pick has named it.
func (r *round) took(i int) {
	m := &r.members[i]
	switch r.policy {
	case RoundRobin, LeastUsed, LeastUsedDegradation, PriorityLeastUsed, Application:
		r.head = (i + 1) % len(r.members)
	case WeightedRoundRobin, Priority:
		r.pay(i)
	}
	r.missed(m)
	m.give()
}

// missed has those that are passed over because they failed keep pace. Where nobody registers anew, which sets the counters back (RFC
// 5356 §5.2.2), one that comes back would otherwise be given all sessions until it has caught up with the rest.
func (r *round) missed(taken *member) {
	if r.policy != LeastUsedDegradation {
		return
	}
	cost := taken.cost(r.policy)
	for j := range r.members {
		if m := &r.members[j]; m.failures > 0 && m != taken && m.cost(r.policy) < cost {
			m.give()
		}
	}
}

// give counts that the member is handed out. The counter stays at its end, so that sums with it never overflow.
func (m *member) give() {
	if m.given < math.MaxUint32 {
		m.given++
	}
}

// list is the answer to a handle resolution: at most n members, none twice; the first as the policy wants it, each other as it would be
// without those before it. They are handed out: the round goes on behind the first (RFC 5356 §4.1.2), each counts (§5.2.2).
func (r *round) list(n int) []int {
	var all []int
	for len(all) < n {
		i := r.pick()
		if i < 0 {
			break
		}
		if r.without == nil {
			r.without = make([]bool, len(r.members))
		}
		r.without[i] = true
		all = append(all, i)
	}
	if len(all) > 0 {
		r.without = nil
		r.took(all[0])
		for _, i := range all[1:] {
			r.members[i].give()
		}
	}
	return all
}

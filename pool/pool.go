// Package pool is the handlespace as one sidecar sees it: pools by their pool handle, the pool elements in each, and the policy that
// chooses among them (RFC 5356).
package pool

import (
	"net/netip"
	"sync"
	"time"
)

// Policy is a pool member selection policy.
type Policy uint8

const (
	RoundRobin Policy = iota // RFC 5356 §4.1
	Priority                 // RFC 5356 §4.5: the element with the largest number that is alive
)

func (p Policy) String() string { return [...]string{"round_robin", "priority"}[p] }

// Element is one pool element: where it is reached, and its policy values.
type Element struct {
	Name     string // unique in its pool
	Address  netip.AddrPort
	Paths    []netip.Addr // further addresses of its host, for a mapping that uses several; not to be changed
	Priority uint32
}

// The pause before an element that failed is tried again while others are alive doubles from the first to the last. It is kept
// short: a handlespace that believes in a failure longer than it lasts makes an outage longer (docs/architecture.md).
const (
	FirstPause = 50 * time.Millisecond
	LastPause  = 250 * time.Millisecond
)

// Pool is one pool. Its methods may be called from any goroutine: shards share it. The lock is held for a choice, never across a
// call.
type Pool struct {
	Handle string
	Policy Policy

	mu       sync.Mutex
	elements []member // guarded by mu
	next     int      // guarded by mu: where the round goes on
}

// member is an element and what is known of its health.
type member struct {
	Element
	failures int       // in a row; 0: believed alive
	total    uint64    // failures since the beginning
	retry    time.Time // with failures: not before
	serves   bool      // it has carried a session since it last failed
	order    []string  // who should be tried first for its sessions if it fails; not changed, only replaced
	orderBy  [16]byte  // the incarnation of it that has said so
}

// State is an element with its health, for people and programs to see.
type State struct {
	Element
	Failures int       // in a row; 0: believed alive
	Retry    time.Time // with Failures: when it may be tried again
	Order    []string  // who should be tried first for its sessions if it fails, as it has asked for; not to be changed
}

// New makes a pool of the elements. The order of round robin is theirs.
func New(handle string, policy Policy, elements []Element) *Pool {
	p := &Pool{Handle: handle, Policy: policy}
	for _, e := range elements {
		p.elements = append(p.elements, member{Element: e})
	}
	return p
}

// ChooseFor is Choose for a session with a wish.
func (p *Pool) ChooseFor(now time.Time, w Wish) (c Choice, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.preferred(w); m != nil {
		return Choice{Element: m.Element, Asked: true}, true
	}
	best := -1
	wait := LastPause
	for i := range p.elements {
		at := i
		if p.Policy == RoundRobin {
			at = (p.next + i) % len(p.elements)
		}
		m := &p.elements[at]
		if w.refuses(m) {
			continue
		}
		if m.failures > 0 && m.retry.After(now) {
			wait = min(wait, m.retry.Sub(now))
			continue
		}
		if best < 0 || better(m, &p.elements[best], p.Policy) {
			best = at
		}
	}
	if best < 0 {
		return Choice{Wait: wait}, false
	}
	if p.Policy == RoundRobin {
		p.next = (best + 1) % len(p.elements)
	}
	m := &p.elements[best]
	if m.failures > 0 { // one try at a time: the next one waits for this one's outcome, or a pause
		m.retry = now.Add(pause(m.failures))
	}
	return Choice{Element: m.Element}, true
}

// Suspect names an element that failed and whose pause has passed, for somebody to find out how it is, while another one that
// is believed alive serves; ok is false when there is none. Its pause begins anew: one look at a time.
func (p *Pool) Suspect(now time.Time) (e Element, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		if m := &p.elements[i]; m.failures > 0 && !m.retry.After(now) {
			m.retry = now.Add(pause(m.failures))
			return m.Element, true
		}
	}
	return Element{}, false
}

// better reports whether a is to be preferred to b, which stands before it in the order of the policy.
func better(a, b *member, policy Policy) bool {
	if (a.failures > 0) != (b.failures > 0) {
		return b.failures > 0
	}
	return policy == Priority && a.Priority > b.Priority
}

// Failed reports that the element called name could not be reached, or died.
func (p *Pool) Failed(now time.Time, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		m.failures++
		m.total++
		m.serves = false
		m.retry = now.Add(pause(m.failures))
	}
}

// Alive reports that the element called name does its work.
func (p *Pool) Alive(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		m.failures, m.retry = 0, time.Time{}
	}
}

// Serves reports that the element called name carries a session. It is news if that was not known since it last failed.
func (p *Pool) Serves(name string) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.find(name)
	if m == nil {
		return false
	}
	news = !m.serves
	m.serves, m.failures, m.retry = true, 0, time.Time{}
	return news
}

// Failures is how often the element called name has failed so far: what was learned of it before the last time may be outdated.
func (p *Pool) Failures(name string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		return m.total
	}
	return 0
}

// States lists the elements in their order.
func (p *Pool) States() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]State, len(p.elements))
	for i, m := range p.elements {
		states[i] = State{Element: m.Element, Failures: m.failures, Retry: m.retry, Order: m.order}
	}
	return states
}

// find is called with p.mu held.
func (p *Pool) find(name string) *member {
	for i := range p.elements {
		if p.elements[i].Name == name {
			return &p.elements[i]
		}
	}
	return nil
}

// pause is how long an element that failed n times in a row is left alone.
func pause(n int) time.Duration {
	return min(FirstPause<<min(n-1, 10), LastPause)
}

// Others reports whether an element other than the one called name may be tried now.
func (p *Pool) Others(now time.Time, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		m := &p.elements[i]
		if m.Name != name && (m.failures == 0 || !m.retry.After(now)) {
			return true
		}
	}
	return false
}

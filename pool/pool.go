// Package pool is the handlespace as one sidecar sees it: pools by their pool handle, the pool elements in each, and the policy that
// chooses among them (RFC 5356).
package pool

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Element is one pool element: where it is reached, and its policy values.
type Element struct {
	Name     string // unique in its pool
	Address  netip.AddrPort
	Mapping  string       // by which it is reached there: none, tcp, sctp; "": by that of its pool
	Paths    []netip.Addr // further addresses of its host, for a mapping that uses several; not to be changed
	Priority uint32       // larger is better; of equals each has its share by Weight

	Weight      uint32 // its share of service; 0: it gives none (RFC 5356 §3.2), under Priority the least (RFC 2782)
	Load        uint32 // how much it is used: 0xffffffff is 100 % (RFC 5356 §3.1)
	Degradation uint32 // the load that one more session adds

	MaxSessions uint32 // how many sessions of this process it takes at once; 0: no more is said than that it may refuse them

	Revision int64 // of its registration, as its source counts: another one is a new registration, also with the same values
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

	mu       sync.Mutex
	policy   Policy              // guarded by mu
	elements []member            // guarded by mu
	next     int                 // guarded by mu: where the round goes on
	standing Standing            // guarded by mu
	told     []Element           // guarded by mu: what Learn was given last, if that is what holds. Not to be changed
	gone     map[string]member   // guarded by mu: those that had failed when they left; they may be named again (remember)
	occupied map[string]occupied // guarded by mu: those with sessions when they left; they may be named again (keep)
	owed     map[uint32]int64    // guarded by mu: of policies of weighted turns, by class: the credit of those that have left
	drains   map[string]*drain   // guarded by mu: by the names of elements, also of those that have left
	spoken   chan struct{}       // guarded by mu: closed when the source says something; nil: it has, or there is none

	source rand.PCG                // guarded by mu
	random *rand.Rand              // guarded by mu: draws from source
	sort   func([]Values) []Values // of the application; nil: there is none

	unreachable func(Element) // guarded by mu: told what others should know; nil: nobody wants to know
}

// member is an element and what is known of its health.
type member struct {
	Element
	failures int       // in a row; 0: believed alive
	total    uint64    // failures since the beginning
	retry    time.Time // with failures: not before
	serves   bool      // it has carried a session since it last failed
	drained  bool      // it gets no new sessions (Pool.Drain)
	sessions int       // of this process, that are at it or go there
	refusals int       // in a row, because it was full
	room     time.Time // with refusals: it is not asked before
	refused  time.Time // when it did so last
	order    []string  // who should be tried first for its sessions if it fails; not changed, only replaced
	orderBy  [16]byte  // the incarnation of it that has said so
	given    uint32    // how often it was handed out since its values were told: the degradation counter of RFC 5356 §5.2.2
	credit   int64     // of policies of weighted turns: how far its turn is overdue
	joins    bool      // it takes turns with others than before (join)
	reports  time.Time // when a failure may be told to others again
	heard    time.Time // when others are believed again
}

// State is an element with its health, for people and programs to see.
type State struct {
	Element
	Failures int       // in a row; 0: believed alive
	Retry    time.Time // with Failures: when it may be tried again
	Order    []string  // who should be tried first for its sessions if it fails, as it has asked for; not to be changed
	Draining string    // why sessions should leave it; "": they should not
	Full     bool      // it has all the sessions that it takes, or has said so when it was asked last
}

// New makes a pool of the elements. The order of round robin is theirs. Policies that draw want a Seed.
func New(handle string, policy Policy, elements []Element) *Pool {
	p := &Pool{Handle: handle, policy: policy}
	p.random = rand.New(&p.source)
	for _, e := range elements {
		p.elements = append(p.elements, member{Element: e})
	}
	return p
}

// Seed says where the numbers begin that policies draw. Sidecars with the same seed would all choose alike.
func (p *Pool) Seed(seed [16]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.source.Seed(binary.BigEndian.Uint64(seed[:8]), binary.BigEndian.Uint64(seed[8:]))
}

// Policy is the rule by which elements are chosen.
func (p *Pool) Policy() Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// SetPolicy has elements chosen by another rule from now on, as if all of them had just come: what each was owed by the last one is forgotten.
func (p *Pool) SetPolicy(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.policy == policy {
		return
	}
	p.policy, p.owed = policy, nil
	for i := range p.elements {
		m := &p.elements[i]
		m.credit, m.given, m.joins = 0, 0, false
	}
}

// ChooseFor is Choose for a session with a wish.
func (p *Pool) ChooseFor(now time.Time, w Wish) (c Choice, ok bool) {
	names, err := p.ask(now, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.wished(now, w); ok {
		return c, true
	}
	r := p.round(now, &w, names)
	i := r.pickOr(again)
	if i < 0 {
		if m := p.goBack(now, w); m != nil {
			return Choice{Element: m.Element, Asked: true, Back: true}, true
		}
		return Choice{Wait: p.wait(now, w), Full: p.full(now, w)}, false
	}
	r.took(i)
	p.next = r.head
	m := &p.elements[i]
	if m.refusals > 0 {
		m.room = now.Add(pause(m.refusals))
	}
	if m.failures > 0 { // one try at a time: the next one waits for this one's outcome, or a pause
		m.retry = now.Add(pause(m.failures))
	}
	return Choice{Element: m.Element, Err: err}, true
}

// wished is the element that somebody's wish names, which hands it out. It is called with p.mu held.
func (p *Pool) wished(now time.Time, w Wish) (c Choice, ok bool) {
	m := p.preferred(now, w)
	if m == nil {
		return Choice{}, false
	}
	m.give()
	return Choice{Element: m.Element, Asked: true}, true
}

// Resolve answers a handle resolution: at most the given number of elements, none twice, in the order of the policy. They are those that
// are believed alive; if there are none, those that have failed: the last known is better than nothing. They are handed out by that. An
// error is that of an application's policy; the order is that of round robin then.
func (p *Pool) Resolve(now time.Time, most int) ([]Element, error) {
	var w Wish
	names, err := p.ask(now, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.round(now, &w, names)
	list := r.list(most)
	if len(list) == 0 {
		r.health = either
		list = r.list(most)
	}
	p.next = r.head
	elements := make([]Element, len(list))
	for k, i := range list {
		elements[k] = p.elements[i].Element
	}
	return elements, err
}

// round is what the policy chooses from, at first those that are alive; names are the application's order. It is called with p.mu held.
func (p *Pool) round(now time.Time, w *Wish, names []string) round {
	return round{policy: p.policy, members: p.elements, head: p.next, sorted: p.indexes(names), random: p.random, wish: w, now: now}
}

// wait is how long it takes until a member may be tried again. It is called with p.mu held.
func (p *Pool) wait(now time.Time, w Wish) time.Duration {
	wait := LastPause
	for i := range p.elements {
		m := &p.elements[i]
		if m.unused(p.policy) || w.refuses(m) {
			continue
		}
		if m.failures > 0 && m.retry.After(now) {
			wait = min(wait, m.retry.Sub(now))
		}
		if m.room.After(now) {
			wait = min(wait, m.room.Sub(now))
		}
	}
	return wait
}

// Suspect names an element that failed and whose pause has passed, for somebody to find out how it is, while another one that
// is believed alive serves; ok is false when there is none. Its pause begins anew: one look at a time.
func (p *Pool) Suspect(now time.Time) (e Element, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.elements {
		if m := &p.elements[i]; m.failures > 0 && !m.retry.After(now) && !m.unused(p.policy) && !m.full(now) {
			m.retry = now.Add(pause(m.failures))
			return m.Element, true
		}
	}
	return Element{}, false
}

// Failed reports that the element called name did not do its work for a session. See Unreachable for one that nobody could use.
func (p *Pool) Failed(now time.Time, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.find(name); m != nil {
		m.failed(now)
	}
}

func (m *member) failed(now time.Time) {
	m.failures++
	m.total++
	m.serves = false
	m.retry = now.Add(pause(m.failures))
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
		states[i] = State{Element: m.Element, Failures: m.failures, Retry: m.retry, Order: m.order, Draining: p.drains[m.Name].why(),
			Full: m.crowded() || m.refusals > 0}
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
		if m.Name != name && !m.unused(p.policy) && !m.full(now) && (m.failures == 0 || !m.retry.After(now)) {
			return true
		}
	}
	return false
}

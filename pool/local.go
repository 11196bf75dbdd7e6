package pool

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Local is the source of pools whose elements stand in a configuration, and the registry of elements that live as long as this process
// keeps them registered. What it tells is what it has: it is never down.
type Local struct {
	mu       sync.Mutex // also held while followers and registrants are told, so that nobody hears of an older state behind a newer one
	pools    map[string]*localPool
	revision int64 // of the last registration
}

var (
	_ Source    = (*Local)(nil)
	_ Registry  = (*Local)(nil)
	_ Refresher = (*Local)(nil)
)

// localPool is one pool. It belongs to Local's lock.
type localPool struct {
	handle     string
	policy     Policy
	configured []Element
	registered []*localElement // in the order in which they came
	followers  []*localFollower
}

// localFollower is one who is told of a pool.
type localFollower struct{ told func(News) }

// localElement is an element that was registered (Registered). It belongs to Local's lock.
type localElement struct {
	local   *Local
	pool    *localPool
	policy  Policy
	element Element
	told    func(error)
	heard   bool  // told is, or has been, called
	err     error // why it is not in the pool; nil: it is
}

// NewLocal returns a Local without pools.
func NewLocal() *Local { return &Local{pools: make(map[string]*localPool)} }

// Set makes a pool known, or says what its policy and its configured elements are from now on. The registered ones stay, as far as none
// of these is in their way. The elements are not to be changed afterwards.
func (l *Local) Set(handle string, policy Policy, configured []Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pools[handle]
	if p == nil {
		p = &localPool{handle: handle}
		l.pools[handle] = p
	}
	p.policy, p.configured = policy, configured
	p.changed(p.registered)
}

// Has reports whether the pool is known.
func (l *Local) Has(handle string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pools[handle] != nil
}

// Forget makes a pool unknown. Its followers hear nothing more; who is registered in it hears ErrUnknownPool.
func (l *Local) Forget(handle string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pools[handle]
	if p == nil {
		return
	}
	delete(l.pools, handle)
	left := p.registered
	p.registered, p.followers = nil, nil
	for _, e := range left {
		e.err = fmt.Errorf("pool %q: %w", handle, ErrUnknownPool)
		e.told(e.err)
	}
}

// Follow tells the pool's elements now and with each change (Source).
func (l *Local) Follow(handle string, told func(News)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pools[handle]
	if p == nil {
		told(News{Err: fmt.Errorf("pool %q: %w", handle, ErrUnknownPool)})
		return func() {}
	}
	f := &localFollower{told}
	p.followers = append(p.followers, f)
	told(News{Elements: p.elements()})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		p.followers = slices.DeleteFunc(p.followers, func(x *localFollower) bool { return x == f })
	}
}

// Refresh has nothing to do: followers know all that there is (Refresher).
func (l *Local) Refresh(_ context.Context, handle string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pools[handle] == nil {
		return fmt.Errorf("pool %q: %w", handle, ErrUnknownPool)
	}
	return nil
}

// Register adds an element to a pool (Registry). It is told of before Register returns: nil; ErrDuplicate, until the one in its way is
// gone; ErrInconsistent, until the configuration has its policy. The error is that of a pool which is not known.
func (l *Local) Register(r Registration, told func(error)) (Registered, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pools[r.Handle]
	if p == nil {
		return nil, fmt.Errorf("pool %q: %w", r.Handle, ErrUnknownPool)
	}
	e := &localElement{local: l, pool: p, policy: r.Policy, element: r.Element, told: told}
	l.anew(&e.element)
	p.registered = append(p.registered, e)
	p.changed(p.named(e.element.Name))
	return e, nil
}

// anew counts a registration, for the counters that begin with it (RFC 5356 §5.2.2). It is called with l.mu held.
func (l *Local) anew(e *Element) {
	l.revision++
	e.Revision = l.revision
}

// Revalue gives the element other policy values (Registered).
func (e *localElement) Revalue(with Element) {
	e.local.mu.Lock()
	defer e.local.mu.Unlock()
	if !slices.Contains(e.pool.registered, e) {
		return
	}
	to := &e.element
	to.Priority, to.Weight, to.Load, to.Degradation = with.Priority, with.Weight, with.Load, with.Degradation
	e.local.anew(to)
	e.pool.changed(nil)
}

// Deregister takes the element out of its pool (Registered). There is nothing that could go wrong.
func (e *localElement) Deregister(context.Context) error {
	e.local.mu.Lock()
	defer e.local.mu.Unlock()
	p := e.pool
	if i := slices.Index(p.registered, e); i >= 0 {
		p.registered = slices.Delete(p.registered, i, i+1)
		p.changed(p.named(e.element.Name))
	}
	return nil
}

// named are those that are registered under a name. It is called with the lock held.
func (p *localPool) named(name string) (all []*localElement) {
	for _, e := range p.registered {
		if e.element.Name == name {
			all = append(all, e)
		}
	}
	return all
}

// changed tells the followers, and then those whose own standing has changed: who hears that he is registered can be found. That of
// others than these cannot have changed; whoever is in another one's way has the same name, so these are all of their names. It is called
// with the lock held.
func (p *localPool) changed(those []*localElement) {
	news := p.settle(those)
	elements := p.elements()
	for _, f := range p.followers {
		f.told(News{Elements: elements})
	}
	for _, e := range news {
		e.told(e.err)
	}
}

// settle finds out how these stand, and returns those whose standing is another one. It is called with the lock held.
func (p *localPool) settle(those []*localElement) (news []*localElement) {
	if len(those) == 0 {
		return nil
	}
	there := make(map[string][]Element)
	for _, e := range those {
		there[e.element.Name] = nil
	}
	for _, e := range p.configured {
		if _, wanted := there[e.Name]; wanted {
			there[e.Name] = append(there[e.Name], e)
		}
	}
	for _, e := range those {
		err, name := p.inTheWay(e, there[e.element.Name]), e.element.Name
		if err == nil {
			there[name] = append(there[name], e.element)
		}
		if !e.heard || (err == nil) != (e.err == nil) || err != nil && err.Error() != e.err.Error() {
			news = append(news, e)
		}
		e.heard, e.err = true, err
	}
	return news
}

// elements are those of the pool now: the configured ones first, then those registered that nobody is in the way of. It is called with
// the lock held.
func (p *localPool) elements() []Element {
	all := make([]Element, 0, len(p.configured)+len(p.registered))
	all = append(all, p.configured...)
	for _, r := range p.registered {
		if r.err == nil {
			all = append(all, r.element)
		}
	}
	return all
}

// inTheWay is why the element cannot be in the pool beside those of its name, which are reached by other mappings at best.
func (p *localPool) inTheWay(r *localElement, named []Element) error {
	if r.policy != p.policy {
		return fmt.Errorf("pool %q: the registration has policy %v, the pool %v: %w", p.handle, r.policy, p.policy, ErrInconsistent)
	}
	for _, e := range named {
		if e.Mapping == r.element.Mapping || e.Mapping == "" || r.element.Mapping == "" {
			return fmt.Errorf("pool %q has an element %.100q at %v: %w", p.handle, e.Name, e.Address, ErrDuplicate)
		}
	}
	return nil
}

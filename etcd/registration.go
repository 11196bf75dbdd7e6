package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// mostAgain is the longest pause before a registration that has failed is tried again.
const mostAgain = time.Second

// registration keeps one element registered (pool.Registered). What is not said to be otherwise belongs to run's goroutine, and to
// Deregister when that has ended.
type registration struct {
	s        *Source
	r        pool.Registration
	instance string // of this registration
	dir      string // of the pool
	key      string // of the element
	told     func(error)
	ctx      context.Context // done: the end of run
	cancel   context.CancelFunc
	ended    chan struct{} // closed when run has ended
	changed  chan struct{} // wanted is another one

	mu     sync.Mutex
	wanted string // guarded by mu: the value that shall lie in etcd

	heart *heart // of the lease; nil: there is none
	stood bool   // it was registered
	was   string // what was told last; "": nothing yet

	once sync.Once
	gone error // of the first Deregister
}

func newRegistration(s *Source, r pool.Registration, told func(error)) (*registration, error) {
	r.Element.Address = netip.AddrPortFrom(r.Element.Address.Addr().Unmap(), r.Element.Address.Port())
	r.Element.Paths = slices.Clone(r.Element.Paths)
	for i, ip := range r.Element.Paths {
		r.Element.Paths[i] = ip.Unmap()
	}
	g := &registration{s: s, r: r, instance: rand.Text(), told: told, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	text, err := valueOf(r, r.Element, g.instance).text()
	if err == nil && r.Element.Mapping != "" {
		err = checkMapping(r.Element.Mapping)
	}
	if err = errors.Join(checkName("the pool handle", r.Handle), checkName("its name", r.Element.Name), err); err != nil {
		return nil, fmt.Errorf("etcd: element %.100q cannot be registered in pool %.100q: %w", r.Element.Name, r.Handle, err)
	}
	g.wanted = text
	g.dir = poolDir(s.c.Prefix, r.Handle)
	g.key = g.dir + elementsDir + elementKey(r.Element.Name, r.Element.Mapping)
	g.ctx, g.cancel = context.WithCancel(s.ctx)
	s.hold()
	return g, nil
}

// Revalue has other policy values registered (pool.Registered). The last ones count.
func (g *registration) Revalue(e pool.Element) {
	own := g.r.Element
	own.Weight, own.Priority, own.Load, own.Degradation = e.Weight, e.Priority, e.Load, e.Degradation
	text, err := valueOf(g.r, own, g.instance).text()
	if err != nil {
		return // it had room for the longest numbers, see mostValue
	}
	g.mu.Lock()
	g.wanted = text
	g.mu.Unlock()
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// want is the value that shall lie in etcd.
func (g *registration) want() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wanted
}

// run is the registration's goroutine. Deregister ends it, or Close; both wait for it.
func (g *registration) run() {
	defer close(g.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.changed:
		case <-g.heart.over():
		case <-timer.C:
		}
		err := g.step()
		if g.ctx.Err() != nil { // what was found is only that we end
			return
		}
		g.tell(err)
		timer.Reset(spread(g.pause(err)))
	}
}

// pause is how long nothing need be looked at.
func (g *registration) pause(err error) time.Duration {
	if err == nil {
		return (g.s.c.Lease - margin) / 2
	}
	return min(g.s.c.Lease/6, mostAgain)
}

// tell tells each change once.
func (g *registration) tell(err error) {
	now := "registered"
	switch {
	case errors.Is(err, pool.ErrDuplicate), errors.Is(err, pool.ErrInconsistent):
		now = err.Error()
	case errors.Is(err, pool.ErrSourceDown):
		now = "down"
	case err != nil:
		now = err.Error()
	}
	if now != g.was {
		g.was = now
		g.told(err)
	}
}

// Deregister takes the element out (pool.Registered).
func (g *registration) Deregister(ctx context.Context) error {
	g.once.Do(func() {
		g.cancel()
		<-g.ended
		g.gone = g.revoke(ctx)
		g.s.release()
	})
	return g.gone
}

// revoke ends the lease, and with it all that lies under it. It tries until that would come by itself.
func (g *registration) revoke(ctx context.Context) error {
	if g.heart == nil {
		return nil
	}
	g.heart.stop()
	ctx, cancel := context.WithTimeout(ctx, g.s.c.Lease)
	defer cancel()
	var err error
	for {
		if e := g.s.revoke(ctx, g.heart.id); e == nil {
			return nil
		} else if err == nil || ctx.Err() == nil {
			err = e // and not only that ctx has ended
		}
		timer := time.NewTimer(spread(leastRetry))
		select {
		case <-timer.C:
		case <-g.s.ctx.Done():
			return err
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; it ends with its lease of %v", err, g.s.c.Lease)
		}
	}
}

package handlespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// cleanTime is how long a registration that has failed may take to be undone, in the worst case behind the end of Register's ctx.
const cleanTime = time.Second

// registered is one registration. Its last fields belong to its lock.
type registered struct {
	id      string
	r       pool.Registration
	pool    *Pool
	at      time.Time
	outcome chan error // the first thing that was told
	handle  pool.Registered

	mu    sync.Mutex
	heard bool
	err   error // what was told last
}

// Kept is a registration that is kept up, for people and programs to see.
type Kept struct {
	pool.Registration
	ID     string
	Source string    // that it is registered at, as the configuration calls it; "": in this process
	Since  time.Time // Register was called
	Err    error     // why it does not stand now, and is tried again; nil: it stands
}

// Register puts an element into a pool (REGISTER, draft-conrad-rserpool-service-00 §5.2), returns an opaque id by which it is taken
// out again, and keeps it registered until then, or until Close. It returns when the pool's source has said how that stands, and waits
// for the source until ctx ends. After an error nothing is left behind: who wants to try again calls again. Undoing may take a second
// more; what a source that is down has seen of it ends with its lease.
//
// The errors: ErrUnknownPool, ErrNoRegistry, ErrInvalid, ErrInconsistent, ErrDuplicate, ErrSourceDown, ErrTooMany, ErrClosed.
func (h *Handlespace) Register(ctx context.Context, r pool.Registration) (id string, err error) {
	p, err := h.find(r.Handle)
	if err != nil {
		return "", err
	}
	to, is := p.Source.(pool.Registry)
	if !is {
		return "", fmt.Errorf("%s %w: its elements are named elsewhere", p.from(), ErrNoRegistry)
	}
	if r.Element.Mapping == "" {
		r.Element.Mapping = p.Mapping
	}
	if err := p.check(r); err != nil {
		return "", err
	}
	n := &registered{id: newID(), r: r, pool: p, at: h.now(), outcome: make(chan error, 1)}
	if err := h.reserve(n); err != nil {
		return "", err
	}
	n.handle, err = to.Register(r, n.told)
	switch {
	case err == nil:
		err = n.wait(ctx)
	case !isOurs(err): // it can never be
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return h.settle(n, err)
}

// reserve makes room for a registration: it counts from now on, and is not seen yet.
func (h *Handlespace) reserve(n *registered) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return ErrClosed
	case len(h.registrations) >= MaxRegistrations:
		return fmt.Errorf("%w: %d are kept up here", ErrTooMany, MaxRegistrations)
	}
	h.registrations[n.id] = nil
	return nil
}

// settle keeps the registration that stands, and undoes the one that does not.
func (h *Handlespace) settle(n *registered, err error) (string, error) {
	h.mu.Lock()
	if err == nil && h.closed {
		err = ErrClosed
	}
	if err == nil {
		h.registrations[n.id] = n
	} else {
		delete(h.registrations, n.id)
	}
	h.mu.Unlock()
	if err == nil {
		n.pool.learned()
		return n.id, nil
	}
	if n.handle != nil {
		ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
		defer cancel()
		_ = n.handle.Deregister(ctx) // why it has failed is the error that matters
	}
	return "", n.pool.down(err)
}

// told notes how the registration stands. It is called by the registry.
func (n *registered) told(err error) {
	n.mu.Lock()
	first := !n.heard
	n.heard, n.err = true, err
	n.mu.Unlock()
	if first {
		n.outcome <- err
	}
}

// wait returns the first thing that the registry says.
func (n *registered) wait(ctx context.Context) error {
	select {
	case err := <-n.outcome:
		return err
	case <-ctx.Done():
		select {
		case err := <-n.outcome: // it has come in time
			return err
		default:
		}
		return fmt.Errorf("it has not answered in time: %w", ctx.Err())
	}
}

// Deregister ends the registration that Register has returned the id of (DEREGISTER, draft-conrad-rserpool-service-00 §5.2). It returns when
// others are told, or with ErrSourceDown if they cannot be before ctx ends: then they hear of it when the lease ends, and there is nothing
// to be repeated. Of an id that is not known, also one that was deregistered before, it is ErrUnknownID.
func (h *Handlespace) Deregister(ctx context.Context, id string) (pool.Registration, error) {
	h.mu.Lock()
	n := h.registrations[id]
	if n == nil {
		h.mu.Unlock()
		return pool.Registration{}, fmt.Errorf("%w %s: it has ended, or was never made here", ErrUnknownID, quote(id))
	}
	delete(h.registrations, id)
	h.mu.Unlock()
	return n.r, n.end(ctx)
}

// end takes the element out of the pool, and returns when it is out.
func (n *registered) end(ctx context.Context) error {
	err := n.leave(ctx)
	n.pool.learned()
	return err
}

// leave has the element's source take it out of the pool.
func (n *registered) leave(ctx context.Context) error {
	if err := n.handle.Deregister(ctx); err != nil {
		return fmt.Errorf("element %s is not kept registered any more, but others are not told before its lease ends: %w", quote(n.r.Element.Name), n.pool.down(err))
	}
	return nil
}

// mostAtOnce is how many elements are deregistered at the same time.
const mostAtOnce = 16

// deregisterAll ends the registrations.
func deregisterAll(ctx context.Context, all []*registered) error {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		failed  []error
	)
	turn := make(chan *registered)
	work := func() { // until turn is closed, below
		for n := range turn {
			if err := n.leave(ctx); err != nil {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
		}
	}
	for range min(len(all), mostAtOnce) {
		workers.Go(work)
	}
	for _, n := range all {
		if n != nil { // else Register is not through with it, and will see that all is over
			turn <- n
		}
	}
	close(turn)
	workers.Wait()
	learned := make(map[*Pool]bool)
	for _, n := range all {
		if n != nil && !learned[n.pool] { // once for all: shards have other things to do
			learned[n.pool] = true
			n.pool.learned()
		}
	}
	return errors.Join(failed[:min(len(failed), mostListed)]...)
}

// Registrations lists what is kept up here, by pool, element and id.
func (h *Handlespace) Registrations() []Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Kept, 0, len(h.registrations))
	for _, n := range h.registrations {
		if n == nil {
			continue
		}
		n.mu.Lock()
		all = append(all, Kept{n.r, n.id, n.pool.SourceName, n.at, n.err})
		n.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Kept) int {
		if c := strings.Compare(a.Handle, b.Handle); c != 0 {
			return c
		}
		if c := strings.Compare(a.Element.Name, b.Element.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// isOurs reports whether an error says by itself what kind it is.
func isOurs(err error) bool {
	return slices.ContainsFunc([]error{pool.ErrUnknownPool, pool.ErrEmptyPool, pool.ErrInconsistent, pool.ErrDuplicate, pool.ErrSourceDown,
		ErrClosed, ErrInvalid, ErrNoRegistry}, func(known error) bool { return errors.Is(err, known) })
}

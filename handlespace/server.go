package handlespace

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// Server is the answer to who asks for one: an element, and what there is to say of how good that answer is.
type Server struct {
	pool.Element // with its Mapping, if that is known

	Handle     string        // of the pool
	Source     string        // which has named it, as the configuration calls it; "": it stands there itself
	Age        time.Duration // how old what is known of the pool is; 0 without Source
	Unreported bool          // of NextServer: no element of the pool is the last one (any more), so nobody was reported
	Same       bool          // of NextServer: it is the last one again, since there is no other

	// Err is what went wrong on the way to an answer that is good all the same: the source does not know now (ErrSourceDown), so that the
	// elements known last count; it could not be refreshed; the application's policy failed.
	Err error
}

// PrimaryServer names the element that the pool's policy chooses ("IPAddressOfPrimaryServer", draft-conrad-rserpool-service-00 §5.1). If the
// pool's source has not said anything yet it waits for that until ctx ends. The errors: ErrUnknownPool; ErrEmptyPool; ErrSourceDown,
// if no element is known and the source is the reason.
func (h *Handlespace) PrimaryServer(ctx context.Context, handle string) (Server, error) {
	p, err := h.find(handle)
	if err != nil {
		return Server{}, err
	}
	p.wait(ctx)
	p.Pool.Forgive(h.now())
	elements, err := p.Pool.Resolve(h.now(), 1)
	if len(elements) == 0 {
		return Server{}, p.empty()
	}
	return h.answer(p, elements[0], err), nil
}

// NextServer says that the server called last has failed, to the pool and to its source, and names the one to go to now
// ("IPAddressOfNextServer"). That is the last one only if there is no other (Server.Same). It is called by its name, its address with the
// port, or its address alone if there is one element there; if nobody of the pool is called so nobody is reported, for it may just have
// left (Server.Unreported). "" is nobody. With refresh the source is asked first, if it can be, until ctx ends; should that fail, what is known
// counts (Server.Err). The errors are those of PrimaryServer.
func (h *Handlespace) NextServer(ctx context.Context, handle, last string, refresh bool) (Server, error) {
	p, err := h.find(handle)
	if err != nil {
		return Server{}, err
	}
	p.wait(ctx)
	p.Pool.Forgive(h.now())
	name, known := p.called(last)
	if known {
		p.Pool.Unreachable(h.now(), name)
	}
	var failed error
	if refresh {
		failed = p.refresh(ctx)
	}
	choice, ok := p.Pool.Next(h.now(), name)
	if !ok {
		return Server{}, p.empty()
	}
	if failed == nil {
		failed = choice.Err
	}
	s := h.answer(p, choice.Element, failed)
	s.Unreported, s.Same = !known && last != "", known && choice.Name == name
	return s, nil
}

// answer is what is said of an element that was chosen.
func (h *Handlespace) answer(p *Pool, e pool.Element, err error) Server {
	if e.Mapping == "" {
		e.Mapping = p.Mapping
	}
	s := Server{Element: e, Handle: p.Pool.Handle, Source: p.SourceName, Err: err}
	if p.SourceName == "" {
		return s
	}
	standing := p.Pool.Standing()
	s.Age = standing.Age(h.now())
	if s.Err == nil && standing.Err != nil {
		s.Err = p.down(standing.Err)
	}
	return s
}

// wait returns when the source has said anything, or ctx has ended.
func (p *Pool) wait(ctx context.Context) {
	select {
	case <-p.Pool.Spoken():
	case <-ctx.Done():
	}
}

// refresh asks the source now.
func (p *Pool) refresh(ctx context.Context) error {
	if p.Source == nil {
		return nil // its elements are what they are
	}
	r, can := p.Source.(pool.Refresher)
	if !can {
		return fmt.Errorf("%s cannot be asked at once: it says by itself what has changed", p.from())
	}
	if err := r.Refresh(ctx, p.Pool.Handle); err != nil {
		return p.down(err)
	}
	p.learned()
	return nil
}

// called finds the element that somebody means, by its name or address. ok is false if there is none, or more than one.
func (p *Pool) called(what string) (name string, ok bool) {
	if _, ok := p.Pool.Element(what); ok {
		return what, true
	}
	at, err := netip.ParseAddrPort(what)
	if err != nil {
		ip, err := netip.ParseAddr(what)
		if err != nil {
			return "", false
		}
		at = netip.AddrPortFrom(ip, 0)
	}
	found := 0
	for _, e := range p.Pool.States() {
		if reached(e.Element, at) {
			name, found = e.Name, found+1
		}
	}
	if found != 1 {
		return "", false
	}
	return name, true
}

// reached reports whether the element is reached at the address; port 0 is any.
func reached(e pool.Element, at netip.AddrPort) bool {
	if at.Port() != 0 && at.Port() != e.Address.Port() {
		return false
	}
	for _, ip := range append([]netip.Addr{e.Address.Addr()}, e.Paths...) {
		if ip.Unmap() == at.Addr().Unmap() {
			return true
		}
	}
	return false
}

// empty is why there is no element to name.
func (p *Pool) empty() error {
	standing := p.Pool.Standing()
	switch {
	case p.Source == nil || p.SourceName == "":
		return fmt.Errorf("pool %q: %w: nobody is registered in it, and the configuration has no element that gives service",
			p.Pool.Handle, pool.ErrEmptyPool)
	case standing.Told.IsZero() && standing.Err == nil:
		return fmt.Errorf("%s: %w: it has not said anything yet", p.from(), pool.ErrSourceDown)
	case standing.Told.IsZero():
		return p.down(standing.Err)
	}
	return fmt.Errorf("%s: %w: it names no element that gives service", p.from(), pool.ErrEmptyPool)
}

// down is an error of the source as ErrSourceDown.
func (p *Pool) down(err error) error {
	switch {
	case isOurs(err) && p.SourceName == "":
		return err
	case isOurs(err):
		return fmt.Errorf("%s: %w", p.from(), err)
	}
	return fmt.Errorf("%s: %w: %w", p.from(), pool.ErrSourceDown, err)
}

// Policy is that of a pool. The error is ErrUnknownPool.
func (h *Handlespace) Policy(handle string) (pool.Policy, error) {
	p, err := h.find(handle)
	if err != nil {
		return 0, err
	}
	return p.Pool.Policy(), nil
}

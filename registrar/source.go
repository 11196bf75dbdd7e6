package registrar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
)

// Source is the handlespace of registrars. Its methods may be called from any goroutine, but not from functions that are told.
type Source struct {
	c Config

	mu    sync.Mutex
	run   *running      // guarded by mu; nil: nobody needs it
	ended chan struct{} // guarded by mu; closed when the loop that was begun last has ended; nil: there was none
}

var (
	_ pool.Source    = (*Source)(nil)
	_ pool.Registry  = (*Source)(nil)
	_ pool.Reporter  = (*Source)(nil)
	_ pool.Refresher = (*Source)(nil)
)

// New returns a Source. Nothing is asked before somebody wants to know.
func New(c Config) (*Source, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	return &Source{c: c}, nil
}

// running is the loop of a Source that somebody needs.
type running struct {
	loop   loop.Runner
	client *client
	users  int // guarded by Source.mu
}

// turn is the loop's goroutine. The last release ends it. It begins when the loop before has closed its sockets, which may be at the same
// port; nobody else waits for that.
func (r *running) turn(before <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	if before != nil {
		<-before
	}
	r.loop.Run()
}

// acquire begins to run, if nobody did, until release was called as often. The error is that of the system.
func (s *Source) acquire() (*running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		l, err := loop.New()
		if err != nil {
			return nil, fmt.Errorf("registrar: %w", err)
		}
		s.run = &running{loop: l, client: newClient(l, s.c)}
		before := s.ended
		s.ended = make(chan struct{})
		go s.run.turn(before, s.ended)
	}
	s.run.users++
	return s.run, nil
}

func (s *Source) release(r *running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	s.run = nil
	r.loop.Post(func() {
		r.client.stop()
		r.loop.Post(r.loop.Stop) // in a later turn, when what was to be said is with the kernel
	})
}

// do hands the rules an event, and waits until they have taken it. It reports whether they have: not if the loop has ended.
func (r *running) do(event func(now time.Time)) bool {
	taken := make(chan struct{})
	if !r.loop.Post(func() { r.client.do(event); close(taken) }) {
		return false
	}
	<-taken
	return true
}

// Follow resolves the pool handle, again and again (pool.Source).
func (s *Source) Follow(handle string, told func(pool.News)) (stop func()) {
	if err := checkHandle(handle); err != nil {
		told(pool.News{Err: err})
		return func() {}
	}
	r, err := s.acquire()
	if err != nil {
		told(pool.News{Err: err})
		return func() {}
	}
	f := &follower{told: told}
	r.do(func(now time.Time) { r.client.rules.follow(now, handle, f) })
	var once sync.Once
	return func() {
		once.Do(func() {
			r.do(func(now time.Time) { r.client.rules.unfollow(now, handle, f) })
			s.release(r)
		})
	}
}

func checkHandle(handle string) error {
	if n := len(handle); n == 0 || n > MaxHandle {
		return fmt.Errorf("registrar: a pool handle has 1 to %d bytes, %.100q has %d", MaxHandle, handle, n)
	}
	return nil
}

// Register registers an element, and keeps it registered (pool.Registry).
func (s *Source) Register(reg pool.Registration, told func(error)) (pool.Registered, error) {
	element, err := toASAP(reg, s.c.Life, s.c.Dialect)
	if err != nil {
		return nil, err
	}
	r, err := s.acquire()
	if err != nil {
		return nil, err
	}
	e := &registration{handle: reg.Handle, name: reg.Element.Name, policy: reg.Policy, element: element, told: told}
	r.do(func(now time.Time) { err = r.client.rules.register(now, e) })
	if err != nil {
		s.release(r)
		return nil, err
	}
	return &registered{source: s, run: r, registration: e}, nil
}

// registered is an element of ours (pool.Registered).
type registered struct {
	source       *Source
	run          *running
	registration *registration // belongs to the loop's goroutine
	once         sync.Once     // releases run
}

// Revalue registers it with other policy values (pool.Registered).
func (r *registered) Revalue(values pool.Element) {
	r.run.loop.Post(func() {
		r.run.client.do(func(now time.Time) { r.run.client.rules.revalue(now, r.registration, values) })
	})
}

// Deregister takes it out of its pool (pool.Registered).
func (r *registered) Deregister(ctx context.Context) error {
	rules := r.run.client.rules
	left := make(chan error, 1)
	taken := r.run.do(func(now time.Time) {
		rules.leave(now, r.registration, func(err error) {
			select {
			case left <- err:
			default:
			}
		})
	})
	if !taken { // it was deregistered before
		return nil
	}
	var err error
	select {
	case err = <-left:
	case <-ctx.Done():
		err = fmt.Errorf("registrar: pool %q, element %.100q: not deregistered, it will be when its life of %v is over: %w: %w",
			r.registration.handle, r.registration.name, r.source.c.Life, pool.ErrSourceDown, context.Cause(ctx))
		r.run.do(func(now time.Time) { rules.forget(now, r.registration) })
	}
	r.once.Do(func() { r.source.release(r.run) })
	return err
}

// Report tells a registrar that an element cannot be reached (pool.Reporter).
func (s *Source) Report(handle string, e pool.Element) {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil || checkHandle(handle) != nil { // nobody follows the pool
		return
	}
	id := Identifier(handle, e)
	r.loop.Post(func() { r.client.do(func(now time.Time) { r.client.rules.report(now, handle, id) }) })
}

// Refresh resolves the pool handle at once (pool.Refresher).
func (s *Source) Refresh(ctx context.Context, handle string) error {
	if err := checkHandle(handle); err != nil {
		return err
	}
	r, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(r)
	answer := make(chan error, 1)
	r.do(func(now time.Time) {
		r.client.rules.refresh(now, handle, func(_ []asap.PoolElement, err error) {
			answer <- err
		})
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("registrar: pool %q: no answer yet: %w", handle, pool.ErrSourceDown), context.Cause(ctx))
	}
}

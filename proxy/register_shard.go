package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// How the server of a registered element is watched if the configuration has no health check for it: whether somebody listens on its
// port. Two looks decide, so that a server that restarts is not taken out of its pools for that.
const (
	watchEvery = time.Second
	watchFall  = 2

	// watchTimeout is longer than the probe takes at most: an answer behind it would be taken for that of the next look.
	watchTimeout = 2 * probeTimeout
)

// register prepares the registrations of a pool_element; was is the side that it has taken over from, nil: none, whose registrations go on as far
// as they are the same. What they need to know of the server is the health check's; where there is none the port is watched.
func (e *elementSide) register(was *elementSide) {
	var old []*registration
	if was != nil {
		old = was.registrations
		e.goodbyes, was.registrations, was.goodbyes = was.goodbyes, nil, nil
	}
	var begun []*registration
	for _, to := range e.block.config.Register {
		i := slices.IndexFunc(old, func(r *registration) bool { return r.is(to, e.address()) })
		if i >= 0 {
			old[i].change(e, to)
			e.registrations = append(e.registrations, old[i])
			old = slices.Delete(slices.Clone(old), i, i+1)
			continue
		}
		r := newRegistration(e, to, e.address())
		r.drained = e.drained
		e.registrations, begun = append(e.registrations, r), append(begun, r)
	}
	for _, r := range e.goodbyes { // of earlier ones
		r.precedes(begun)
	}
	for _, r := range old {
		e.farewell(r, begun...)
	}
	switch {
	case len(e.registrations) == 0:
	case e.health == nil:
		e.watch = newHealth(e.shard, e.name, HealthCheck{Kind: healthListens, Address: e.server, Interval: watchEvery, Timeout: watchTimeout,
			Rise: 1, Fall: watchFall}, func(error) {})
		e.watch.probe = e.probe
		e.shard.loop.Schedule(&e.watch.next, e.shard.loop.Now())
		e.watch.each = func() { e.checked(e.watch) }
	default:
		e.health.each = func() { e.checked(e.health) }
	}
}

// farewell has a registration end. Those that take the same place in a pool wait for that.
func (e *elementSide) farewell(r *registration, heirs ...*registration) {
	r.precedes(heirs)
	e.goodbyes = append(e.goodbyes, r)
	r.leave(func() {
		for _, s := range e.shard.elements {
			s.goodbyes = slices.DeleteFunc(s.goodbyes, func(x *registration) bool { return x == r })
		}
		for _, x := range r.heirs {
			x.waits--
			x.step()
		}
	})
}

// precedes has others wait until the registration, which is leaving or about to, has gone, if they take the same place in a pool.
func (r *registration) precedes(heirs []*registration) {
	for _, x := range heirs {
		if x.config.Handle == r.config.Handle {
			x.waits++
			r.heirs = append(r.heirs, x)
		}
	}
}

// checked tells the registrations what a check has found. Other than for legs, a server is not healthy before a check has passed.
func (e *elementSide) checked(h *health) {
	for _, r := range e.registrations {
		r.serverIs(h.reason == nil && h.proved, h.found())
	}
}

// listens is a check whether somebody listens on the server's port: the kernel is asked where it can be, else a connection is made.
type listens struct {
	health *health
	over   bool
}

func lookForListener(h *health) attempt {
	l := &listens{health: h}
	h.probe.prepareAgain()
	h.probe.listening(0, l.answer)
	return l
}

func (l *listens) answer(listens bool) {
	switch {
	case l.over:
	case listens:
		l.health.ended(nil)
	default:
		l.health.ended(errors.New("nobody does"))
	}
}

// late says that there was no answer (attempt).
func (l *listens) late() error { return fmt.Errorf("not known within %v", l.health.check.Timeout) }

// stop makes the answer one that nobody wants (attempt).
func (l *listens) stop() { l.over = true }

// withdraw deregisters all elements, since the process stops. gone is called when that is done.
func (s *Shard) withdraw(gone func()) {
	all := s.allRegistrations()
	missing := len(all)
	if missing == 0 {
		gone()
	}
	for _, r := range all {
		r.leave(func() {
			if missing--; missing == 0 {
				gone()
			}
		})
	}
}

// leaveRegistries lets go of what is registered yet, and waits until no registry is being called any more, but not for ever.
func (s *Shard) leaveRegistries() {
	all := s.allRegistrations()
	if len(all) == 0 && s.virtual {
		return
	}
	for _, r := range all {
		s.loop.Cancel(&r.again)
		held := r.call.end()
		switch {
		case held == nil:
		case s.virtual:
			_ = letGo(held, killDelay) // its lease is left to end
		default:
			s.calls.Add(1)
			go r.abandon(held)
		}
	}
	for _, r := range all {
		r.load.close()
	}
	gone := make(chan struct{})
	go s.waitForCalls(gone)
	select {
	case <-gone:
	case <-time.After(killDelay):
	}
}

// abandon is the goroutine that lets go of a registration while the shard is being closed. It ends within killDelay if the registry does as
// it should; leaveRegistries waits for that.
func (r *registration) abandon(held pool.Registered) {
	defer r.shard.calls.Done()
	_ = letGo(held, killDelay) // its lease is left to end
}

// waitForCalls is a goroutine of leaveRegistries. It ends with the last call, which that waits for, but not for ever.
func (s *Shard) waitForCalls(gone chan struct{}) {
	s.calls.Wait()
	close(gone)
}

func (s *Shard) allRegistrations() (all []*registration) {
	for _, e := range s.elements {
		all = append(append(all, e.registrations...), e.goodbyes...)
	}
	return all
}

// RegistrationStatus is how a pool_element stands in a pool that it registers itself in.
type RegistrationStatus struct {
	Element string `json:"pool_element"` // of this process
	Pool    string `json:"pool"`
	Source  string `json:"source"`
	Name    string `json:"name"` // in the pool
	Address string `json:"address"`
	Mapping string `json:"mapping"`
	Policy  string `json:"policy"`

	State string    `json:"state"` // waiting | registering | registered | failing | deregistering | refused | stopped
	Since time.Time `json:"since"`
	Error string    `json:"error"` // why it stands so; "": as it should

	Load      *float64 `json:"load"`       // as it was told last, 1 is 100 %; null: the policy does not read it
	LoadError string   `json:"load_error"` // why the load is not known
}

// registrationStatus is asked on the first shard.
func (e *elementSide) registrationStatus() (all []RegistrationStatus) {
	for _, r := range append(slices.Clone(e.registrations), e.goodbyes...) {
		s := RegistrationStatus{Element: e.name, Pool: r.config.Handle, Source: r.config.SourceName, Name: r.element.Name,
			Address: r.element.Address.String(), Mapping: r.element.Mapping, Policy: r.config.Policy.String(), State: string(r.state), Since: r.since}
		if r.err != nil {
			s.Error = r.err.Error()
		}
		if r.state == regWaiting && r.err == nil {
			s.Error = r.waitsFor()
		}
		s.Load, s.LoadError = r.load.status()
		all = append(all, s)
	}
	return all
}

func (r *registration) waitsFor() string {
	if r.up {
		return errNoLoad.Error()
	}
	return "the server has not been seen healthy yet"
}

// measure says in how many pools an element of ours is to be, and in how many it is.
func (r *registration) measure(to gauges) {
	registered, wanted := regDone.of(r.side.name), regWanted.of(r.side.name)
	to[registered] += 0
	to[wanted]++
	if r.state == regRegistered {
		to[registered]++
	}
}

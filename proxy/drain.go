package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// ErrNoElement is that of an element that is neither in a pool that this process uses, nor one of its pool_elements.
var ErrNoElement = errors.New("there is no pool element of that name")

// Reasons that pool users are told for a drain.
const (
	drainAsked = "its operator has drained it"
	drainStops = "its sidecar is being stopped"
)

// Draining is how far the drain of an element has come: who has not left it.
type Draining struct {
	Element  string        `json:"element"`
	Draining bool          `json:"draining"` // false: it gets new sessions
	Sessions []StayingHere `json:"sessions"` // that are still there, of the pool_users of this process
	Legs     int           `json:"legs"`     // the same, of the pool_element of that name, if it is of this process: its pool users know the reasons
}

// StayingHere is a session that has not left an element that is drained.
type StayingHere struct {
	ID     uint64    `json:"id"`
	User   string    `json:"pool_user"`
	Client string    `json:"client"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// Drain has no new sessions go to the element called name, and those that are there leave it as each comes to a quiet point: in all pools that
// have it, and, if it is a pool_element of this process, at all its pool users. It holds until Undrain. It may be called from any goroutine. The
// error wraps ErrNoElement, ErrReplaced or ErrStopped.
func (p *Proxy) Drain(name string) error {
	return p.unmoved(func() error { return p.drain(name, true) })
}

// Undrain takes Drain back.
func (p *Proxy) Undrain(name string) error {
	return p.unmoved(func() error { return p.drain(name, false) })
}

func (p *Proxy) drain(name string, on bool) error {
	known := false
	for _, x := range p.Pools() {
		if on {
			known = x.Drain(name) || known
		} else {
			known = x.Undrain(name) || known
		}
	}
	for _, r := range p.runners {
		if !r.do(func() { known = r.shard.drain(name, on) || known }) {
			return ErrStopped
		}
	}
	if !known {
		return fmt.Errorf("%w: %q is neither in a pool of this process nor one of its pool_elements", ErrNoElement, name)
	}
	p.log.Info(map[bool]string{true: "an element is drained", false: "an element is drained no more"}[on], "pool_element", name)
	return nil
}

// drain follows what pools want of an element, and has a pool_element of that name tell its pool users. It reports whether there is one.
func (s *Shard) drain(name string, on bool) (known bool) {
	for _, u := range s.users {
		u.rules.Drains()
		u.rules.Wake()
	}
	for _, e := range s.elements {
		if e.name != name || e.leaving {
			continue
		}
		known = true
		if on {
			e.drain(drainAsked)
		} else {
			e.undrain()
		}
	}
	return known
}

func (e *elementSide) drain(reason string) {
	e.drained = true
	e.rules.Drain(reason)
	for _, r := range e.registrations {
		r.drain(true)
	}
}

func (e *elementSide) undrain() {
	e.drained = false
	e.rules.Undrain()
	for _, r := range e.registrations {
		r.drain(false)
	}
}

// leave has the pool users of all pool_elements move their sessions, since the process stops.
func (s *Shard) leave() {
	for _, e := range s.elements {
		e.rules.Drain(drainStops)
	}
}

// Draining tells how far the drain of the element called name has come. The error wraps ErrNoElement or ErrStopped.
func (p *Proxy) Draining(name string) (Draining, error) {
	d, known := Draining{Element: name, Sessions: []StayingHere{}}, false
	for _, x := range p.Pools() {
		for _, e := range x.States() {
			if e.Name == name {
				known, d.Draining = true, d.Draining || e.Draining != ""
			}
		}
	}
	for _, r := range p.runners {
		if !r.do(func() { known = r.shard.draining(name, &d) || known }) {
			return d, ErrStopped
		}
	}
	if !known {
		return d, fmt.Errorf("%w: %q", ErrNoElement, name)
	}
	return d, nil
}

// draining adds what this shard has at the element. It reports whether that is one of this process.
func (s *Shard) draining(name string, d *Draining) (known bool) {
	for _, u := range s.users {
		u.rules.Sessions(func(x *session.Session) {
			if at, why := x.At(); at == name {
				d.Sessions = append(d.Sessions, StayingHere{x.ID, u.config.Name, x.Client, x.Since(), why})
			}
		})
	}
	for _, e := range s.elements {
		if e.name == name {
			live, held := e.rules.Legs()
			known, d.Draining, d.Legs = true, d.Draining || e.drained, d.Legs+live+held
		}
	}
	return known
}

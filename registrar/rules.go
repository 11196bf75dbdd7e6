package registrar

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
)

// wire is what the rules can do with an association. What comes of it are events of the rules.
type wire interface {
	send(m asap.Message)
	close() // in order: what was sent arrives. There is no event afterwards
	abort() // at once. There is no event afterwards
}

// link is an association with a registrar.
type link struct {
	wire   wire
	remote netip.AddrPort
	up     bool
	sworn  bool   // elements are registered over it: its end may count as their death
	server uint32 // the registrar's identifier; 0: it has not said
}

// rules is what a pool element and a pool user do by RFC 5352. It belongs to one goroutine. What is told to others, by the functions
// handed in, is told from within the events; these functions must not call the rules.
type rules struct {
	c      Config
	dial   func(l *link) wire             // begins an association with l.remote
	listen func() (fresh bool, err error) // listens where registrars can reach our elements; fresh: it did not yet

	now      time.Time // of the event
	links    []*link   // all that there are
	home     *link     // of the home registrar; nil: there is none
	hunt     hunt
	pools    []*resolution
	elements []*registration
	reported map[reportKey]time.Time // when

	forgotten map[reportKey]time.Time // elements that a registrar may still take for alive, until then
}

func newRules(c Config, dial func(*link) wire, listen func() (bool, error)) *rules {
	r := &rules{c: c, dial: dial, listen: listen, reported: map[reportKey]time.Time{}, forgotten: map[reportKey]time.Time{}}
	r.hunt.wait = c.Times.T5
	return r
}

// reachable is the event that an association is there.
func (r *rules) reachable(now time.Time, l *link) {
	r.now = now
	l.up = true
	if slices.Contains(r.hunt.trying, l) {
		r.found(l)
	}
}

// mostLinks is how many associations there may be for each registrar that is configured, when one of them begins another.
const mostLinks = 4

// accepts reports whether an association may have been begun from these addresses, and takes it.
func (r *rules) accepts(now time.Time, l *link, from []netip.Addr) bool {
	r.now = now
	i := slices.IndexFunc(r.c.Registrars, func(at netip.AddrPort) bool { return slices.Contains(from, at.Addr()) })
	if i < 0 || len(r.links) >= mostLinks*len(r.c.Registrars) {
		return false
	}
	l.remote = netip.AddrPortFrom(r.c.Registrars[i].Addr(), l.remote.Port())
	r.links = append(r.links, l)
	return true
}

// ended is the event that an association has ended, or could not be made.
func (r *rules) ended(now time.Time, l *link, why error) {
	r.now = now
	r.remove(l)
	switch {
	case slices.Contains(r.hunt.trying, l):
		r.missed(l, why)
	case l == r.home:
		r.home, r.hunt.why = nil, why
		r.seek()
	}
}

func (r *rules) remove(l *link) {
	r.links = slices.DeleteFunc(r.links, func(other *link) bool { return other == l })
}

// drop ends an association from here.
func (r *rules) drop(l *link) {
	r.remove(l)
	if r.home == l {
		r.home = nil
	}
	l.wire.abort()
}

// received is the event that a registrar has said something. What m aliases is not kept.
func (r *rules) received(now time.Time, l *link, m asap.Message) {
	r.now = now
	switch m := m.(type) {
	case asap.HandleResolutionResponse:
		r.resolved(l, m)
	case asap.RegistrationResponse:
		if e := r.element(m.Handle, m.PE); e != nil && e.on == l {
			r.answered(e, m)
		}
	case asap.DeregistrationResponse:
		if e := r.element(m.Handle, m.PE); e != nil {
			r.left(l, e, m.Errors)
		} else if len(m.Errors) == 0 {
			delete(r.forgotten, reportKey{string(m.Handle), m.PE})
		}
	case asap.EndpointKeepAlive:
		r.keepAlive(l, m)
	case asap.ErrorMessage:
		r.complained(l, m.Errors)
	}
}

// adopt makes an association that of the home registrar. All that is open is said again there.
func (r *rules) adopt(l *link) {
	old := r.home
	if old == l {
		return
	}
	r.home = l
	if old != nil && !old.sworn { // else the end might take our elements away everywhere; that registrar may end it
		r.remove(old)
		old.wire.close()
	}
	for _, p := range r.pools {
		if p.asked || p.want {
			r.resolve(p)
		}
	}
}

// due is the event that it is the time that next has told.
func (r *rules) due(now time.Time) {
	r.now = now
	r.huntDue()
	for _, p := range slices.Clone(r.pools) {
		r.poolDue(p)
	}
	for _, e := range slices.Clone(r.elements) {
		r.elementDue(e)
	}
	if r.home == nil && r.needed() {
		r.seek()
	}
}

// needed reports whether anybody wants anything of a registrar.
func (r *rules) needed() bool { return len(r.pools)+len(r.elements) > 0 }

// next is when something is due next; zero: nothing is.
func (r *rules) next() time.Time {
	var next time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if r.hunt.on {
		sooner(r.hunt.t5)
	}
	for _, p := range r.pools {
		sooner(p.next())
	}
	for _, e := range r.elements {
		sooner(e.next())
	}
	return next
}

// passed reports whether a time has come.
func (r *rules) passed(at time.Time) bool { return !at.IsZero() && !at.After(r.now) }

// stop ends all associations, when nobody needs them any more.
func (r *rules) stop() {
	for _, l := range r.links {
		if l.up {
			l.wire.close()
		} else {
			l.wire.abort()
		}
	}
	r.links, r.home, r.hunt = nil, nil, hunt{wait: r.c.Times.T5}
}

var errNoAnswer = errors.New("no answer")

package registrar

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// registration is an element of ours, by RFC 5352 §3.1 and §3.2.
type registration struct {
	handle  string
	name    string
	policy  pool.Policy
	element asap.PoolElement // as it is to be registered
	told    func(error)

	looking bool      // it is being asked whether somebody else has the identifier
	looked  bool      // nobody has
	asked   bool      // REGISTRATION was sent, or with leaving DEREGISTRATION
	on      *link     // with asked
	answer  time.Time // T2-registration, or T3-deregistration: with asked
	tries   int       // without an answer
	changed bool      // the values are others than those last sent
	sent    time.Time // when the values were last sent; zero: never
	known   bool      // registrars may have it
	again   time.Time // T4-reregistration, or when a refused one is tried again; zero: not yet
	until   time.Time // the registration holds until then, if nobody says otherwise; zero: there is none
	why     error     // what was told last; nil: that it is registered
	spoken  bool      // something was told
	said    string    // by the registrar, in an ERROR since it was asked

	leaving []func(error) // those that wait for the deregistration; nil: it is to stay
}

const (
	// refusedPause is how long it takes until a registration is tried again that was refused: what is in its way may have gone.
	refusedPause = 10 * time.Second

	// valuesPause is how long it takes at least between two registrations because of other policy values.
	valuesPause = time.Second
)

// element finds an element of ours.
func (r *rules) element(handle asap.PoolHandle, id asap.PEIdentifier) *registration {
	for _, e := range r.elements {
		if e.element.ID == id && e.handle == string(handle) {
			return e
		}
	}
	return nil
}

// register begins to register; the error is that there is a registration with this identifier already.
func (r *rules) register(now time.Time, e *registration) error {
	r.now = now
	if other := r.element(asap.PoolHandle(e.handle), e.element.ID); other != nil {
		return fmt.Errorf("registrar: pool %q: %q and %q have the same name or identifier, %s: %w",
			e.handle, other.name, e.name, Name(e.element.ID), pool.ErrDuplicate)
	}
	delete(r.forgotten, reportKey{e.handle, e.element.ID})
	r.elements = append(r.elements, e)
	r.enlist(e)
	return nil
}

// tell says how the registration stands, if that is news.
func (e *registration) tell(why error) {
	if e.leaving != nil || e.spoken && (why == nil) == (e.why == nil) && (why == nil || why.Error() == e.why.Error()) {
		return
	}
	e.spoken, e.why = true, why
	e.told(why)
}

// enlist registers at the home registrar, or deregisters there.
func (r *rules) enlist(e *registration) {
	if e.leaving == nil {
		fresh, err := r.listen()
		if err != nil {
			r.refuse(e, err)
			return
		}
		if fresh { // from now on associations must come from there
			r.stop()
		}
	}
	if r.home == nil {
		e.asked, e.again = false, time.Time{}
		r.seek()
		return
	}
	if e.leaving != nil {
		r.say(e, asap.Deregistration{Handle: asap.PoolHandle(e.handle), PE: e.element.ID}, r.c.Times.T3)
		return
	}
	if e.looked {
		e.changed, e.known, e.sent = false, true, r.now
		r.home.sworn = true
		r.say(e, asap.Registration{Handle: asap.PoolHandle(e.handle), Element: e.element}, r.c.Times.T2)
	} else if !e.looking {
		e.looking = true
		r.ask(e.handle, func(found []asap.PoolElement, err error) { r.look(e, found, err) })
	}
}

// look follows the question who is in the pool. A registrar would take one with our identifier for us, and us for a registration anew: it
// would be overwritten, and we by it, in turn.
func (r *rules) look(e *registration, found []asap.PoolElement, err error) {
	e.looking = false
	if e.leaving != nil || !slices.Contains(r.elements, e) {
		return
	}
	if errors.Is(err, pool.ErrSourceDown) { // that is told where it is found
		e.again = r.now.Add(refusedPause)
		e.tell(err)
		return
	}
	for i := range found {
		if other := &found[i]; other.ID == e.element.ID && !sameTransport(other.User, e.element.User) {
			r.refuse(e, fmt.Errorf("registrar: pool %q, element %.100q: %w: its identifier %s is taken by one at %v, port %d",
				e.handle, e.name, pool.ErrDuplicate, Name(other.ID), other.User.Addresses, other.User.Port))
			return
		}
	}
	e.looked = true
	r.enlist(e)
}

// say sends a request that is to be answered.
func (r *rules) say(e *registration, m asap.Message, wait time.Duration) {
	e.asked, e.on, e.answer, e.said = true, r.home, r.now.Add(wait), ""
	r.home.wire.send(m)
}

// refuse has a registration wait that cannot be. One that was accepted before still holds, and is there to be ended; but not if what is there
// under its identifier is somebody else.
func (r *rules) refuse(e *registration, why error) {
	if errors.Is(why, pool.ErrDuplicate) {
		e.until = time.Time{}
	}
	e.asked, e.looked, e.tries = false, false, 0
	e.again, e.known = r.now.Add(refusedPause), e.known && !e.until.IsZero()
	e.tell(why)
}

// answered takes a REGISTRATION_RESPONSE.
func (r *rules) answered(e *registration, m asap.RegistrationResponse) {
	if e.leaving != nil || !e.asked {
		return
	}
	if m.Rejected {
		r.refuse(e, rejection(e.handle, e.name, m.Errors))
		return
	}
	e.asked, e.looked, e.tries = false, true, 0
	e.until, e.again = e.sent.Add(r.c.Life), r.now.Add(r.c.Times.T4)
	if e.changed {
		e.again = e.sent.Add(valuesPause)
	}
	e.tell(nil)
}

// next is when something is due; zero: nothing is.
func (e *registration) next() time.Time {
	next := e.again
	if e.asked {
		next = e.answer
	}
	if !e.until.IsZero() && (next.IsZero() || e.until.Before(next)) {
		next = e.until
	}
	return next
}

func (r *rules) elementDue(e *registration) {
	if r.passed(e.until) {
		e.until, e.looked = time.Time{}, false // somebody else may take its place now
		e.tell(fmt.Errorf("registrar: pool %q, element %.100q: the registration has run out: %w", e.handle, e.name, r.down()))
	}
	switch {
	case e.asked && r.passed(e.answer):
		r.late(e)
	case !e.asked && r.passed(e.again):
		e.again = time.Time{}
		r.enlist(e)
	}
}

// late follows T2 and T3: another registrar is looked for.
func (r *rules) late(e *registration) {
	e.asked = false
	wait := r.c.Times.T2
	if e.leaving != nil {
		wait = r.c.Times.T3
	}
	if e.tries++; e.tries >= r.c.Times.Registrations {
		why := fmt.Errorf("registrar: pool %q, element %.100q: %w: the registrar %v has not answered within %v, %d times%s",
			e.handle, e.name, pool.ErrSourceDown, e.on.remote, wait, e.tries, e.said)
		e.tries = 0
		e.tell(why)
	}
	e.again = r.now.Add(wait) // if no other one is found, the same is asked again
	r.seek()
}

// unheard follows when no registrar was found. A registration that holds may still be known to them.
func (r *rules) unheard(e *registration, why error) {
	if e.until.IsZero() {
		e.tell(why)
	}
}

// revalue registers other policy values.
func (r *rules) revalue(now time.Time, e *registration, values pool.Element) {
	r.now = now
	policy, err := values.Tell(e.policy)
	if err != nil || e.leaving != nil || samePolicy(policy, e.element.Policy) {
		return
	}
	e.element.Policy, e.changed = policy, true
	if at := e.sent.Add(valuesPause); !e.asked && e.looked && !e.again.IsZero() && at.Before(e.again) {
		e.again = at
	}
}

// samePolicy compares those of RFC 5356, which have no Data.
func samePolicy(a, b asap.Policy) bool {
	return a.Kind == b.Kind && a.Weight == b.Weight && a.Priority == b.Priority && a.Load == b.Load && a.Degradation == b.Degradation
}

// leave deregisters; done hears when that is so, or why not.
func (r *rules) leave(now time.Time, e *registration, done func(error)) {
	r.now = now
	if !slices.Contains(r.elements, e) {
		done(nil)
		return
	}
	first := e.leaving == nil
	e.leaving = append(e.leaving, done)
	switch {
	case !first:
	case !e.known:
		r.leftFor(e, nil)
	default:
		e.until, e.tries = time.Time{}, 0
		r.enlist(e)
	}
}

func (r *rules) leftFor(e *registration, err error) {
	r.elements = slices.DeleteFunc(r.elements, func(other *registration) bool { return other == e })
	leaving := e.leaving
	e.leaving = []func(error){} // nothing is told any more
	for _, done := range leaving {
		done(err)
	}
}

// left takes a DEREGISTRATION_RESPONSE. One that nobody has asked for says that the life of the registration is over.
func (r *rules) left(l *link, e *registration, why asap.OperationError) {
	switch {
	case e.leaving == nil && l == r.home && !e.asked && len(why) == 0:
		e.again = e.sent.Add(valuesPause)
	case e.leaving == nil || e.on != l:
	case len(why) > 0 && !causes(why).has(asap.CauseUnknownPoolHandle): // there is no such pool: then it is not in it
		r.leftFor(e, fmt.Errorf("registrar: pool %q, element %.100q: it cannot be deregistered: the registrar says: %v", e.handle, e.name, why))
	default:
		r.leftFor(e, nil)
	}
}

// keepAlive answers a registrar that wants to know whether our elements live (RFC 5352 §3.4), and takes it for the home registrar if it
// wants to be that.
func (r *rules) keepAlive(l *link, m asap.EndpointKeepAlive) {
	ours := false
	for _, e := range r.elements {
		if e.handle != string(m.Handle) || e.leaving != nil || m.PE != nil && *m.PE != e.element.ID || e.sent.IsZero() {
			continue
		}
		ours = true
		l.wire.send(asap.EndpointKeepAliveAck{Handle: asap.PoolHandle(e.handle), PE: e.element.ID})
	}
	r.disown(l, func(k reportKey) bool { return k.handle == string(m.Handle) && (m.PE == nil || *m.PE == k.id) })
	l.server = m.Server
	if !m.Home || !ours || l == r.home {
		return
	}
	l.sworn = true
	r.endHunt(nil)
	r.adopt(l)
	// It knows of our elements by other registrars. Registered with it they are tied to this association: rspregistrar then takes its end
	// for theirs at once, and else only when a keep-alive was not answered for 5 s.
	for _, e := range r.elements {
		r.enlist(e)
	}
}

// complained takes an ERROR, which does not say what it is about.
func (r *rules) complained(l *link, why asap.OperationError) {
	for _, e := range r.elements {
		if e.asked && e.on == l {
			e.said = fmt.Sprintf(" (it says: %v)", why)
		}
	}
}

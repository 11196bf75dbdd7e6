package registrar

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// An element registers, and again before its life is over: T4-reregistration.
func TestReregistration(t *testing.T) {
	for life, t4 := range map[time.Duration]time.Duration{90 * time.Second: 70 * time.Second, time.Hour: 10 * time.Minute, 10 * time.Second: 5 * time.Second} {
		g := newRig(t, 1, func(c *Config) { c.Life = life })
		s := g.register(ours)
		home := g.home()
		g.says(home, unknown)
		g.says(home, accepted)
		s.expect(t, "registered", nil)
		home.take()
		want := ourElement()
		want.Life = life
		for range 3 {
			g.pass(t4 - time.Nanosecond)
			g.expect(home, "before T4")
			g.pass(time.Nanosecond)
			g.expect(home, "T4", registrationOf(want))
			g.says(home, accepted)
		}
		s.expect(t, "again")
	}
}

// T2-registration: another registrar is looked for, and registered at. After MAX-REG-ATTEMPT that is told.
func TestRegistrationTimeout(t *testing.T) {
	g := newRig(t, 2, nil)
	s := g.register(ours)
	first := g.home()
	g.says(first, unknown)
	first.take()
	g.pass(30*time.Second - 1)
	if len(g.ends) != 2 {
		t.Fatalf("it hunts before T2: %d", len(g.ends))
	}
	g.pass(1)
	s.expect(t, "after one try")
	second := g.last(1)[0]
	if len(g.ends) != 3 || second.link.remote != server(2) {
		t.Fatalf("after T2 %d associations were begun, the last with %v", len(g.ends), second.link.remote)
	}
	g.up(second)
	if g.r.home != second.link || first.reset || first.closed {
		t.Error("the new one is not home, or the end of the old one may end the registration")
	}
	g.expect(second, "at the new one", registrationOf(ourElement()))
	g.pass(30 * time.Second)
	s.expect(t, "after two tries", pool.ErrSourceDown)
	third := g.last(1)[0]
	if third.link.remote != server(1) || !first.reset {
		t.Errorf("then %v is tried", third.link.remote)
	}
	g.up(third)
	g.expect(third, "at the first again", registrationOf(ourElement()))
	g.says(third, accepted)
	s.expect(t, "in the end", nil)
}

// A registrar that does not answer is asked again if there is no other.
func TestOnlyRegistrarIsSlow(t *testing.T) {
	g := newRig(t, 2, nil)
	s := g.register(ours)
	first := g.home()
	g.says(first, unknown)
	first.take()
	g.pass(30 * time.Second)
	g.down(g.last(1)[0])
	g.pass(30 * time.Second)
	g.expect(first, "again", registrationOf(ourElement()))
	g.says(first, accepted)
	if err := s.errs[len(s.errs)-1]; err != nil {
		t.Error(err)
	}
}

// What a registrar refuses is told by its reason, and tried again when the reason may have gone.
func TestRefused(t *testing.T) {
	other := errors.New("")
	for code, want := range map[asap.CauseCode]error{
		asap.CauseNonUniquePE:              pool.ErrDuplicate,
		asap.CauseInconsistentPolicy:       pool.ErrInconsistent,
		asap.CauseInconsistentTransport:    pool.ErrInconsistent,
		asap.CauseInconsistentTransportUse: pool.ErrInconsistent,
		0x100a:                             pool.ErrInconsistent,
		asap.CauseLackOfResources:          other,
		0xf008:                             other,
	} {
		g := newRig(t, 1, nil)
		s := g.register(ours)
		home := g.home()
		g.says(home, unknown)
		g.says(home, rejected(code))
		if len(s.errs) != 1 || s.errs[0] == nil || want != other && !errors.Is(s.errs[0], want) ||
			want == other && (errors.Is(s.errs[0], pool.ErrDuplicate) || errors.Is(s.errs[0], pool.ErrInconsistent)) {
			t.Errorf("%v: %v", code, s.errs)
		}
		if code == 0xf008 && !strings.Contains(s.errs[0].Error(), "listen") {
			t.Errorf("no advice: %v", s.errs[0])
		}
		home.take()
		s.errs = nil
		g.pass(refusedPause)
		g.expect(home, "looks again", whoIs)
		g.says(home, unknown)
		g.says(home, rejected(code))
		s.expect(t, "the same again") // is no news
		g.pass(refusedPause)
		g.says(home, unknown)
		g.says(home, accepted)
		s.expect(t, "then", nil)
	}
}

// Accepted with an error is accepted: some values were changed (RFC 5352 §2.2.3).
func TestAcceptedWithWarning(t *testing.T) {
	g := newRig(t, 1, nil)
	s := g.register(ours)
	home := g.home()
	g.says(home, unknown)
	g.says(home, asap.RegistrationResponse{Handle: handle, PE: ourID, Errors: asap.OperationError{{Code: asap.CauseInvalidValues}}})
	s.expect(t, "accepted", nil)
}

// An identifier that somebody else has is not overwritten.
func TestDuplicate(t *testing.T) {
	g := newRig(t, 1, nil)
	s := g.register(ours)
	home := g.home()
	home.take()
	twin := ourElement()
	twin.User.Port++
	g.says(home, answer(twin))
	s.expect(t, "duplicate", pool.ErrDuplicate)
	g.pass(refusedPause - 1)
	g.expect(home, "soon after")
	g.pass(1)
	g.expect(home, "later", whoIs)
	stale := ourElement() // what was left by ourselves: the registrar may know it with one address only
	stale.User.Addresses = stale.User.Addresses[1:]
	g.says(home, answer(stale))
	g.expect(home, "when it has gone", registrationOf(ourElement()))
	if err := g.r.register(g.now, &registration{handle: "orders", element: ourElement()}); !errors.Is(err, pool.ErrDuplicate) {
		t.Errorf("twice from here: %v", err)
	}
}

// A deregistration is sent, T3-deregistration bounds it, and it is repeated elsewhere.
func TestDeregistration(t *testing.T) {
	g := newRig(t, 2, nil)
	s, home := g.registered()
	var done []error
	note := func(err error) { done = append(done, err) }
	g.r.leave(g.now, s.e, note)
	g.expect(home, "at once", deletion)
	g.pass(30*time.Second - 1)
	if len(g.ends) != 2 {
		t.Fatalf("it hunts before T3: %d", len(g.ends))
	}
	g.pass(1)
	next := g.last(1)[0]
	g.up(next)
	g.expect(next, "T3", deletion)
	g.says(home, deleted) // it has not been asked last
	if len(done) > 0 {
		t.Fatal("another one's answer counts")
	}
	g.says(next, deleted)
	if len(done) != 1 || done[0] != nil || len(g.r.elements) > 0 {
		t.Errorf("done: %v, left: %d", done, len(g.r.elements))
	}
	g.r.leave(g.now, s.e, note)
	if len(done) != 2 || done[1] != nil {
		t.Errorf("twice: %v", done)
	}
	s.expect(t, "nothing more is told")
}

// A deregistration may be refused, or concern what nobody knows of.
func TestDeregistrationAnswers(t *testing.T) {
	g := newRig(t, 1, nil)
	s, home := g.registered()
	var err error
	g.r.leave(g.now, s.e, func(e error) { err = e })
	g.says(home, asap.DeregistrationResponse{Handle: handle, PE: ourID, Errors: asap.OperationError{{Code: asap.CauseSecurity}}})
	if err == nil || !strings.Contains(err.Error(), "security") {
		t.Error(err)
	}

	g = newRig(t, 1, nil) // the pool has gone, and the element with it
	s, home = g.registered()
	g.r.leave(g.now, s.e, func(e error) { err = e })
	g.says(home, asap.DeregistrationResponse{Handle: handle, PE: ourID, Errors: asap.OperationError{{Code: asap.CauseUnknownPoolHandle}}})
	if err != nil {
		t.Error(err)
	}

	g = newRig(t, 1, nil) // it was sent, and perhaps accepted
	s = g.register(ours)
	home = g.home()
	g.says(home, unknown)
	g.pass(30 * time.Second)
	g.r.leave(g.now, s.e, func(error) {})
	next := g.home()
	g.expect(next, "at the next registrar", deletion)

	g = newRig(t, 1, nil)
	s = g.register(ours)
	left := false
	g.r.leave(g.now, s.e, func(err error) { left = err == nil })
	if !left || len(g.r.elements) > 0 {
		t.Error("what was never registered does not leave at once")
	}
	g.says(g.home(), unknown) // the answer that it waited for
	s.expect(t, "nothing")
}

// A registration that is refused when it is renewed is still there to be ended, unless somebody else is there in its place.
func TestRefusedThenLeaves(t *testing.T) {
	for code, still := range map[asap.CauseCode]bool{asap.CauseLackOfResources: true, asap.CauseNonUniquePE: false} {
		g := newRig(t, 1, nil)
		s, home := g.registered()
		g.pass(70 * time.Second)
		home.take()
		g.says(home, rejected(code))
		var done []error
		g.r.leave(g.now, s.e, func(err error) { done = append(done, err) })
		if still {
			g.expect(home, "deregistered", deletion)
			g.says(home, deleted)
		}
		g.expect(home, "nothing more")
		if len(done) != 1 || done[0] != nil || len(g.r.elements) > 0 {
			t.Errorf("%v: done %v, left %d", code, done, len(g.r.elements))
		}
	}
}

// A registrar that lets a registration run out says so (RFC 5352 §3.2): it is registered again at once.
func TestUnaskedDeregistration(t *testing.T) {
	g := newRig(t, 1, nil)
	s, home := g.registered()
	g.pass(time.Minute)
	g.says(home, deleted)
	g.pass(0)
	g.expect(home, "again", registrationOf(ourElement()))
	g.says(home, accepted)
	g.says(home, deleted)
	g.pass(valuesPause - 1)
	g.expect(home, "but not as often as it says so")
	g.pass(1)
	g.expect(home, "a second later", registrationOf(ourElement()))
	g.says(home, accepted)
	s.expect(t, "no news")
}

// The loss of the home registrar is told when the registration's life is over, not before: others know of it.
func TestRegistrationRunsOut(t *testing.T) {
	g := newRig(t, 1, nil)
	s, home := g.registered()
	g.pass(10 * time.Second)
	g.down(home)
	for _, e := range g.ends {
		if !e.reset && e != home {
			g.down(e)
		}
	}
	g.pass(80*time.Second - 1)
	s.expect(t, "as long as it holds")
	g.pass(1)
	s.expect(t, "when it does not", pool.ErrSourceDown)
	g.up(g.last(1)[0])
	g.expect(g.last(1)[0], "who is there now", whoIs)
	g.says(g.last(1)[0], unknown)
	g.expect(g.last(1)[0], "again", registrationOf(ourElement()))
	g.says(g.last(1)[0], accepted)
	s.expect(t, "again", nil)
}

// Policy values are registered at once, but not more often than once a second.
func TestRevalue(t *testing.T) {
	g := newRig(t, 1, nil)
	reg := ours
	reg.Policy, reg.Element.Load = pool.LeastUsed, 1000
	s := g.register(reg)
	home := g.home()
	g.says(home, unknown)
	g.says(home, accepted)
	home.take()
	want := ourElement()
	value := func(load uint32) {
		e := reg.Element
		e.Load = load
		want.Policy = asap.Policy{Kind: asap.LeastUsed, Load: load}
		g.r.revalue(g.now, s.e, e)
	}
	g.pass(10 * time.Second)
	value(2000)
	g.pass(0)
	g.expect(home, "at once", registrationOf(want))
	value(3000)
	value(4000)
	g.pass(time.Millisecond)
	g.expect(home, "while it is being answered")
	g.says(home, accepted)
	g.pass(valuesPause - 2*time.Millisecond)
	g.expect(home, "soon after")
	g.pass(time.Millisecond)
	g.expect(home, "a second later, the last", registrationOf(want))
	g.says(home, accepted)
	value(4000)
	g.pass(69 * time.Second)
	g.expect(home, "the same values")
	s.expect(t, "told", nil)
}

// Where nobody could take over, nothing is registered.
func TestCannotListen(t *testing.T) {
	g := newRig(t, 1, nil)
	g.listening = errors.New("the address is taken")
	s := g.register(ours)
	s.expect(t, "told", g.listening)
	g.listening = nil
	g.pass(refusedPause)
	g.says(g.home(), unknown)
	g.says(g.ends[0], accepted)
	s.expect(t, "then", nil)
}

// Associations that do not come from where we listen are made anew before anything is registered.
func TestListensFirst(t *testing.T) {
	g := newRig(t, 1, nil)
	g.follow()
	before := g.home()
	s := g.register(ours)
	if !before.closed {
		t.Error("the old association stays")
	}
	home := g.home()
	g.expect(home, "asks anew", whoIsNews)
	g.says(home, answer(ourElement()))
	g.expect(home, "the question of the registration is a new one", whoIsNews)
	g.says(home, answer(ourElement()))
	g.expect(home, "registers", registrationOf(ourElement()))
	g.says(home, accepted)
	s.expect(t, "told", nil)
}

// What can never be registered is an error at once.
func TestNeverRegistered(t *testing.T) {
	long := ours
	long.Handle = strings.Repeat("x", MaxHandle+1)
	nowhere := ours
	nowhere.Element.Address = netip.MustParseAddrPort("0.0.0.0:7001")
	unmapped := ours
	unmapped.Element.Mapping = ""
	sorted := ours
	sorted.Policy = pool.Application
	for _, r := range []pool.Registration{long, nowhere, unmapped, sorted, {}} {
		if _, err := toASAP(r, time.Minute, asap.RSPLIB()); err == nil {
			t.Errorf("%+v can be registered", r)
		}
	}
}

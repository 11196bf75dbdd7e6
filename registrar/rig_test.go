package registrar

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// rig is the rules in virtual time, with associations that only note what is said.
type rig struct {
	t         *testing.T
	r         *rules
	now       time.Time
	ends      []*end // that were dialled, in order
	listening error
	listens   int
}

// end is an association (wire).
type end struct {
	link          *link
	sent          []asap.Message
	closed, reset bool
}

func (e *end) send(m asap.Message) { e.sent = append(e.sent, m) }
func (e *end) close()              { e.closed = true }
func (e *end) abort()              { e.reset = true }

// take returns what was said since the last time.
func (e *end) take() []asap.Message {
	sent := e.sent
	e.sent = nil
	return sent
}

// server is the address of registrar number i.
func server(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), asap.Port)
}

// newRig makes rules that know of this many registrars.
func newRig(t *testing.T, registrars int, change func(*Config)) *rig {
	var c Config
	for i := range registrars {
		c.Registrars = append(c.Registrars, server(i+1))
	}
	c.Dialect = asap.RSPLIB()
	if change != nil {
		change(&c)
	}
	c, err := c.filled()
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, now: time.Unix(1e9, 0)}
	g.r = newRules(c, func(l *link) wire {
		e := &end{link: l}
		g.ends = append(g.ends, e)
		return e
	}, func() (bool, error) {
		if g.listening != nil {
			return false, g.listening
		}
		g.listens++
		return g.listens == 1, nil
	})
	return g
}

// pass lets time pass, event by event.
func (g *rig) pass(d time.Duration) {
	g.t.Helper()
	end := g.now.Add(d)
	for events := 0; ; events++ {
		at := g.r.next()
		if at.IsZero() || at.After(end) {
			break
		}
		if events > 10000 {
			g.t.Fatal("time stands still")
		}
		g.now = later(g.now, at)
		g.r.due(g.now)
	}
	g.now = end
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// last are the last n associations that were dialled.
func (g *rig) last(n int) []*end { return g.ends[len(g.ends)-n:] }

// up makes an association.
func (g *rig) up(e *end) { g.r.reachable(g.now, e.link) }

// down ends one from the other side.
func (g *rig) down(e *end) { g.r.ended(g.now, e.link, errors.New("gone")) }

// home makes the first of those dialled last the home registrar's, and returns it.
func (g *rig) home() *end {
	for _, e := range g.ends {
		if !e.reset && !e.closed && !e.link.up {
			g.up(e)
			return e
		}
	}
	g.t.Fatal("nobody is dialled")
	return nil
}

// says has the registrar say something.
func (g *rig) says(e *end, m asap.Message) {
	if !e.closed && !e.reset {
		g.r.received(g.now, e.link, m)
	}
}

// expect checks what was said since the last time.
func (g *rig) expect(e *end, what string, want ...asap.Message) {
	g.t.Helper()
	got := e.take()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		g.t.Fatalf("%s: it says\n%+v, not\n%+v", what, got, want)
	}
}

var handle = asap.PoolHandle("orders")

// ours is the element that the tests register.
var ours = pool.Registration{Handle: "orders", Element: pool.Element{Name: "0x11223344", Mapping: "sctp",
	Address: netip.MustParseAddrPort("10.1.0.1:7001"), Paths: []netip.Addr{netip.MustParseAddr("10.2.0.1")}}}

const ourID = asap.PEIdentifier(0x11223344)

// ourElement is ours in ASAP.
func ourElement() asap.PoolElement {
	return asap.PoolElement{ID: ourID, Life: DefaultLife, Policy: asap.Policy{Kind: asap.RoundRobin}, User: asap.Transport{Protocol: asap.SCTP,
		Port: 7001, Use: asap.DataPlusControl, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")}}}
}

// standing is how a registration stands, as it was told.
type standing struct {
	errs []error
	e    *registration
}

func (s *standing) told(err error) { s.errs = append(s.errs, err) }

// expect checks what was told since the last time: nil, or what the errors wrap.
func (s *standing) expect(t *testing.T, what string, want ...error) {
	t.Helper()
	if len(s.errs) != len(want) {
		t.Fatalf("%s: told %v, not %v", what, s.errs, want)
	}
	for i, err := range s.errs {
		if (err == nil) != (want[i] == nil) || !errors.Is(err, want[i]) {
			t.Fatalf("%s: told %v, not %v", what, s.errs, want)
		}
	}
	s.errs = nil
}

// register begins to register.
func (g *rig) register(reg pool.Registration) *standing {
	g.t.Helper()
	made, err := toASAP(reg, g.r.c.Life, g.r.c.Dialect)
	if err != nil {
		g.t.Fatal(err)
	}
	s := &standing{}
	s.e = &registration{handle: reg.Handle, name: reg.Element.Name, policy: reg.Policy, element: made, told: s.told}
	if err := g.r.register(g.now, s.e); err != nil {
		g.t.Fatal(err)
	}
	return s
}

// Messages of the tests.
var (
	whoIs     = asap.HandleResolution{Handle: handle, Items: askAll}
	whoIsNews = asap.HandleResolution{Handle: handle, Items: askAll, Updates: true}
	unknown   = asap.HandleResolutionResponse{Handle: handle, Errors: asap.OperationError{{Code: asap.CauseUnknownPoolHandle}}}
	accepted  = asap.RegistrationResponse{Handle: handle, PE: ourID}
	deletion  = asap.Deregistration{Handle: handle, PE: ourID}
	deleted   = asap.DeregistrationResponse{Handle: handle, PE: ourID}
)

func registrationOf(e asap.PoolElement) asap.Registration {
	return asap.Registration{Handle: handle, Element: e}
}

// rejected is a refusal.
func rejected(code asap.CauseCode) asap.RegistrationResponse {
	return asap.RegistrationResponse{Rejected: true, Handle: handle, PE: ourID, Errors: asap.OperationError{{Code: code}}}
}

// registered brings ours into the pool, at a home registrar.
func (g *rig) registered() (*standing, *end) {
	g.t.Helper()
	s := g.register(ours)
	home := g.home()
	g.expect(home, "first", whoIs)
	g.says(home, unknown)
	g.expect(home, "then", registrationOf(ourElement()))
	g.says(home, accepted)
	s.expect(g.t, "registered", nil)
	return s, home
}

// follower notes the news of a pool.
func (g *rig) follow() *[]pool.News {
	news := &[]pool.News{}
	g.r.follow(g.now, "orders", &follower{func(n pool.News) { *news = append(*news, n) }})
	return news
}

// answer is a positive answer with ours.
func answer(elements ...asap.PoolElement) asap.HandleResolutionResponse {
	return asap.HandleResolutionResponse{Handle: handle, Elements: elements}
}

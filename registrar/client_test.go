package registrar

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// overTCP is a Transport for loops that know nothing of SCTP.
type overTCP struct{ mapping.TCPMapping }

func (o overTCP) Dial(l loop.Loop, to, _ netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association {
	return o.TCPMapping.Dial(l, to, c, h)
}

// desk is a registrar as far as our elements and users see it.
type desk struct {
	t        testing.TB
	loop     loop.Loop
	elements map[asap.PEIdentifier]asap.PoolElement // of the only pool
	acks     int
	reports  []asap.PEIdentifier
	silent   bool // it answers nothing
}

func newDesk(t testing.TB, l loop.Loop, at netip.AddrPort) (*desk, loop.Listener) {
	d := &desk{t: t, loop: l, elements: map[asap.PEIdentifier]asap.PoolElement{}}
	listener, err := mapping.TCPMapping{}.Listen(l, at, deskConfig, func(a mapping.Association) mapping.Handler {
		return &visitor{d, a, nil}
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, listener
}

var deskConfig = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}, DialTimeout: 5 * time.Second}

// visitor is an association of a desk.
type visitor struct {
	desk *desk
	a    mapping.Association
	up   func()
}

func (v *visitor) Up() {
	if v.up != nil {
		v.up()
	}
}
func (v *visitor) Drained()   {}
func (v *visitor) Down(error) {}

func (v *visitor) say(m asap.Message) {
	p, err := asap.RSPLIB().Append(nil, m)
	if err == nil {
		err = v.a.Send(mapping.Message{PPID: asap.PPID, Data: p}, nil)
	}
	if err != nil {
		v.desk.t.Error(err)
	}
}

func (v *visitor) Receive(in mapping.Message) {
	m, report, err := asap.RSPLIB().Parse(in.Data)
	if err != nil || report != nil || in.PPID != asap.PPID {
		v.desk.t.Error(in.PPID, report, err)
		return
	}
	d := v.desk
	if d.silent {
		return
	}
	switch m := m.(type) {
	case asap.Registration:
		d.elements[m.Element.ID] = m.Element
		v.say(asap.RegistrationResponse{Handle: m.Handle, PE: m.Element.ID})
	case asap.Deregistration:
		delete(d.elements, m.PE)
		v.say(asap.DeregistrationResponse{Handle: m.Handle, PE: m.PE})
	case asap.HandleResolution:
		to := asap.HandleResolutionResponse{Handle: m.Handle}
		for _, e := range d.elements {
			to.Elements = append(to.Elements, e)
		}
		slices.SortFunc(to.Elements, func(a, b asap.PoolElement) int { return int(int64(a.ID) - int64(b.ID)) })
		if len(to.Elements) == 0 {
			to.Errors = asap.OperationError{{Code: asap.CauseUnknownPoolHandle}}
		}
		v.say(to)
	case asap.EndpointKeepAliveAck:
		d.acks++
	case asap.EndpointUnreachable:
		d.reports = append(d.reports, m.PE)
	default:
		d.t.Errorf("a registrar is told %+v", m)
	}
}

// takeOver asks an element whether it lives, as the one that wants to be its home.
func (d *desk) takeOver(at netip.AddrPort) {
	v := &visitor{desk: d}
	v.up = func() { v.say(asap.EndpointKeepAlive{Home: true, Server: 2, Handle: handle}) }
	v.a = mapping.TCPMapping{}.Dial(d.loop, at, deskConfig, v)
}

// An element and a user of two registrars, over associations: registered, resolved, the home registrar dies without a word, the other one
// takes over.
func TestClient(t *testing.T) {
	for seed := range uint64(20) {
		w := looptest.NewWorld(seed)
		hosts := []*looptest.Host{w.Host("registrar1"), w.Host("registrar2")}
		desks := make([]*desk, 2)
		c := Config{Dialect: asap.RSPLIB(), Transport: overTCP{}, Heartbeat: mapping.Heartbeat{Interval: 10 * time.Second, Misses: 3}}
		for i, h := range hosts {
			c.Registrars = append(c.Registrars, h.Addr(asap.Port))
			desks[i], _ = newDesk(t, h, h.Addr(asap.Port))
		}
		element, user := w.Host("element"), w.Host("user")
		c.Listen = element.Addr(0)
		cl, us := newTestClient(t, element, c), newTestClient(t, user, c)
		s := &standing{e: &registration{handle: "orders", name: "a", element: ourElement()}}
		s.e.told = s.told
		var news pool.News
		element.Post(func() {
			cl.do(func(now time.Time) {
				if err := cl.rules.register(now, s.e); err != nil {
					t.Error(err)
				}
			})
		})
		user.Post(func() {
			us.do(func(now time.Time) { us.rules.follow(now, "orders", &follower{func(n pool.News) { news = n }}) })
		})
		at := func(what string, limit time.Duration, done func() bool) {
			t.Helper()
			if !w.RunUntil(done, limit) {
				t.Fatalf("seed %d: not within %v: %s", seed, limit, what)
			}
		}
		at("registered", time.Second, func() bool { return len(desks[0].elements)+len(desks[1].elements) == 1 })
		home := 0
		if len(desks[1].elements) == 1 {
			home = 1
		}
		w.RunFor(time.Second)
		s.expect(t, "registered", nil)

		other := desks[1-home]
		other.elements[ourID] = desks[home].elements[ourID] // by ENRP
		hosts[home].Vanish()
		at("resolved", time.Minute, func() bool { return news.Err == nil && len(news.Elements) == 1 })
		hosts[1-home].Post(func() { other.takeOver(cl.listener.Addr()) })
		at("it takes over", 5*time.Second, func() bool { return other.acks == 1 })
		delete(other.elements, ourID)
		at("registered again", 71*time.Second, func() bool { return len(other.elements) == 1 })
		s.expect(t, "no news")

		element.Post(func() { cl.do(func(now time.Time) { cl.rules.leave(now, s.e, s.told) }) })
		at("deregistered", time.Second, func() bool { return len(other.elements) == 0 && len(s.errs) == 1 })
		s.expect(t, "left", nil)
		element.Post(cl.stop)
		user.Post(us.stop)
		w.RunFor(time.Minute)
		if n := element.Conns() + user.Conns() + element.Timers() + user.Timers(); n > 0 {
			t.Errorf("seed %d: %d associations and timers are left", seed, n)
		}
	}
}

func newTestClient(t *testing.T, l loop.Loop, c Config) *client {
	c, err := c.filled()
	if err != nil {
		t.Fatal(err)
	}
	return newClient(l, c)
}

// What is no ASAP is not taken for it, what the RFC wants answered is, and a registrar that does not read is left.
func TestBadRegistrar(t *testing.T) {
	a := &mute{}
	w := looptest.NewWorld(1)
	c := newTestClient(t, w.Host("a"), Config{Registrars: []netip.AddrPort{server(1)}, Transport: &muteTransport{a}})
	c.do(func(now time.Time) { c.rules.follow(now, "orders", &follower{func(pool.News) {}}) })
	a.h.Up()
	a.sent = nil
	a.h.Receive(mapping.Message{PPID: 0, Data: []byte{0x47, 0, 0, 4}})
	a.h.Receive(mapping.Message{PPID: asap.PPID, Data: nil})
	a.h.Receive(mapping.Message{PPID: asap.PPID, Data: []byte{0x07, 0, 0, 3}})
	if len(a.sent) > 0 {
		t.Errorf("it is answered: %x", a.sent)
	}
	a.h.Receive(mapping.Message{PPID: asap.PPID, Data: []byte{0x47, 0, 0, 4}}) // of an unknown type, to be reported
	if len(a.sent) != 1 {
		t.Fatalf("it is not answered: %x", a.sent)
	}
	m, _, err := asap.Parse(a.sent[0])
	if e, is := m.(asap.ErrorMessage); err != nil || !is || e.Errors[0].Code != asap.CauseUnrecognizedMessage {
		t.Errorf("the answer: %+v, %v", m, err)
	}
	a.queued = mostQueued
	a.h.Receive(mapping.Message{PPID: asap.PPID, Data: []byte{0x47, 0, 0, 4}})
	w.RunFor(time.Millisecond)
	if !a.aborted || c.rules.home != nil {
		t.Error("it does not read, and stays")
	}
}

// mute is an association that notes what is said (mapping.Association).
type mute struct {
	mapping.Association
	h       mapping.Handler
	sent    [][]byte
	queued  int
	aborted bool
}

func (m *mute) Send(p mapping.Message, _ *loop.Buffer) error {
	m.sent = append(m.sent, slices.Clone(p.Data))
	return nil
}
func (m *mute) Queued() int { return m.queued }
func (m *mute) Abort()      { m.aborted = true }
func (m *mute) Close()      {}

type muteTransport struct{ a *mute }

func (m *muteTransport) Dial(_ loop.Loop, _, _ netip.AddrPort, _ mapping.Config, h mapping.Handler) mapping.Association {
	m.a.h = h
	return m.a
}

func (*muteTransport) Listen(loop.Loop, netip.AddrPort, mapping.Config, func(mapping.Association) mapping.Handler) (loop.Listener, error) {
	return nil, errors.New("it does not listen")
}

// FuzzRules does anything with the rules in any order: what registrars say is input.
func FuzzRules(f *testing.F) {
	f.Add([]byte{0, 4, 5, 12, 5, 20, 6, 3, 7, 200, 8})
	f.Add([]byte{1, 4, 5, 12, 2, 30, 9, 10, 11, 4, 5, 2, 255, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		g := newRig(t, 4, func(c *Config) { c.Empty = 10 * time.Second })
		z := &fuzzer{rig: g}
		for _, b := range script[:min(len(script), 200)] {
			z.step(int(b))
			z.check()
		}
		for range 20 { // what is open ends, in time
			g.pass(10 * time.Second)
			z.check()
		}
	})
}

type fuzzer struct {
	*rig
	elements  []*registration
	followers []*follower
	calls     int
}

// step does one thing; n chooses which, and with whom.
func (z *fuzzer) step(n int) {
	var e *end
	if len(z.ends) > 0 {
		e = z.ends[n/16%len(z.ends)]
	}
	alive := e != nil && !e.closed && !e.reset
	says := []asap.Message{unknown, answer(ourElement()), accepted, rejected(asap.CauseInconsistentPolicy), deleted, keepAlive(true), keepAlive(false),
		asap.ErrorMessage{Errors: asap.OperationError{{Code: 0x100b}}}, asap.DeregistrationResponse{Handle: handle, PE: ourID,
			Errors: asap.OperationError{{Code: 9}}}, asap.ServerAnnounce{Server: 1}}
	switch n % 16 {
	case 0:
		f := &follower{func(pool.News) { z.calls++ }}
		z.followers = append(z.followers, f)
		z.r.follow(z.now, "orders", f)
	case 1:
		e := &registration{handle: "orders", name: "x", element: ourElement(), told: func(error) { z.calls++ }}
		if z.r.register(z.now, e) == nil {
			z.elements = append(z.elements, e)
		}
	case 2:
		z.pass(time.Duration(n/16) * 3 * time.Second)
	case 3:
		if len(z.elements) > 0 {
			e := z.elements[n/16%len(z.elements)]
			if z.r.leave(z.now, e, func(error) { z.calls++ }); n/16%4 == 3 {
				z.r.forget(z.now, e)
			}
		}
	case 4, 5:
		if alive && !e.link.up {
			z.up(e)
		}
	case 6:
		if alive {
			z.down(e)
			e.reset = true
		}
	case 7:
		z.r.report(z.now, "orders", asap.PEIdentifier(n))
	case 8:
		z.r.refresh(z.now, "orders", func([]asap.PoolElement, error) { z.calls++ })
	case 9:
		if len(z.followers) > 0 {
			z.r.unfollow(z.now, "orders", z.followers[n/16%len(z.followers)])
		}
	case 10:
		if e, ok := z.begun(server(n/16%6 + 1).Addr()); ok {
			z.ends = append(z.ends, e)
		}
	case 11:
		if len(z.elements) > 0 {
			z.r.revalue(z.now, z.elements[0], pool.Element{Load: uint32(n)})
		}
	default:
		if alive && e.link.up {
			z.r.received(z.now, e.link, says[(n/16+n)%len(says)])
		}
	}
}

// check says what must always hold.
func (z *fuzzer) check() {
	z.t.Helper()
	r := z.r
	if r.home != nil && (!r.home.up || !slices.Contains(r.links, r.home)) {
		z.t.Fatal("the home registrar's association is not up, or not known")
	}
	for _, l := range r.links {
		if e := l.wire.(*end); e.closed || e.reset {
			z.t.Fatalf("the association with %v has ended", l.remote)
		}
	}
	if len(r.links) > mostLinks*len(r.c.Registrars)+atOnce || len(r.hunt.trying) > atOnce {
		z.t.Fatalf("%d associations, %d are tried", len(r.links), len(r.hunt.trying))
	}
	if len(r.hunt.trying) > 0 && !r.hunt.on {
		z.t.Fatal("there are attempts, and it does not hunt")
	}
	if r.needed() && r.home == nil && !r.hunt.on {
		z.t.Fatal("there is no home registrar, and it does not hunt")
	}
	for _, e := range r.elements {
		if r.home != nil && e.next().IsZero() && !e.looking {
			z.t.Fatalf("nothing will happen to %+v", e)
		}
	}
	for _, p := range r.pools {
		if r.home != nil && p.next().IsZero() {
			z.t.Fatalf("nothing will happen to %+v", p)
		}
	}
}

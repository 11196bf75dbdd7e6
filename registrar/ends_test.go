package registrar

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/pool"
)

// Whoever deregisters a second time need not wait for a loop that has ended long ago.
func TestDeregisterTwice(t *testing.T) {
	o := openOffice(t)
	s := newSource(t, o.at)
	r := enrol(t, s)
	if err := r.Deregister(context.Background()); err != nil {
		t.Fatal(err)
	}
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for deadline := time.Now().Add(30 * time.Second); r.(*registered).run.loop.Post(func() {}); <-often.C {
		if time.Now().After(deadline) {
			t.Fatal("the loop does not end")
		}
	}
	again := make(chan error, 1)
	go func() { again <- r.Deregister(context.Background()) }() // ends with the call
	if err := soon(t, "deregistered again", again); err != nil {
		t.Error(err)
	}
	r.Revalue(pool.Element{})
}

// An element whose server fails and returns at once is registered anew at the same port, however the loop before it ends.
func TestInAHurry(t *testing.T) {
	o := openOffice(t)
	at := porttest.Free(t)
	s, err := New(Config{Registrars: []netip.AddrPort{o.at}, Dialect: asap.RSPLIB(), Transport: overTCP{}, Interval: time.Hour,
		Listen: at, Times: Times{T5: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		standings := make(chan error, 10)
		r, err := s.Register(ours, func(err error) { standings <- err })
		if err != nil {
			t.Fatal(err)
		}
		if err := soon(t, "registered", standings); err != nil {
			t.Fatal(err)
		}
		if err := r.Deregister(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// An address that is mapped into IPv6 is the IPv4 address that everybody else calls it by.
func TestMappedAddress(t *testing.T) {
	e := ourElement()
	e.User.Addresses = []netip.Addr{netip.MustParseAddr("::ffff:10.1.0.1"), netip.MustParseAddr("::ffff:0.0.0.0"), netip.MustParseAddr("::ffff:10.2.0.1")}
	elements, _, err := elementsOf(answer(e), asap.RSPLIB())
	if err != nil || len(elements) != 1 {
		t.Fatal(elements, err)
	}
	if want := ours.Element; elements[0].Elsewhere(want) {
		t.Errorf("%v %v, not %v %v", elements[0].Address, elements[0].Paths, want.Address, want.Paths)
	}
}

// Somebody else may have the identifier by the time that a registration has run out: who returns then asks first, as in the beginning.
func TestReturnsLate(t *testing.T) {
	g := newRig(t, 1, nil)
	s, home := g.registered()
	g.down(home)
	g.pass(DefaultLife + time.Second)
	s.expect(t, "run out", pool.ErrSourceDown)
	home = g.home()
	g.expect(home, "back", whoIs)
	other := ourElement()
	other.User.Addresses = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	g.says(home, answer(other))
	g.expect(home, "taken")
	s.expect(t, "taken", pool.ErrDuplicate)
	g.pass(refusedPause)
	g.expect(home, "again", whoIs)
	g.says(home, unknown)
	g.expect(home, "free", registrationOf(ourElement()))
	g.says(home, accepted)
	s.expect(t, "registered", nil)

	g.down(home) // and whoever returns in time does not ask
	g.pass(time.Second)
	g.expect(g.home(), "back in time", registrationOf(ourElement()))
}

// A registration that is answered when it had run out still takes other policy values at once.
func TestAnsweredLate(t *testing.T) {
	g := newRig(t, 1, nil)
	s, home := g.registered()
	g.pass(DefaultLife) // renewed after 70 s, which is not answered
	s.expect(t, "run out", pool.ErrSourceDown)
	home.take()
	g.says(home, accepted)
	s.expect(t, "registered", nil)
	if !s.e.looked {
		t.Error("it is asked once more who is there")
	}
}

// An element whose deregistration nobody has heard in time is deregistered as soon as somebody does. A registrar that gets no answer for it
// would end the association, and with it all other elements that were registered over it.
func TestForgotten(t *testing.T) {
	g := newRig(t, 2, nil)
	s, home := g.registered()
	another := ours
	another.Element.Name = "0x55667788"
	g.register(another)
	forget := func() {
		g.r.leave(g.now, s.e, func(error) {})
		g.r.forget(g.now, s.e)
	}
	g.down(home)
	forget()
	home = g.home()
	g.expect(home, "the new home", whoIs, deletion)
	taker, ok := g.begun(server(2).Addr())
	if !ok {
		t.Fatal("a registrar is refused")
	}
	id := ourID
	asks := asap.EndpointKeepAlive{Server: 2, Handle: handle, PE: &id}
	g.says(taker, asks)
	g.expect(taker, "asked for it", deletion)
	g.says(taker, deleted)
	g.says(taker, asks)
	g.expect(taker, "it is gone")

	s = g.register(ours)  // it is back: what was forgotten is not so any more
	g.says(home, unknown) // the answer that the other one waited for
	g.says(home, unknown)
	home.take()
	g.says(home, accepted)
	g.says(taker, asks)
	g.expect(taker, "it lives", asap.EndpointKeepAliveAck{Handle: handle, PE: ourID})
	forget()
	g.pass(DefaultLife)
	taker.take()
	g.says(taker, asks)
	g.expect(taker, "its life is over anyway")
}

// What a registrar names and nobody here can use is told, once as long as it is there; without a word the pool would only be empty.
func TestLeftOut(t *testing.T) {
	g := newRig(t, 1, nil)
	news := g.follow()
	home := g.home()
	pe := func(id asap.PEIdentifier, to asap.Transport) asap.PoolElement {
		return asap.PoolElement{ID: id, User: to}
	}
	far := asap.Transport{Protocol: asap.TCP, Port: 7001, Addresses: []netip.Addr{netip.MustParseAddr("fe80::1")}} // on which link?
	both := asap.Transport{Protocol: asap.TCP, Port: 7001, Addresses: []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("10.1.0.1")}}
	udp := asap.Transport{Protocol: asap.UDP, Port: 7001, Addresses: both.Addresses}
	strange := answer(pe(1, both), pe(1, both), pe(2, far), pe(3, udp))
	told := func() (elements int, left []string) {
		for _, n := range *news {
			elements = len(n.Elements)
			for _, err := range n.Left {
				left = append(left, err.Error())
			}
		}
		*news = nil
		return elements, left
	}
	g.says(home, strange)
	n, left := told()
	if n != 1 || len(left) != 2 || !strings.Contains(left[0], "0x00000002") || !strings.Contains(left[1], "0x00000003") || !strings.Contains(left[1], `"orders"`) {
		t.Errorf("%d elements, left out: %q", n, left)
	}
	g.says(home, strange)
	if n, left := told(); n != 1 || len(left) != 0 {
		t.Errorf("again: %d elements, left out: %q", n, left)
	}
	g.says(home, answer(pe(1, both)))
	g.says(home, strange)
	if n, left := told(); n != 1 || len(left) != 2 {
		t.Errorf("when they are back: %d elements, left out: %q", n, left)
	}
}

package registrar

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// remotes are where associations go.
func remotes(ends []*end) (at []netip.AddrPort) {
	for _, e := range ends {
		at = append(at, e.link.remote)
	}
	return at
}

func (g *rig) tried(what string, want ...int) {
	g.t.Helper()
	got := remotes(g.last(len(want)))
	for i, n := range want {
		if got[i] != server(n) {
			g.t.Fatalf("%s: it tries %v, not %v", what, got, want)
		}
	}
}

// Three registrars are tried at once (SH1), others in the place of those that fail (SH4), the first that is there is the home one (SH6).
func TestHunt(t *testing.T) {
	g := newRig(t, 5, nil)
	g.follow()
	if len(g.ends) != 3 {
		t.Fatalf("%d at once", len(g.ends))
	}
	g.tried("at first", 1, 2, 3)
	g.down(g.ends[1])
	g.tried("in the place of the second", 4)
	g.up(g.ends[3])
	for i, e := range g.ends {
		if e.reset != (i == 0 || i == 2) {
			t.Errorf("number %d is reset: %v", i, e.reset)
		}
	}
	if g.r.home != g.ends[3].link || g.r.hunt.on || len(g.r.links) != 1 {
		t.Errorf("home %v, hunting %v, %d associations", g.r.home, g.r.hunt.on, len(g.r.links))
	}
	g.expect(g.ends[3], "there it asks", whoIsNews)
}

// T5-Serverhunt doubles up to RETRAN-MAX, each time with other registrars, and begins anew with success.
func TestHuntTimer(t *testing.T) {
	g := newRig(t, 5, nil)
	news := g.follow()
	wait := 10 * time.Second
	for _, set := range [][]int{{4, 5, 1}, {2, 3, 4}, {5, 1, 2}, {3, 4, 5}} {
		before := len(g.ends)
		g.pass(wait - 1)
		if len(g.ends) != before {
			t.Fatalf("T5 is shorter than %v", wait)
		}
		*news = nil
		g.pass(1)
		g.tried("after T5", set...)
		for _, e := range g.ends[:before] {
			if !e.reset {
				t.Fatal("an attempt of the last round goes on")
			}
		}
		if len(*news) != 1 || (*news)[0].Err == nil {
			t.Fatalf("told: %v", *news)
		}
		wait = min(2*wait, time.Minute)
	}
	home := g.last(1)[0]
	g.up(home)
	g.down(home)
	if at := g.r.hunt.t5; !at.Equal(g.now.Add(10 * time.Second)) {
		t.Errorf("after a success T5 is %v", at.Sub(g.now))
	}
}

// If all refuse, that is told, and they are tried again when T5 is over.
func TestAllRefuse(t *testing.T) {
	g := newRig(t, 2, nil)
	news := g.follow()
	s := g.register(ours)
	for _, e := range g.ends {
		if !e.reset && !e.closed {
			g.down(e)
		}
	}
	s.expect(t, "told", pool.ErrSourceDown)
	if n := *news; len(n) != 1 || n[0].Err == nil {
		t.Errorf("told: %v", n)
	}
	before := len(g.ends)
	g.pass(10*time.Second - 1)
	if len(g.ends) != before {
		t.Error("they are tried again at once")
	}
	g.pass(1)
	if len(g.ends) != before+2 {
		t.Error("they are not tried again")
	}
}

// Nobody who wants anything: nothing is tried.
func TestNoNeed(t *testing.T) {
	g := newRig(t, 2, nil)
	f := &follower{func(pool.News) {}}
	g.r.follow(g.now, "orders", f)
	home := g.home()
	g.r.unfollow(g.now, "orders", f)
	g.down(home)
	g.pass(time.Hour)
	if len(g.ends) != 2 || !g.r.next().IsZero() {
		t.Errorf("%d associations begun, something is due %v", len(g.ends), g.r.next())
	}
}

func keepAlive(home bool) asap.EndpointKeepAlive {
	return asap.EndpointKeepAlive{Home: home, Server: 0xb, Handle: handle}
}

var ack = asap.EndpointKeepAliveAck{Handle: handle, PE: ourID}

// Keep-alives are answered where they come from: for our pools only, and for the element that is meant (rsplib's extension).
func TestKeepAlive(t *testing.T) {
	g := newRig(t, 1, nil)
	_, home := g.registered()
	g.says(home, keepAlive(false))
	g.expect(home, "keep-alive", ack)
	g.says(home, asap.EndpointKeepAlive{Server: 0xb, Handle: asap.PoolHandle("other")})
	g.expect(home, "of another pool")
	one, another := ourID, ourID+1
	g.says(home, asap.EndpointKeepAlive{Server: 0xb, Handle: handle, PE: &one})
	g.expect(home, "of this element", ack)
	g.says(home, asap.EndpointKeepAlive{Server: 0xb, Handle: handle, PE: &another})
	g.expect(home, "of another element")
}

// begun is an association that a registrar begins.
func (g *rig) begun(from netip.Addr) (*end, bool) {
	e := &end{}
	e.link = &link{wire: e, remote: netip.AddrPortFrom(from, asap.Port)}
	ok := g.r.accepts(g.now, e.link, []netip.Addr{netip.MustParseAddr("10.9.9.9"), from})
	if ok {
		g.up(e)
	}
	return e, ok
}

// A registrar that takes over is the home registrar from its word on. What was asked of the old one is asked of it.
func TestTakeover(t *testing.T) {
	g := newRig(t, 3, nil)
	s, home := g.registered()
	g.follow()
	home.take()
	next, ok := g.begun(server(2).Addr())
	if !ok {
		t.Fatal("it is not accepted")
	}
	g.says(next, keepAlive(false))
	g.expect(next, "without the H flag", ack)
	if g.r.home != home.link {
		t.Fatal("it is home without the H flag")
	}
	g.says(next, keepAlive(true))
	g.expect(next, "with the H flag", ack, whoIsNews, registrationOf(ourElement()))
	g.says(next, accepted)
	if g.r.home != next.link || home.closed || home.reset {
		t.Fatal("it is not home, or the old one is told that we are dead")
	}
	g.says(home, keepAlive(false))
	g.expect(home, "the old one", ack)
	g.down(home)
	if g.r.home != next.link || g.r.hunt.on {
		t.Error("the end of the old one matters")
	}
	g.pass(70 * time.Second)
	if sent := next.take(); !reflect.DeepEqual(sent[len(sent)-1], registrationOf(ourElement())) {
		t.Errorf("it is not registered again there: %+v", sent)
	}
	s.expect(t, "no news")
}

// It may come while others are being tried: then these are left alone.
func TestTakeoverWhileHunting(t *testing.T) {
	g := newRig(t, 3, nil)
	s, home := g.registered()
	g.down(home)
	trying := g.last(3)
	next, _ := g.begun(server(3).Addr())
	g.says(next, keepAlive(true))
	g.expect(next, "with the H flag", ack, registrationOf(ourElement()))
	for _, e := range trying {
		if !e.reset {
			t.Errorf("%v is still tried", e.link.remote)
		}
	}
	g.pass(time.Second)
	if g.r.hunt.on || g.r.home != next.link {
		t.Error("it still hunts")
	}
	s.expect(t, "no news")
}

// Strangers are not accepted, nor more associations than registrars could need.
func TestStrangers(t *testing.T) {
	g := newRig(t, 2, nil)
	if _, ok := g.begun(netip.MustParseAddr("10.0.0.3")); ok {
		t.Error("a stranger is accepted")
	}
	n := 0
	for range 100 {
		if _, ok := g.begun(server(1).Addr()); ok {
			n++
		}
	}
	if n == 0 || n > 2*mostLinks {
		t.Errorf("%d are accepted", n)
	}
	g = newRig(t, 2, nil)
	g.registered()
	e, _ := g.begun(server(2).Addr())
	g.says(e, asap.EndpointKeepAlive{Home: true, Handle: asap.PoolHandle("other")})
	if g.r.home == e.link {
		t.Error("it is home for an element that we do not have")
	}
	g.says(e, answer(ourElement()))
	g.says(e, rejected(asap.CauseSecurity))
	g.says(e, deleted)
	g.expect(e, "what is not its business")
}

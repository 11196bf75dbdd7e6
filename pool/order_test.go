package pool

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// ordered is a pool of four elements, of which the first has asked for an order.
func ordered(policy Policy) *Pool {
	at := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
	p := New("p", policy, []Element{
		{Name: "a", Address: at("10.0.0.1:1"), Priority: 4},
		{Name: "b", Address: at("10.0.0.2:1"), Priority: 3},
		{Name: "c", Address: at("10.0.0.3:1"), Paths: []netip.Addr{netip.MustParseAddr("10.1.0.3")}, Priority: 2},
		{Name: "d", Address: at("10.0.0.4:1"), Priority: 1},
	})
	known, news := p.Prefer("a", [16]byte{1}, []netip.AddrPort{at("10.0.0.4:1"), at("10.0.0.9:1"), at("10.0.0.4:2"), at("10.0.0.1:1"), {},
		at("[::ffff:10.1.0.3]:1"), at("10.0.0.3:1"), at("10.0.0.4:1")})
	if !slices.Equal(known, []string{"d", "c"}) || !news {
		panic("the order is not what was asked for")
	}
	return p
}

// What an element asks for comes before the policy, as far as it is alive, and only for its own sessions.
func TestOrder(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, policy := range []Policy{RoundRobin, Priority} {
		p := ordered(policy)
		want := func(name string, asked bool, w Wish) {
			t.Helper()
			c, ok := p.ChooseFor(now, w)
			if !ok || c.Name != name || c.Asked != asked {
				t.Errorf("%v: %+v, %t, not %s", policy, c, ok, name)
			}
		}
		not := func(names ...string) func(string) bool {
			return func(name string) bool { return slices.Contains(names, name) }
		}
		want("a", false, Wish{})
		p.Failed(now, "a")
		want("d", true, Wish{After: "a"})
		want("d", true, Wish{After: "a"})
		want("c", true, Wish{After: "a", Not: not("d")})
		want("b", false, Wish{After: "a", Not: not("c", "d")})
		p.Failed(now, "d")
		want("c", true, Wish{After: "a"})
		p.Failed(now, "c")
		want("b", false, Wish{After: "a"})
		want("b", false, Wish{After: "b"})
		want("b", false, Wish{After: "nobody"})
		if c, ok := p.ChooseFor(now, Wish{After: "a", Not: not("b")}); ok || c.Wait <= 0 || c.Wait > LastPause {
			t.Errorf("%v: nobody is left, but %+v", policy, c)
		}
		p.Alive("d")
		want("d", true, Wish{After: "a"})
	}
}

// An order lasts until another takes its place, and can be seen.
func TestOrderIsReplaced(t *testing.T) {
	p := ordered(RoundRobin)
	if _, news := p.Prefer("a", [16]byte{1}, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.4:1"), netip.MustParseAddrPort("10.0.0.3:1")}); news {
		t.Error("the same order is news")
	}
	if known, news := p.Prefer("nobody", [16]byte{1}, []netip.AddrPort{netip.MustParseAddrPort("10.0.0.4:1")}); known != nil || news {
		t.Error("nobody has an order")
	}
	if got := p.States()[0].Order; !slices.Equal(got, []string{"d", "c"}) {
		t.Errorf("it is shown as %v", got)
	}
	if known, news := p.Prefer("a", [16]byte{1}, nil); known != nil || !news {
		t.Error("it cannot be taken back")
	}
	if c, _ := p.ChooseFor(time.Unix(0, 0), Wish{After: "a"}); c.Name != "a" || c.Asked {
		t.Errorf("%+v", c)
	}
}

// An order is that of one incarnation.
func TestOrderOfAnIncarnation(t *testing.T) {
	p := ordered(RoundRobin)
	p.Shown("nobody", [16]byte{2})
	p.Shown("b", [16]byte{2})
	p.Shown("a", [16]byte{1})
	if got := p.States()[0].Order; len(got) != 2 {
		t.Errorf("the same incarnation: %v", got)
	}
	p.Shown("a", [16]byte{2})
	if got := p.States()[0].Order; got != nil {
		t.Errorf("another incarnation: %v", got)
	}
}

package pool

import (
	"net/netip"
	"testing"
	"time"
)

// An element with all the sessions that it takes is not chosen; nothing is held against it, and it is chosen again when one has left.
func TestFullByCount(t *testing.T) {
	p := New("things", RoundRobin, []Element{{Name: "a", MaxSessions: 1}, {Name: "b", MaxSessions: 2}})
	now := time.Unix(1000, 0)
	count := map[string]int{}
	for range 3 {
		c, ok := p.ChooseFor(now, Wish{})
		if !ok || !p.Enter(c.Element.Name) {
			t.Fatalf("%+v, %v", c, ok)
		}
		count[c.Element.Name]++
	}
	if count["a"] != 1 || count["b"] != 2 {
		t.Errorf("%v", count)
	}
	if c, ok := p.ChooseFor(now, Wish{}); ok || !c.Full || p.Enter("a") {
		t.Errorf("a fourth one: %+v, %v", c, ok)
	}
	if p.Others(now, "a") || p.Usable(now, "b") {
		t.Error("a full element is believed to be of use")
	}
	if !p.Exit("b") {
		t.Error("it was not full")
	}
	if c, ok := p.ChooseFor(now, Wish{}); !ok || c.Element.Name != "b" {
		t.Errorf("behind that %+v, %v", c, ok)
	}
	for _, s := range p.States() {
		if s.Failures != 0 || s.Full != (s.Name == "a") {
			t.Errorf("%+v", s)
		}
	}
}

// One that has refused is asked by one session at a time, less and less often, until it takes one that went there later than the refusal.
func TestFullByRefusal(t *testing.T) {
	p := New("things", RoundRobin, []Element{{Name: "a"}})
	now := time.Unix(1000, 0)
	asked := 0
	for range 1000 { // a second
		if c, ok := p.ChooseFor(now, Wish{}); ok {
			p.Enter(c.Element.Name)
			p.Full(now, c.Element.Name)
			asked++
		} else if !c.Full || c.Wait > LastPause {
			t.Fatalf("%+v", c)
		}
		now = now.Add(time.Millisecond)
	}
	if asked < 5 || asked > 8 {
		t.Errorf("it was asked %d times within a second", asked)
	}
	p.HasRoom("a", now.Add(-time.Second))
	if !p.States()[0].Full {
		t.Error("one that went there before the refusal says nothing")
	}
	p.HasRoom("a", now)
	if _, ok := p.ChooseFor(now, Wish{}); !ok || p.States()[0].Full {
		t.Error("it is not chosen, though it has room")
	}
}

// Sessions of an element that has left the pool and come back, or was never in it, do no harm.
func TestFullOfStrangers(t *testing.T) {
	p := New("things", RoundRobin, []Element{{Name: "a", MaxSessions: 1}})
	p.Stay("a")
	p.Update(nil)
	if p.Exit("a") || !p.Enter("a") {
		t.Error("one that is not there is full")
	}
	p.Update([]Element{{Name: "a", MaxSessions: 1}})
	if p.Exit("a") || !p.Enter("a") || p.Enter("a") {
		t.Error("it does not begin anew")
	}
}

// An element that leaves the pool and comes back has the sessions that are still at it, unless it is at another address.
func TestFullOfReturned(t *testing.T) {
	e := Element{Name: "a", Address: netip.MustParseAddrPort("10.0.0.1:1"), MaxSessions: 3}
	p := New("things", RoundRobin, []Element{e})
	for range 3 {
		p.Enter("a")
	}
	p.Update(nil)
	p.Exit("a")
	p.Update([]Element{e})
	if !p.Enter("a") || p.Enter("a") {
		t.Error("of the three sessions at it two had stayed")
	}
	for _, paths := range [][]netip.Addr{{netip.MustParseAddr("10.0.1.1")}, nil} {
		e.Paths = paths
		if p.Update([]Element{e}); p.Enter("a") {
			t.Error("the sessions at it are not counted when it has other paths")
		}
	}
	p.Update(nil)
	e.Address = netip.MustParseAddrPort("10.0.0.2:1")
	if p.Update([]Element{e}); !p.Enter("a") || p.Exit("a") || len(p.occupied) > 0 {
		t.Errorf("at another address it is full: %+v, %v", p.States(), p.occupied)
	}
	p.Enter("a")
	p.Update(nil)
	p.Exit("a")
	if len(p.occupied) > 0 {
		t.Errorf("%v is kept of one where nobody is", p.occupied)
	}
}

package pool

import (
	"slices"
	"testing"
	"time"
)

// turns are the names that a pool chooses in so many turns; "": none.
func turns(p *Pool, now time.Time, n int) (names []string) {
	for range n {
		c, _ := p.ChooseFor(now, Wish{})
		names = append(names, c.Name)
	}
	return names
}

func TestDrain(t *testing.T) {
	now := time.Unix(0, 0)
	for policy := RoundRobin; policy <= RandomizedLeastUsed; policy++ {
		p := New("p", policy, []Element{{Name: "a", Weight: 1, Priority: 9}, {Name: "b", Weight: 1}})
		if !p.Drain("a") || p.Drain("c") {
			t.Fatal("known and unknown are not told apart")
		}
		if got := turns(p, now, 4); slices.Contains(got, "a") || slices.Contains(got, "") {
			t.Errorf("%v: %q", policy, got)
		}
		if p.Others(now, "b") || !p.Others(now, "a") {
			t.Errorf("%v: where else sessions can go is not known", policy)
		}
		p.Drain("b")
		if got := turns(p, now, 1); got[0] != "" {
			t.Errorf("%v: all are drained, and %q was chosen", policy, got)
		}
		if list, _ := p.Resolve(now, 5); len(list) != 0 {
			t.Errorf("%v: resolved %v", policy, list)
		}
		p.Undrain("a")
		if got := turns(p, now, 1); got[0] != "a" {
			t.Errorf("%v: not drained any more, and %q was chosen", policy, got)
		}
	}
}

// An operator's word holds for the name; the element's own for the incarnation of it that has said so.
func TestDrainHolds(t *testing.T) {
	a, b := Element{Name: "a"}, Element{Name: "b"}
	p := New("p", RoundRobin, []Element{a, b})
	p.Drain("a")
	p.Asks("b", [16]byte{1}, "it stops", 1)
	if why := p.Draining("b"); why != "it has asked to be drained: it stops" {
		t.Errorf("%q", why)
	}
	p.Shown("b", [16]byte{1})
	if p.Draining("b") == "" {
		t.Error("the same incarnation has not taken it back")
	}
	p.Stops("b", [16]byte{2})
	if p.Draining("b") == "" {
		t.Error("another incarnation has taken it back")
	}
	p.Shown("b", [16]byte{2})
	if p.Draining("b") != "" {
		t.Error("another incarnation has not asked")
	}
	p.Asks("b", [16]byte{2}, "", 1)
	p.Update(nil)
	if p.Draining("a") != "it has left the pool" {
		t.Errorf("%q", p.Draining("a"))
	}
	p.Update([]Element{a, b})
	if p.Draining("a") == "" || p.Draining("b") != "" {
		t.Errorf("named again: %q and %q", p.Draining("a"), p.Draining("b"))
	}
	if s := p.States(); s[0].Draining == "" || s[1].Draining != "" {
		t.Errorf("states: %+v", s)
	}
	if p.Undrain("a"); p.Draining("a") != "" || len(p.drains) != 0 {
		t.Error("something is left of it")
	}
	if p.Undrain("c") {
		t.Error("c is not known")
	}
}

// A drained element that has failed is not looked at either, and nobody waits for it.
func TestDrainFailed(t *testing.T) {
	now := time.Unix(0, 0)
	p := New("p", RoundRobin, []Element{{Name: "a"}, {Name: "b"}})
	p.Failed(now, "a")
	p.Drain("a")
	if _, ok := p.Suspect(now.Add(time.Hour)); ok {
		t.Error("it is looked at")
	}
}

// What an element has asked for holds as long as an association is left on which it has: it does not matter whose.
func TestDrainUntold(t *testing.T) {
	p := New("p", RoundRobin, []Element{{Name: "a"}})
	p.Asks("a", [16]byte{1}, "it stops", "one")
	p.Asks("a", [16]byte{1}, "it stops", "two")
	if p.Untold("a", "three") || p.Untold("a", "one") || p.Draining("a") == "" {
		t.Error("an association is left")
	}
	if !p.Untold("a", "two") || p.Draining("a") != "" || len(p.drains) != 0 {
		t.Error("none is left")
	}
	p.Asks("a", [16]byte{1}, "it stops", "one")
	p.Asks("a", [16]byte{2}, "it stops", "two")
	if p.Untold("a", "one") || !p.Untold("a", "two") {
		t.Error("it is another incarnation that asks")
	}
	p.Drain("a")
	p.Asks("a", [16]byte{2}, "it stops", "one")
	if p.Untold("a", "one"); p.Draining("a") == "" {
		t.Error("its operator has drained it")
	}
}

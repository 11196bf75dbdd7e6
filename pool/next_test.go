package pool

import (
	"net/netip"
	"testing"
)

// next names elements one after another, each for somebody whom the one before did not serve.
func next(p *Pool, last string, n int) (names string) {
	for range n {
		c, ok := p.Next(start, last)
		if !ok {
			return names + "-"
		}
		last = c.Name
		names += last
	}
	return names
}

// The one that failed is never named while there is another, whatever is known of that.
func TestNext(t *testing.T) {
	p := New("p", RoundRobin, at("abc"))
	if got := next(p, "", 4); got != "abca" {
		t.Error(got)
	}
	if got := next(p, "b", 1); got != "c" {
		t.Error("the one whose turn it is, but it has failed: ", got)
	}
	p.Failed(start, "a")
	p.Failed(start, "b")
	if got := next(p, "a", 1); got != "c" {
		t.Error("one that is alive comes first: ", got)
	}
	p.Failed(start, "c")
	if got := next(p, "c", 6); len(got) != 6 || got[0] == 'c' {
		t.Error(got)
	} else {
		for i := 1; i < len(got); i++ {
			if got[i] == got[i-1] {
				t.Error("the same again: ", got)
			}
		}
	}
	if got := next(p, "nobody", 1); len(got) != 1 || got == "-" {
		t.Error(got)
	}
	if got := next(New("p", RoundRobin, at("a")), "a", 2); got != "aa" {
		t.Error("there is no other: ", got)
	}
	if got := next(New("p", RoundRobin, nil), "a", 2); got != "-" {
		t.Error(got)
	}
	if got := next(New("p", WeightedRoundRobin, at("ab")), "a", 2); got != "-" {
		t.Error("with weight 0 there is no service: ", got)
	}
}

// What the one that failed has asked for comes before the policy.
func TestNextInOrder(t *testing.T) {
	var elements []Element
	for i, e := range at("abcd") {
		e.Address = netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1))
		elements = append(elements, e)
	}
	p := New("p", RoundRobin, elements)
	p.Prefer("a", [16]byte{}, []netip.AddrPort{elements[3].Address, elements[2].Address})
	if c, ok := p.Next(start, "a"); !ok || c.Name != "d" || !c.Asked {
		t.Errorf("%+v", c)
	}
	p.Failed(start, "d")
	if got := next(p, "a", 1); got != "c" {
		t.Error(got)
	}
}

// An application's policy sorts them for this, too.
func TestNextSorted(t *testing.T) {
	p := NewSorted("p", func(v []Values) []Values {
		for i, k := 0, len(v)-1; i < k; i, k = i+1, k-1 {
			v[i], v[k] = v[k], v[i]
		}
		return v
	}, at("abc"))
	if got := next(p, "", 3); got != "cbc" {
		t.Error(got)
	}
}

// Who waits for the first word of a source is told of it when the elements are there.
func TestSpoken(t *testing.T) {
	p := New("p", RoundRobin, nil)
	<-p.Spoken()
	p.Follow(start, silent{}, nil)
	done := make(chan int)
	go func(spoken <-chan struct{}) {
		<-spoken
		done <- len(p.States())
	}(p.Spoken())
	select {
	case <-p.Spoken():
		t.Error("it has not said anything")
	default:
	}
	p.Learn(start, News{Elements: at("ab")})
	if n := <-done; n != 2 {
		t.Error(n)
	}
	<-p.Spoken()
	p.Learn(start, News{Elements: at("abc")})
}

package pool

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
)

// What is known of elements goes on in another process: who has failed, who is drained, whose turn it is, and who there is at all.
func TestFreeze(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 80) }
	elements := []Element{{Name: "a", Address: at(1)}, {Name: "b", Address: at(2), Paths: []netip.Addr{at(9).Addr()}, Weight: 3}, {Name: "c", Address: at(3)}}
	p := New("things", RoundRobin, elements)
	p.ChooseFor(now, Wish{})
	p.Failed(now, "b")
	p.Drain("c")
	p.Asks("a", [16]byte{1}, "it stops", "the association")
	state := p.Freeze([]byte("x"), now)[1:]

	empty, moved := New("things", RoundRobin, nil), New("things", RoundRobin, []Element{{Name: "c", Address: at(3), Weight: 7}, {Name: "b", Address: at(4)}})
	for _, q := range []*Pool{empty, moved} {
		if err := q.Thaw(state, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if q.Draining("c") != p.Draining("c") {
			t.Errorf("drained: %q", q.Draining("c"))
		}
	}
	if got := empty.States(); len(got) != 3 || !reflect.DeepEqual(got[1].Element, elements[1]) || got[1].Failures != 1 || empty.Draining("a") != "" { // it asks again on the next association, and only there could it take that back
		t.Errorf("%+v", got)
	}
	if got := moved.States(); len(got) != 2 || got[0].Weight != 7 || got[1].Failures != 0 {
		t.Errorf("another element of the same name: %+v", got)
	}
	state[len(state)/2] ^= 1
	if err := empty.Thaw(state, now); !errors.Is(err, freeze.Err) {
		t.Errorf("changed: %v", err)
	}
}

func FuzzThaw(f *testing.F) {
	now := time.Unix(1000, 0)
	p := New("things", RoundRobin, []Element{{Name: "a"}, {Name: "b"}})
	p.Failed(now, "a")
	p.Drain("b")
	f.Add(p.Freeze(nil, now))
	f.Fuzz(func(t *testing.T, state []byte) {
		state = append([]byte{}, state...)
		freeze.Sum(state)
		q := New("things", RoundRobin, nil)
		if err := q.Thaw(state, now); err != nil && !errors.Is(err, freeze.Err) {
			t.Fatal(err)
		}
		q.ChooseFor(now, Wish{})
	})
}

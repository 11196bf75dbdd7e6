package pool

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
)

// byLoad sorts by the least load, in place.
func byLoad(values []Values) []Values {
	slices.SortStableFunc(values, func(a, b Values) int { return cmp.Compare(a.Load, b.Load) })
	return values
}

// sortedBy is a pool of four with the application's policy.
func sortedBy(sort func([]Values) []Values) *Pool {
	return NewSorted("p", sort, []Element{{Name: "a", Load: 4, Weight: 1}, {Name: "b", Load: 3, Priority: 2}, {Name: "c", Load: 2}, {Name: "d", Load: 1, Degradation: 5}})
}

func TestSorted(t *testing.T) {
	p := sortedBy(byLoad)
	wants(t, p, "ddd")
	wantsList(t, p, 9, "dcba")
	p.Failed(start, "d")
	wants(t, p, "cc")
	retell(p, Element{Name: "a"})
	wants(t, p, "aa")
	if c, ok := p.ChooseFor(start, Wish{Not: func(name string) bool { return name == "a" }}); !ok || c.Name != "c" || c.Err != nil {
		t.Errorf("%+v", c)
	}
	for _, name := range []string{"a", "b", "c"} {
		p.Failed(start, name)
	}
	if got := choices(p, start.Add(LastPause), 5); got != "adcb-"[0:1]+"dcb-" {
		t.Errorf("all have failed, and each is tried: %s", got)
	}
	empty := NewSorted("p", func([]Values) []Values { panic("nothing to sort") }, nil)
	if c, ok := empty.ChooseFor(start, Wish{}); ok || c.Err != nil || c.Wait != LastPause {
		t.Errorf("%+v", c)
	}
}

// It sees the values, how often each was handed out, and only those that may be chosen.
func TestSortedSees(t *testing.T) {
	var seen [][]Values
	p := sortedBy(func(v []Values) []Values { seen = append(seen, slices.Clone(v)); return v })
	p.Failed(start, "c")
	if got := choices(p, start.Add(LastPause), 2); got != "aa" { // c might be tried again, if the others were not alive
		t.Error(got)
	}
	want := []Values{{Name: "a", Load: 4, Weight: 1, Given: 1}, {Name: "b", Load: 3, Priority: 2}, {Name: "d", Load: 1, Degradation: 5}}
	if len(seen) != 2 || !slices.Equal(seen[1], want) {
		t.Errorf("%+v", seen)
	}
}

// It may do what it likes: the choice is made, by round robin, and what was wrong is told. What it was given is a copy.
func TestSortedRubbish(t *testing.T) {
	for what, sort := range map[string]func([]Values) []Values{
		"it returned 0 elements of 4":                   func([]Values) []Values { return nil },
		"it returned 3 elements of 4":                   func(v []Values) []Values { return v[1:] },
		"it returned 5 elements of 4":                   func(v []Values) []Values { return append(v, v[0]) },
		`it returned "d"`:                               func(v []Values) []Values { return []Values{v[3], v[3], v[1], v[0]} },
		`it returned "x"`:                               func(v []Values) []Values { v[0].Name = "x"; return v },
		`it returned ""`:                                func([]Values) []Values { return make([]Values, 4) },
		`it returned "` + strings.Repeat("y", 99) + `"`: func(v []Values) []Values { v[2].Name = strings.Repeat("y", 1<<20); return v },
		"it panicked: boom":                             func([]Values) []Values { panic("boom") },
		"it panicked: runtime error: index":             func(v []Values) []Values { return v[len(v) : len(v)+100][:1] },
		"it panicked: " + strings.Repeat("z", 99):       func([]Values) []Values { panic(strings.Repeat("z", 1<<20)) },
		"it panicked: %!v(PANIC=String method: again)":  func([]Values) []Values { panic(angry{}) },
		"it panicked: runtime error: invalid memory":    nil,
	} {
		p := sortedBy(sort)
		var names string
		for range 5 {
			c, ok := p.ChooseFor(start, Wish{})
			names += c.Name
			if !ok || !errors.Is(c.Err, ErrPolicy) || len(c.Err.Error()) > 500 {
				t.Fatalf("%s: %t, %.1000v", what, ok, c.Err)
			}
			if got := c.Err.Error(); what != "it panicked: runtime error: index" && !strings.Contains(got, cut(what)) || !strings.Contains(got, `pool "p"`) {
				t.Errorf("%s: %s", what, got)
			}
		}
		if names != "abcda" {
			t.Errorf("%s: %s", what, names)
		}
		if elements, err := p.Resolve(start, 9); len(elements) != 4 || elements[0].Name != "b" || !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %+v, %v", what, elements, err)
		}
	}
}

// cut leaves out the end of a quoted name, which the message may cut elsewhere.
func cut(what string) string { return what[:min(len(what), 60)] }

// angry panics when it is told what it is.
type angry struct{}

func (angry) String() string { panic("again") }

// It may use the pool: no lock is held. What it does to the health of elements holds for the choice that it sorts for.
func TestSortedUsesThePool(t *testing.T) {
	var p *Pool
	p = sortedBy(func(v []Values) []Values {
		if p.States()[3].Failures == 0 {
			p.Failed(start, "d")
		}
		return byLoad(v)
	})
	wants(t, p, "cc")
	p = sortedBy(func(v []Values) []Values {
		for _, x := range v {
			p.Failed(start, x.Name)
		}
		return v
	})
	if c, ok := p.ChooseFor(start, Wish{}); ok || c.Wait != FirstPause {
		t.Errorf("%+v", c)
	}
}

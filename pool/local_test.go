package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// heard is what a follower and registrants were told, in order.
type heard struct {
	pool string   // the names of the elements, as told last
	said []string // of the registrants
}

func (h *heard) follow(l *Local, handle string) (stop func()) {
	return l.Follow(handle, func(n News) {
		var names []string
		for _, e := range n.Elements {
			names = append(names, e.Name+e.Mapping)
		}
		h.pool = strings.Join(names, " ")
		if n.Err != nil {
			h.pool = n.Err.Error()
		}
	})
}

// register registers an element; what it is told stands in said with the pool as it was then.
func (h *heard) register(t *testing.T, l *Local, r Registration) Registered {
	t.Helper()
	e, err := l.Register(r, func(err error) {
		word := "in"
		switch {
		case errors.Is(err, ErrDuplicate):
			word = "duplicate"
		case errors.Is(err, ErrInconsistent):
			word = "inconsistent"
		case err != nil:
			word = err.Error()
		}
		h.said = append(h.said, fmt.Sprintf("%s%s %s [%s]", r.Element.Name, r.Element.Mapping, word, h.pool))
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (h *heard) want(t *testing.T, pool string, said ...string) {
	t.Helper()
	if h.pool != pool {
		t.Errorf("the pool is %q, not %q", h.pool, pool)
	}
	if !slices.Equal(h.said, said) {
		t.Errorf("said was %q, not %q", h.said, said)
	}
	h.said = nil
}

func registration(name, by string) Registration {
	return Registration{Handle: "p", Element: Element{Name: name, Mapping: by}}
}

// Elements come and go; who is in another one's way keeps that one out as long as he is there; one name with two mappings is no matter.
func TestLocal(t *testing.T) {
	l, h := NewLocal(), &heard{}
	l.Set("p", RoundRobin, at("ab"))
	stop := h.follow(l, "p")
	h.want(t, "a b")
	c := h.register(t, l, registration("c", "tcp"))
	h.want(t, "a b ctcp", "ctcp in [a b ctcp]")
	c2 := h.register(t, l, registration("c", "tcp"))
	h.register(t, l, registration("c", "sctp"))
	h.register(t, l, registration("a", ""))
	h.want(t, "a b ctcp csctp", "ctcp duplicate [a b ctcp]", "csctp in [a b ctcp csctp]", "a duplicate [a b ctcp csctp]")
	if err := c.Deregister(context.Background()); err != nil {
		t.Error(err)
	}
	h.want(t, "a b ctcp csctp", "ctcp in [a b ctcp csctp]") // of the second one: the first is told nothing any more
	for range 2 {
		if err := errors.Join(c.Deregister(context.Background()), c2.Deregister(context.Background())); err != nil {
			t.Error(err)
		}
	}
	h.want(t, "a b csctp")
	l.Set("p", RoundRobin, at("b")) // the configuration was read anew
	h.want(t, "b csctp a", "a in [b csctp a]")
	l.Set("p", Random, at("bc"))
	h.want(t, "b c", "csctp inconsistent [b c]", "a inconsistent [b c]")
	l.Set("p", RoundRobin, nil)
	h.want(t, "csctp a", "csctp in [csctp a]", "a in [csctp a]")
	stop()
	stop()
	l.Set("p", RoundRobin, at("xyz"))
	h.want(t, "csctp a")
}

// New values are a new registration, and so is a registration with the same ones: the counter of RFC 5356 §5.2.2 begins anew.
func TestLocalRevalue(t *testing.T) {
	l, told := NewLocal(), []Element(nil)
	l.Set("p", LeastUsed, nil)
	l.Follow("p", func(n News) { told = n.Elements })
	r, err := l.Register(Registration{Handle: "p", Policy: LeastUsed, Element: Element{Name: "a", Load: 1}}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	before := told[0].Revision
	r.Revalue(Element{Name: "other", Load: 7, Weight: 2})
	if e := told[0]; e.Name != "a" || e.Load != 7 || e.Weight != 2 || e.Revision <= before {
		t.Errorf("%+v", e)
	}
	if err := r.Deregister(t.Context()); err != nil || len(told) != 0 {
		t.Error(err, told)
	}
	r.Revalue(Element{Load: 8})
	if len(told) != 0 {
		t.Error("an element that was deregistered has come back")
	}
}

func TestLocalUnknownPool(t *testing.T) {
	l, h := NewLocal(), &heard{}
	h.follow(l, "p")()
	if !strings.Contains(h.pool, `unknown pool`) {
		t.Error(h.pool)
	}
	if _, err := l.Register(registration("a", ""), func(error) { t.Error("told") }); !errors.Is(err, ErrUnknownPool) {
		t.Error(err)
	}
	if err := l.Refresh(t.Context(), "p"); !errors.Is(err, ErrUnknownPool) {
		t.Error(err)
	}
	l.Set("p", RoundRobin, nil)
	if err := l.Refresh(t.Context(), "p"); err != nil {
		t.Error(err)
	}
}

// Many goroutines register and deregister; followers see whole states, and the last one is the right one.
func TestLocalAtOnce(t *testing.T) {
	l := NewLocal()
	l.Set("p", RoundRobin, at("a"))
	last := 0
	stop := l.Follow("p", func(n News) { last = len(n.Elements) })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 50 {
				e, err := l.Register(registration(fmt.Sprintf("%d.%d", i, k), ""), func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Error(err)
					return
				}
				e.Revalue(Element{Weight: 2})
				if k%2 == 0 {
					_ = e.Deregister(context.Background()) // never an error
				}
			}
		})
	}
	all.Wait()
	stop()
	if last != 1+8*25 {
		t.Error(last)
	}
}

// Thousands come and go: what a change costs does not depend on how many others are registered, but for the list that is told.
func BenchmarkLocal(b *testing.B) {
	l := NewLocal()
	l.Set("p", RoundRobin, nil)
	l.Follow("p", func(News) {})
	for i := range 4096 {
		if _, err := l.Register(registration(fmt.Sprint(i), "tcp"), func(error) {}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		e, err := l.Register(registration("x", "tcp"), func(error) {})
		if err != nil {
			b.Fatal(err)
		}
		_ = e.Deregister(b.Context())
	}
}

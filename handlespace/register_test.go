package handlespace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/poolproxy/poolproxy/pool"
)

func registration(handle, name string) pool.Registration {
	return pool.Registration{Handle: handle, Element: pool.Element{Name: name, Weight: 1, Address: netip.MustParseAddrPort("10.0.0.9:7001")}}
}

func TestRegister(t *testing.T) {
	r := newRig(t)
	r.source.told = []error{nil}
	ids := map[string]bool{}
	for _, name := range []string{"b", "a", "c"} {
		id, err := r.Register(t.Context(), registration("p", name))
		if err != nil || len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" || ids[id] {
			t.Fatalf("%q %v", id, err)
		}
		ids[id] = true
		r.clock.pass(time.Second)
	}
	all := r.Registrations()
	if len(all) != 3 || all[0].Element.Name != "a" || all[0].Element.Mapping != "tcp" || all[0].Source != "play.x" || !all[0].Since.Equal(start.Add(time.Second)) || all[0].Err != nil || !ids[all[0].ID] {
		t.Errorf("%+v", all)
	}
	lost := errors.New("lost")
	r.source.registered[1].told(lost) // that is a
	if all := r.Registrations(); !errors.Is(all[0].Err, lost) || all[1].Err != nil {
		t.Errorf("%+v", all)
	}
	r.source.registered[1].told(nil)
	was, err := r.Deregister(t.Context(), all[0].ID)
	if err != nil || was.Element.Name != "a" || r.Registrations()[0].Err != nil {
		t.Error(was, err)
	}
	if got := strings.Join(r.source.left(), " "); got != "b c" {
		t.Error(got)
	}
	for _, id := range []string{all[0].ID, "", "x", strings.Repeat("x", 1<<20), "\x1b[2J"} {
		if _, err := r.Deregister(t.Context(), id); !errors.Is(err, ErrUnknownID) || len(err.Error()) > 200 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%.20q: %v", id, err)
		}
	}
	if err := r.Close(t.Context()); err != nil || len(r.source.left()) != 0 || len(r.Registrations()) != 0 {
		t.Error(err, r.source.left())
	}
	if _, err := r.Register(t.Context(), registration("p", "late")); !errors.Is(err, ErrClosed) || len(r.source.left()) != 0 {
		t.Error(err, r.source.left())
	}
}

// Whatever goes wrong, nothing is left behind, and the error says which kind it is.
func TestRegisterErrors(t *testing.T) {
	r := newRig(t)
	duplicate := fmt.Errorf("element a: %w", pool.ErrDuplicate)
	inconsistent := fmt.Errorf("the first element has random: %w", pool.ErrInconsistent)
	for _, c := range []struct {
		name  string
		told  []error
		never error
		is    error
		says  string
	}{
		{"duplicate", []error{duplicate}, nil, pool.ErrDuplicate, "play.x"},
		{"duplicate, and then it is gone", []error{duplicate, nil}, nil, pool.ErrDuplicate, "play.x"},
		{"inconsistent", []error{inconsistent}, nil, pool.ErrInconsistent, "has random"},
		{"down", []error{errors.New("no route")}, nil, pool.ErrSourceDown, "no route"},
		{"down, as it says itself", []error{fmt.Errorf("etcd: %w", pool.ErrSourceDown)}, nil, pool.ErrSourceDown, "etcd"},
		{"it says nothing", nil, nil, pool.ErrSourceDown, "has not answered in time"},
		{"it can never be", nil, errors.New("the name is too long for ASAP"), ErrInvalid, "too long for ASAP"},
		{"it says that it can never be", nil, inconsistent, pool.ErrInconsistent, "has random"},
	} {
		r.source.told, r.source.never = c.told, c.never
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		id, err := r.Register(ctx, registration("p", "a"))
		cancel()
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || id != "" {
			t.Errorf("%s: %q %v", c.name, id, err)
		}
		if errors.Is(err, pool.ErrSourceDown) != (c.is == pool.ErrSourceDown) {
			t.Errorf("%s: is the source down? %v", c.name, err)
		}
		if left := r.source.left(); len(left) > 0 || len(r.Registrations()) > 0 {
			t.Errorf("%s: %q is left", c.name, left)
		}
	}
	r.source.never = nil
	if _, err := r.Register(t.Context(), registration("x", "a")); !errors.Is(err, pool.ErrUnknownPool) {
		t.Error(err)
	}
	if _, err := r.Register(t.Context(), registration("s", "a")); !errors.Is(err, ErrNoRegistry) || !strings.Contains(err.Error(), `pool "s" takes no registrations`) {
		t.Error(err)
	}
}

// What cannot be is refused before a source is bothered.
func TestRegisterInvalid(t *testing.T) {
	r := newRig(t)
	r.source.told = []error{nil}
	local := pool.NewLocal()
	local.Set("l", pool.RoundRobin, nil)
	r.Share(Pool{Pool: pool.New("l", pool.RoundRobin, nil), Source: local, Mapping: "none"})
	for name, change := range map[string]func(*pool.Registration){
		"no name":            func(x *pool.Registration) { x.Element.Name = "" },
		"a long name":        func(x *pool.Registration) { x.Element.Name = strings.Repeat("x", MaxName+1) },
		"a name that moves":  func(x *pool.Registration) { x.Element.Name = "a\x1b[2J" },
		"a new line in it":   func(x *pool.Registration) { x.Element.Name = "a\nb" },
		"text run backwards": func(x *pool.Registration) { x.Element.Name = "a\u202eb" },
		"not UTF-8":          func(x *pool.Registration) { x.Element.Name = "a\xff" },
		"no address":         func(x *pool.Registration) { x.Element.Address = netip.AddrPort{} },
		"no port":            func(x *pool.Registration) { x.Element.Address = netip.MustParseAddrPort("10.0.0.1:0") },
		"any address":        func(x *pool.Registration) { x.Element.Address = netip.MustParseAddrPort("[::]:1") },
		"a group":            func(x *pool.Registration) { x.Element.Address = netip.MustParseAddrPort("224.0.0.1:1") },
		"a mapping":          func(x *pool.Registration) { x.Element.Mapping = "udp" },
		"too many paths":     func(x *pool.Registration) { x.Element.Paths = make([]netip.Addr, mostPaths+1) },
		"nobody reaches it":  func(x *pool.Registration) { x.Handle, x.Element.Mapping = "l", "sctp" },
	} {
		x := registration("p", "a")
		change(&x)
		if _, err := r.Register(t.Context(), x); !errors.Is(err, ErrInvalid) || len(err.Error()) > 400 || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x1b\n\u202e") {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := registration("p", strings.Repeat("ü", MaxName/2))
	x.Policy = pool.Random
	if _, err := r.Register(t.Context(), x); !errors.Is(err, pool.ErrInconsistent) || !strings.Contains(err.Error(), "round_robin") {
		t.Error(err)
	}
	if len(r.source.registered) > 0 {
		t.Errorf("the source was asked: %+v", r.source.registered)
	}
	x.Policy, x.Element.Mapping = pool.RoundRobin, "sctp" // an element may be reached by several, and be registered for each
	if _, err := r.Register(t.Context(), x); err != nil {
		t.Error(err)
	}
}

// If others cannot be told that an element is gone it is not kept registered all the same, and its id has had its day.
func TestDeregisterWithoutSource(t *testing.T) {
	r := newRig(t)
	r.source.told, r.source.leave = []error{nil}, errors.New("no route")
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		id, err := r.Register(t.Context(), registration("p", name))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	was, err := r.Deregister(t.Context(), ids[0])
	if !errors.Is(err, pool.ErrSourceDown) || !strings.Contains(err.Error(), "lease") || was.Element.Name != "a" {
		t.Error(was, err)
	}
	if _, err := r.Deregister(t.Context(), ids[0]); !errors.Is(err, ErrUnknownID) {
		t.Error(err)
	}
	if err := r.Close(t.Context()); !errors.Is(err, pool.ErrSourceDown) || !strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), `"c"`) {
		t.Error(err)
	}
	for _, e := range r.source.registered {
		if e.gone != 1 {
			t.Errorf("%s was deregistered %d times", e.r.Element.Name, e.gone)
		}
	}
}

// A registration that is under way when the handlespace is closed is undone.
func TestCloseDuringRegister(t *testing.T) {
	r := newRig(t)
	r.source.asked = make(chan *playedElement, 1)
	done := make(chan error)
	go func() {
		_, err := r.Register(t.Context(), registration("p", "a"))
		done <- err
	}()
	e := <-r.source.asked
	if len(r.Registrations()) != 0 {
		t.Error("it is shown before it stands")
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	e.told(nil)
	if err := <-done; !errors.Is(err, ErrClosed) || len(r.source.left()) != 0 {
		t.Error(err, r.source.left())
	}
}

func TestTooMany(t *testing.T) {
	r := newRig(t)
	r.source.told = []error{nil}
	for i := range MaxRegistrations {
		if _, err := r.Register(t.Context(), registration("p", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Register(t.Context(), registration("p", "x")); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if _, err := r.Deregister(t.Context(), r.Registrations()[0].ID); err != nil {
		t.Error(err)
	}
	if _, err := r.Register(t.Context(), registration("p", "x")); err != nil {
		t.Error(err)
	}
}

// All at once, from many goroutines: nobody is named who has never been there, and in the end only those are that are registered.
func TestAtOnce(t *testing.T) {
	h, local, p := New(time.Now), pool.NewLocal(), pool.New("l", pool.RoundRobin, nil)
	local.Set("l", pool.RoundRobin, elements("a"))
	h.Follow(Pool{Pool: p, Source: local})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 50 {
				id, err := h.Register(t.Context(), registration("l", fmt.Sprintf("%d.%d", i, k)))
				if err != nil {
					t.Error(err)
					return
				}
				s, err := h.PrimaryServer(t.Context(), "l")
				if err != nil || s.Name == "" {
					t.Error(s, err)
				}
				if next, err := h.NextServer(t.Context(), "l", s.Name, k%2 == 0); err != nil || next.Name == s.Name {
					t.Error("the same again: ", next, err) // a and our own are always there
				}
				_ = h.Registrations()
				if _, err := h.Deregister(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if states := p.States(); len(states) != 1 || states[0].Name != "a" || len(h.Registrations()) != 0 {
		t.Errorf("%+v", states)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// With thousands of registrations shards are not asked once for each while the process stops.
func TestCloseLearnsOnce(t *testing.T) {
	r, learned := newRig(t), 0
	r.source.told = []error{nil}
	r.Share(Pool{Pool: pool.New("q", pool.RoundRobin, nil), Source: r.source, SourceName: "play.x", Learned: func() { learned++ }})
	for i := range 100 {
		if _, err := r.Register(t.Context(), registration("q", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	learned = 0
	if err := r.Close(t.Context()); err != nil || learned != 1 || len(r.source.left()) > 0 {
		t.Error(err, learned, r.source.left())
	}
}

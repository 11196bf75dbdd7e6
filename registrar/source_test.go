package registrar

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
)

// office is a desk on a loop of its own, at loopback.
type office struct {
	*desk
	at netip.AddrPort
}

func openOffice(t *testing.T) *office {
	t.Helper()
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	opened, ended := make(chan *office, 1), make(chan bool)
	l.Post(func() {
		d, listener := newDesk(t, l, netip.MustParseAddrPort("127.0.0.1:0"))
		opened <- &office{d, listener.Addr()}
	})
	go func() { // ends with the test, which waits for it
		l.Run()
		close(ended)
	}()
	t.Cleanup(func() { l.Stop(); <-ended })
	return <-opened
}

// ask returns what f says on the office's loop.
func ask[T any](o *office, f func() T) T {
	said := make(chan T)
	o.loop.Post(func() { said <- f() })
	return <-said
}

func newSource(t *testing.T, at netip.AddrPort) *Source {
	t.Helper()
	s, err := New(Config{Registrars: []netip.AddrPort{at}, Dialect: asap.RSPLIB(), Transport: overTCP{}, Interval: time.Hour,
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Times: Times{T5: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// soon returns what comes, within 30 s.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("not within 30 s: %s", what)
		panic("unreachable")
	}
}

// The whole of a Source, from other goroutines, over real sockets.
func TestSource(t *testing.T) {
	o := openOffice(t)
	s := newSource(t, o.at)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Refresh(ctx, "orders"); !errors.Is(err, pool.ErrUnknownPool) {
		t.Fatalf("refresh: %v", err)
	}
	standings, news := make(chan error, 10), make(chan pool.News, 100)
	registered, err := s.Register(ours, func(err error) { standings <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "registered", standings); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(ours, func(error) {}); !errors.Is(err, pool.ErrDuplicate) {
		t.Errorf("twice: %v", err)
	}
	stop := s.Follow("orders", func(n pool.News) { news <- n })
	if n := soon(t, "news", news); n.Err != nil || len(n.Elements) != 1 || n.Elements[0].Address != ours.Element.Address {
		t.Errorf("%+v", n)
	}
	s.Report("orders", pool.Element{Name: "0x00000007"})
	soon(t, "news behind the report", news)
	if got := ask(o, func() []asap.PEIdentifier { return o.reports }); len(got) != 1 || got[0] != 7 {
		t.Errorf("reported: %v", got)
	}
	if err := s.Refresh(ctx, "orders"); err != nil {
		t.Errorf("refresh: %v", err)
	}
	soon(t, "the followers of what was refreshed", news)
	stop()
	stop()
	if err := registered.Deregister(ctx); err != nil {
		t.Error(err)
	}
	if err := registered.Deregister(ctx); err != nil {
		t.Error(err)
	}
	if n := ask(o, func() int { return len(o.elements) }); n > 0 {
		t.Errorf("%d elements are left", n)
	}
	if s.run != nil {
		t.Error("it runs, and nobody needs it")
	}
	if len(standings)+len(news) > 0 {
		t.Errorf("%d standings and %d news came afterwards", len(standings), len(news))
	}
	if err := s.Refresh(ctx, "orders"); !errors.Is(err, pool.ErrUnknownPool) { // it runs again
		t.Errorf("refresh: %v", err)
	}
}

// Nobody is there: what is asked for ends with its context.
func TestSourceAlone(t *testing.T) {
	s := newSource(t, netip.MustParseAddrPort("127.0.0.1:1")) // nobody listens there
	if err := s.Refresh(context.Background(), "orders"); !errors.Is(err, pool.ErrSourceDown) {
		t.Errorf("refresh: %v", err)
	}
	standings := make(chan error, 10)
	r, err := s.Register(ours, func(err error) { standings <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "told", standings); !errors.Is(err, pool.ErrSourceDown) {
		t.Errorf("told %v", err)
	}
	r.Revalue(pool.Element{})
	if err := r.Deregister(context.Background()); err != nil { // nobody knows of it
		t.Error(err)
	}
	if _, err := s.Register(pool.Registration{}, nil); err == nil {
		t.Error("nothing can be registered")
	}
	s.Report("orders", ours.Element)
	var told pool.News
	s.Follow("a name of more than thirty-two bytes", func(n pool.News) { told = n })()
	if told.Err == nil || s.Refresh(context.Background(), "") == nil {
		t.Error("a handle that cannot be is asked for")
	}
}

// enrol registers our element and returns when it is.
func enrol(t *testing.T, s *Source) pool.Registered {
	t.Helper()
	standings := make(chan error, 10)
	r, err := s.Register(ours, func(err error) { standings <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "registered", standings); err != nil {
		t.Fatal(err)
	}
	return r
}

// A registrar that says nothing: a deregistration ends with its context, and the registration with its life.
func TestDeregisterBounded(t *testing.T) {
	o := openOffice(t)
	s := newSource(t, o.at)
	r := enrol(t, s)
	ask(o, func() bool { o.silent = true; return true })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Deregister(ctx); !errors.Is(err, pool.ErrSourceDown) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s.run != nil {
		t.Error("it runs, and nobody needs it")
	}
}

// Configurations that cannot be.
func TestNew(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:3863")
	for _, c := range []Config{{}, {Registrars: []netip.AddrPort{{}}}, {Registrars: []netip.AddrPort{at, at}},
		{Registrars: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:3863")}}, {Registrars: []netip.AddrPort{at}, Life: time.Minute, Times: Times{T4: time.Minute}}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}

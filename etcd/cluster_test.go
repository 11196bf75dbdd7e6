//go:build unix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
)

// What one registers others see, with all that belongs to it; what is deregistered they see go.
func TestRegisterFollow(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	here, there := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, there, "or/ders")
	etcdtest.WaitFor(t, "an empty pool is told", func() bool { return len(h.all()) > 0 && h.all()[0].Err == nil })

	r := registrationOf("or/ders", "a b/ü", 1)
	r.Element.Paths = append(r.Element.Paths, registrationOf("", "", 2).Element.Address.Addr())
	r.Element.Priority, r.Element.Load, r.Element.Degradation = 5, 1<<32-1, 7
	begun := time.Now()
	g, _ := register(t, here, r)
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a b/ü" })
	within(t, "to be known", begun, time.Second)
	_, known := h.last()
	got := known[0]
	if got.Revision == 0 {
		t.Error("it has no revision")
	}
	first := got.Revision
	got.Revision = 0
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", r.Element) {
		t.Errorf("%+v, not %+v", got, r.Element)
	}

	direct := r
	direct.Element.Mapping = "none"
	register(t, here, direct) // the same by another mapping
	etcdtest.WaitFor(t, "both mappings", func() bool { return h.names() == "a b/ü a b/ü" })

	changed := r.Element
	changed.Load, changed.Address, changed.Name = 9, direct.Element.Address, "another"
	g.Revalue(changed)
	etcdtest.WaitFor(t, "the new load", func() bool { _, known := h.last(); return known[0].Load == 9 })
	if _, known = h.last(); known[0].Revision <= first || known[0].Name != "a b/ü" || known[0].Address != r.Element.Address {
		t.Errorf("%+v", known[0])
	}

	if err := g.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Deregister(t.Context()); err != nil {
		t.Error("again:", err)
	}
	etcdtest.WaitFor(t, "it is gone", func() bool { _, known := h.last(); return len(known) == 1 && known[0].Mapping == "none" })
}

// An element whose registrant dies is gone within the lease.
func TestGoneWithinLease(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	here, there := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, there, "orders")
	_, st := register(t, here, registrationOf("orders", "a", 1))
	register(t, there, registrationOf("orders", "b", 2))
	etcdtest.WaitFor(t, "both", func() bool { return h.names() == "a b" })
	here.Close() // which revokes nothing, like a death
	begun := time.Now()
	etcdtest.WaitFor(t, "it is gone", func() bool { return h.names() == "b" })
	within(t, "to be gone", begun, testLease)
	if n, err := st.now(); n != 1 || err != nil {
		t.Errorf("%d tellings, the last: %v", n, err)
	}
	etcdtest.WaitFor(t, "the policy stays known", func() bool {
		r, err := raw(t, c).Get(t.Context(), "/test/pools/orders/policy")
		return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "weighted_round_robin"
	})
}

// A member dies, then the leader: nobody loses an element, and what changes is known.
func TestMembersDie(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	here, there := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, there, "orders")
	for i := range 20 {
		begin(t, here, registrationOf("orders", fmt.Sprintf("e%02d", i), i+1))
	}
	etcdtest.WaitFor(t, "all elements", func() bool { _, known := h.last(); return len(known) == 20 })
	before := len(h.all())

	follower := c.Members[(slices.Index(c.Members, c.Leader())+1)%3]
	for i, m := range []*etcdtest.Member{follower, c.Leader()} {
		m.Kill()
		begun := time.Now()
		name := fmt.Sprintf("new%d", i)
		begin(t, here, registrationOf("orders", name, 100+i))
		etcdtest.WaitFor(t, "a registration without "+m.Name, func() bool { return strings.Contains(h.names(), name) })
		within(t, "a registration without "+m.Name, begun, testLease)
		outlive(t, slices.DeleteFunc(c.Endpoints(), func(e string) bool { return e == m.Endpoint })...)
		c.Restart()
	}
	for _, n := range h.all()[before:] {
		if n.Err == nil && len(n.Elements) < 20 {
			t.Errorf("an element was lost: %s", namesOf(n.Elements))
		}
	}
	if h.names() == "" || len(strings.Fields(h.names())) != 22 {
		t.Errorf("in the end: %s", h.names())
	}
}

// outlive waits until a lease that nobody keeps alive, and which began now, has ended: so would those of elements that were neglected.
func outlive(t testing.TB, endpoints ...string) {
	t.Helper()
	client := etcdtest.Client(t, endpoints...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lease, err := client.Grant(ctx, int64(testLease/time.Second))
	if err != nil {
		t.Fatal(err)
	}
	put, err := client.Put(ctx, "/neglected", "", clientv3.WithLease(lease.ID))
	if err != nil {
		t.Fatal(err)
	}
	for r := range client.Watch(ctx, "/neglected", clientv3.WithRev(put.Header.Revision+1)) {
		if len(r.Events) > 0 {
			return
		}
	}
	t.Fatal("no lease has ended in a minute")
}

// All members die, and come back with what they knew. Nobody loses an element, meanwhile it is told that there is nobody to ask, and after
// the return registrations are complete within one lease: old ones, and one that was begun in between.
func TestAllDie(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	here, there := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, there, "orders")
	var standings []*standing
	for i := range 5 {
		_, st := register(t, here, registrationOf("orders", fmt.Sprintf("e%d", i), i+1))
		standings = append(standings, st)
	}
	const five = "e0 e1 e2 e3 e4"
	etcdtest.WaitFor(t, "all elements", func() bool { return h.names() == five })
	before := len(h.all())
	c.Kill()
	_, late := begin(t, here, registrationOf("orders", "late", 9))
	down := func(err error) bool { return errors.Is(err, pool.ErrSourceDown) }
	etcdtest.WaitFor(t, "everybody says so", func() bool {
		n, _ := h.last()
		return down(n.Err) && late.is(pool.ErrSourceDown)() && !slices.ContainsFunc(standings, func(s *standing) bool { return !s.is(pool.ErrSourceDown)() })
	})
	n, _ := h.last()
	t.Log(n.Err)
	if !strings.Contains(n.Err.Error(), "connection refused") || !strings.Contains(n.Err.Error(), c.Members[1].Endpoint) {
		t.Errorf("the error does not say what is wrong: %v", n.Err)
	}
	if err := there.Refresh(t.Context(), "orders"); !down(err) {
		t.Error("a refresh:", err)
	}
	<-time.After(testLease) // so long nobody answers: leases would be over if anybody counted
	if h.names() != five {
		t.Errorf("known now: %s", h.names())
	}
	c.Restart()
	begun := time.Now()
	etcdtest.WaitFor(t, "all are registered", func() bool {
		n, _ := h.last()
		return n.Err == nil && h.names() == five+" late" && late.is(nil)() && !slices.ContainsFunc(standings, func(s *standing) bool { return !s.is(nil)() })
	})
	within(t, "registrations after the return", begun, testLease)
	for _, n := range h.all()[before:] {
		if n.Err == nil && len(n.Elements) < 5 {
			t.Errorf("an element was lost: %s", namesOf(n.Elements))
		}
	}
	for _, st := range standings { // more where the cluster has lost its leader again: a loaded machine does that
		if n, _ := st.now(); n < 3 {
			t.Errorf("%d tellings: registered, down, registered are three: %v", n, st.told)
		}
	}
	if err := there.Refresh(t.Context(), "orders"); err != nil {
		t.Error(err)
	}
}

// A cluster that is built anew knows nothing: everybody registers again, and who follows is told.
func TestClusterAnew(t *testing.T) {
	t.Parallel()
	old, anew := etcdtest.Start(t, 1), etcdtest.Start(t, 1)
	s := source(t, append(old.Endpoints(), anew.Endpoints()...))
	if err := s.Refresh(t.Context(), "orders"); err == nil || !strings.Contains(err.Error(), "different clusters") || !strings.Contains(err.Error(), anew.Endpoints()[0]) {
		t.Fatal("endpoints of two clusters:", err)
	}
	anew.Kill()
	h := follow(t, s, "orders")
	_, st := register(t, s, registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a" })
	old.Kill()
	etcdtest.WaitFor(t, "nobody answers", st.is(pool.ErrSourceDown))
	anew.Restart()
	etcdtest.WaitFor(t, "it is registered anew", st.is(nil))
	etcdtest.WaitFor(t, "it is told anew", func() bool { n, _ := h.last(); return n.Err == nil && h.names() == "a" })
	r, err := raw(t, anew).Get(t.Context(), "/test/", clientv3.WithPrefix())
	if err != nil || len(r.Kvs) != 2 {
		t.Error(err, r)
	}
}

// One member of three falls silent, which its kernel hides: the one that keeps the leases alive, and some followers' as well.
// Everybody goes on, and no lease ends, even though that member's answers are waited for as long as the lease lasts in etcd.
func TestSilentMember(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	here := sourceOf(t, Config{Endpoints: c.Endpoints(), Lease: testLease, Timeout: testLease - margin})
	var followers []*heard
	for range 4 {
		followers = append(followers, follow(t, source(t, c.Endpoints()), "orders"))
	}
	for i := range 5 {
		register(t, here, registrationOf("orders", fmt.Sprintf("e%d", i), i+1))
	}
	know := func(n int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(followers, func(h *heard) bool { _, known := h.last(); return len(known) != n })
		}
	}
	etcdtest.WaitFor(t, "all elements", know(5))
	m := c.Members[slices.Index(c.Endpoints(), keptAt(t, here))]
	m.Freeze()
	defer m.Thaw()
	outlive(t, slices.DeleteFunc(c.Endpoints(), func(e string) bool { return e == m.Endpoint })...)
	begun := time.Now()
	begin(t, source(t, c.Endpoints()), registrationOf("orders", "late", 9))
	etcdtest.WaitFor(t, "a new one", know(6)) // within CheckEvery, and some requests that the silent member has cost
	t.Logf("a registration took %v", time.Since(begun).Round(time.Millisecond))
	for _, h := range followers {
		all := false
		for _, n := range h.all() {
			if n.Err == nil && len(n.Elements) < 5 && all {
				t.Errorf("an element was lost: %s", namesOf(n.Elements))
			}
			all = all || len(n.Elements) >= 5
		}
	}
}

// keptAt is the endpoint of the member that keeps the leases of a source alive.
func keptAt(t testing.TB, s *Source) string {
	t.Helper()
	var at string
	etcdtest.WaitFor(t, "a lease is kept", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conn.leases.mu.Lock()
		defer s.conn.leases.mu.Unlock()
		if stream := s.conn.leases.stream; stream != nil {
			at = stream.member
		}
		return at != ""
	})
	return at
}

// All fall silent: that is an error in time, and not for ever.
func TestSilentCluster(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 3)
	s := source(t, c.Endpoints())
	h := follow(t, s, "orders")
	g, st := register(t, s, registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a" })
	for _, m := range c.Members {
		m.Freeze()
		defer m.Thaw()
	}
	begun := time.Now()
	if err := source(t, c.Endpoints()).Refresh(t.Context(), "orders"); !errors.Is(err, pool.ErrSourceDown) || !strings.Contains(err.Error(), "no answer") {
		t.Error(err)
	}
	within(t, "a refresh of somebody new", begun, 2*testTimeout+time.Second)
	etcdtest.WaitFor(t, "all know", func() bool {
		n, _ := h.last()
		return errors.Is(n.Err, pool.ErrSourceDown) && st.is(pool.ErrSourceDown)()
	})
	within(t, "to notice", begun, CheckEvery+4*testTimeout+time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if err := g.Deregister(ctx); !errors.Is(err, pool.ErrSourceDown) || !strings.Contains(err.Error(), "lease") {
		t.Error("deregistered:", err)
	}
	if h.names() != "a" {
		t.Errorf("known: %q", h.names())
	}
}

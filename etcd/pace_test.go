//go:build unix

package etcd

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
)

// Who begins anew at an address that is mapped into IPv6 is who was there before.
func TestMappedAddress(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	first, second := source(t, c.Endpoints()), source(t, c.Endpoints())
	r := registrationOf("orders", "a", 1)
	r.Element.Address = netip.MustParseAddrPort("[::ffff:10.0.0.1]:7001")
	register(t, first, r)
	_, st := begin(t, second, r)
	etcdtest.WaitFor(t, "it is told", func() bool { n, _ := st.now(); return n > 0 })
	if _, err := st.now(); err != nil {
		t.Error(err)
	}
}

// Many who ask for the same pool at once get one answer together.
func TestRefreshTogether(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := source(t, c.Endpoints())
	h := follow(t, s, "orders")
	etcdtest.WaitFor(t, "it is followed", func() bool { return len(h.all()) > 0 })
	told := len(h.all())
	const many = 200
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			if err := s.Refresh(t.Context(), "orders"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(h.all()) - told; n > many/2 {
		t.Errorf("%d lists for %d who have asked at once", n, many)
	}
}

// Who has no more time is told that etcd has not answered.
func TestRefreshBounded(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := source(t, c.Endpoints())
	h := follow(t, s, "orders")
	etcdtest.WaitFor(t, "it is followed", func() bool { return len(h.all()) > 0 })
	c.Members[0].Freeze()
	defer c.Members[0].Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout/4)
	defer cancel()
	if err := s.Refresh(ctx, "orders"); !errors.Is(err, pool.ErrSourceDown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A report does not wait, least of all for a connection that is being closed: it comes from a loop with sessions.
func TestReportDoesNotWait(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := source(t, c.Endpoints())
	s.hold()
	defer s.release()
	conn, err := s.connected(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.leases.mu.Lock() // a stream is being begun, at a member that says nothing
	closed := make(chan bool)
	go func() { s.giveUp(conn); close(closed) }() // ends when the stream has been
	reported := make(chan bool)
	etcdtest.WaitFor(t, "it is given up", func() bool {
		if !s.mu.TryLock() {
			return true
		}
		defer s.mu.Unlock()
		return s.conn == nil
	})
	go func() { s.Report("orders", pool.Element{Name: "a"}); close(reported) }() // ends at once
	select {
	case <-reported:
	case <-time.After(slack):
		t.Error("it waits for a connection to be closed")
	}
	conn.leases.mu.Unlock()
	<-closed
	<-reported
}

// A lease of reports that has ended takes no report with it.
func TestReportLeaseEnded(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	here, there := source(t, c.Endpoints()), source(t, c.Endpoints())
	h := follow(t, there, "orders")
	etcdtest.WaitFor(t, "it is followed", func() bool { return len(h.all()) > 0 })
	here.hold()
	defer here.release()
	lease, _, err := here.grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := here.revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := here.sendReport(report{"orders", "a"}, &lease); err != nil {
		t.Fatal(err)
	}
	etcdtest.WaitFor(t, "the report", func() bool {
		for _, n := range h.all() {
			if len(n.Reported) == 1 && n.Reported[0] == "a" {
				return true
			}
		}
		return false
	})
}

// Handles and names may be any text of one line: each has a place of its own, and is told as it was.
func TestOddNames(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := source(t, c.Endpoints())
	odd := []string{"a", "a/b", "a%2Fb", "..", "a//", "é €\u2028", "a?x#y", "elements/a/tcp", strings.Repeat("/", mostName)}
	for i, name := range odd {
		h := follow(t, s, name)
		register(t, s, registrationOf(name, name, i+1))
		etcdtest.WaitFor(t, name+" is told", func() bool { return h.names() == name })
	}
	for _, handle := range odd {
		h := follow(t, s, handle)
		etcdtest.WaitFor(t, handle+" is told", func() bool { return len(h.all()) > 0 })
		if n, _ := h.last(); h.names() != handle || len(n.Left) > 0 {
			t.Errorf("pool %q has %q, left out: %v", handle, h.names(), n.Left)
		}
	}
}

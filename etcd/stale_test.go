//go:build unix

package etcd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
)

// What another registrant has written since it was looked is not written over: neither an element nor the policy of the pool.
func TestWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s, client := source(t, c.Endpoints()), raw(t, c)
	for _, meanwhile := range []string{"elements/a/tcp", policyKey} {
		handle := "orders-" + strings.ReplaceAll(meanwhile, "/", "-")
		g, err := newRegistration(s, registrationOf(handle, "a", 1), func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		defer s.release()
		now, err := g.see()
		lease, ttl, again := s.grant(t.Context())
		if err = errors.Join(err, again); err == nil {
			g.heart = s.begin(t.Context(), lease, ttl)
			defer g.heart.stop()
			_, err = client.Put(t.Context(), g.dir+meanwhile, "of another one")
		}
		if err == nil {
			err = g.put(now, g.want())
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.Get(t.Context(), g.dir, clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "of another one" {
			t.Error(meanwhile, err, r)
		}
	}
}

// A check finds out that something is not known, whatever the watch says, and not more often than that is so.
func TestCheck(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s, client := source(t, c.Endpoints()), raw(t, c)
	h := follow(t, s, "orders")
	register(t, s, registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a" })
	f := newFollower(t.Context(), s, "orders", func(pool.News) {})
	if err := f.look(); err != nil {
		t.Fatal(err)
	}
	answers := make(chan bool, 1)
	same := func() bool {
		f.check(t.Context(), f.sum(), answers)
		return <-answers
	}
	if !same() {
		t.Error("nothing has changed, and it was not the same")
	}
	key := f.dir + elementsDir + "b/tcp"
	for _, text := range []string{"new", "changed"} {
		if _, err := client.Put(t.Context(), key, text); err != nil {
			t.Fatal(err)
		}
		if same() {
			t.Error("not noticed:", text)
		}
		if err := f.look(); err != nil || !same() {
			t.Error("it is not the same behind a look", err)
		}
	}
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if same() {
		t.Error("not noticed: gone")
	}
}

// A member that does not answer has another one asked, once; what no member could do better is not asked twice.
func TestAskedTwice(t *testing.T) {
	t.Parallel()
	s := source(t, etcdtest.Start(t, 1).Endpoints())
	s.hold()
	defer s.release()
	for _, c := range []struct {
		err   error
		asked int
	}{{status.Error(codes.Unavailable, "gone"), 2}, {context.DeadlineExceeded, 2}, {errStream, 2}, {errors.New("no"), 1}, {nil, 1}} {
		asked := 0
		err := s.ask(t.Context(), "asking", func(context.Context, *connection) (*pb.ResponseHeader, error) { asked++; return nil, c.err })
		if asked != c.asked || (err == nil) != (c.err == nil) {
			t.Errorf("%v: asked %d times: %v", c.err, asked, err)
		}
	}
}

// An answer of another cluster than the one before is none: the connection is given up, and made anew.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	s := source(t, etcdtest.Start(t, 1).Endpoints())
	s.hold()
	defer s.release()
	var seen []*connection
	err := s.ask(t.Context(), "asking", func(_ context.Context, c *connection) (*pb.ResponseHeader, error) {
		seen = append(seen, c)
		if len(seen) == 1 {
			return &pb.ResponseHeader{ClusterId: c.cluster + 1}, nil
		}
		return &pb.ResponseHeader{ClusterId: c.cluster}, nil
	})
	if err != nil || len(seen) != 2 || seen[0] == seen[1] {
		t.Error(err, seen)
	}
}

// A registration that is taken back while etcd does not answer is taken back as soon as it does.
func TestDeregisterWhileDown(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, 1)
	s := sourceOf(t, Config{Endpoints: c.Endpoints(), Lease: time.Minute, Timeout: testTimeout}) // it tries for a lease, so long etcd may take to begin
	h := follow(t, source(t, c.Endpoints()), "orders")
	g, _ := register(t, s, registrationOf("orders", "a", 1))
	etcdtest.WaitFor(t, "it is told", func() bool { return h.names() == "a" })
	c.Kill()
	gone := make(chan error)
	go func() { gone <- g.Deregister(t.Context()) }() // it ends within the lease, and the test waits for it
	select {
	case err := <-gone:
		t.Fatal("it did not try again:", err)
	case <-time.After(testTimeout / 2):
	}
	c.Restart()
	if err := <-gone; err != nil {
		t.Error(err)
	}
	etcdtest.WaitFor(t, "it is gone", func() bool { _, known := h.last(); return len(known) == 0 })
}

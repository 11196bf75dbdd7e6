//go:build unix

package etcd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
)

// What the tests use. The lease is not the shortest that there is: it would end while a loaded machine lets nobody run for 1.3 s.
const (
	testLease   = 6 * time.Second
	testTimeout = DefaultTimeout
)

// slack is what a loaded machine may add to all that takes time.
const slack = 15 * time.Second

// TestMain has more tests at once than there are processors: most of them wait for a lease to end.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	m.Run()
}

// source makes one over the cluster, which is closed at the end.
func source(t testing.TB, endpoints []string) *Source {
	t.Helper()
	return sourceOf(t, Config{Endpoints: endpoints, Lease: testLease, Timeout: testTimeout})
}

func sourceOf(t testing.TB, c Config) *Source {
	t.Helper()
	c.Prefix = "/test"
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// heard collects what a follower is told.
type heard struct {
	mu    sync.Mutex
	news  []pool.News
	known []pool.Element // of the last News without an error
}

func (h *heard) tell(n pool.News) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news = append(h.news, n)
	if n.Err == nil {
		h.known = n.Elements
	}
}

func (h *heard) all() []pool.News {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.news)
}

// last is what was told last; known has the elements that a pool would have by now.
func (h *heard) last() (n pool.News, known []pool.Element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.news) > 0 {
		n = h.news[len(h.news)-1]
	}
	return n, h.known
}

// names are those of the elements that are known.
func (h *heard) names() string {
	_, known := h.last()
	return namesOf(known)
}

func namesOf(elements []pool.Element) string {
	var names []string
	for _, e := range elements {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

// follow follows until the end of the test.
func follow(t testing.TB, s *Source, handle string) *heard {
	t.Helper()
	h := &heard{}
	stop := s.Follow(handle, h.tell)
	t.Cleanup(stop)
	return h
}

// standing collects how a registration stands.
type standing struct {
	mu   sync.Mutex
	told []error
}

func (s *standing) tell(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, err)
}

// now is how it stands.
func (s *standing) now() (told int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) == 0 {
		return 0, errors.New("nothing was told")
	}
	return len(s.told), s.told[len(s.told)-1]
}

// is reports whether it stands like this: nil for registered.
func (s *standing) is(want error) func() bool {
	return func() bool {
		n, err := s.now()
		return n > 0 && (want == nil && err == nil || want != nil && errors.Is(err, want))
	}
}

// registration makes one of element name at the n-th address.
func registrationOf(handle, name string, n int) pool.Registration {
	return pool.Registration{Handle: handle, Policy: pool.WeightedRoundRobin, Element: pool.Element{
		Name: name, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 7001), Mapping: "tcp", Weight: uint32(n)}}
}

// register registers, and waits until that is done. The end of the test deregisters.
func register(t testing.TB, s *Source, r pool.Registration) (pool.Registered, *standing) {
	t.Helper()
	g, st := begin(t, s, r)
	etcdtest.WaitFor(t, r.Element.Name+" is registered", st.is(nil))
	return g, st
}

// begin registers, and waits for nothing.
func begin(t testing.TB, s *Source, r pool.Registration) (pool.Registered, *standing) {
	t.Helper()
	st := &standing{}
	g, err := s.Register(r, st.tell)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		_ = g.Deregister(ctx) // etcd may be gone by now
	})
	return g, st
}

// raw is a client for what only others do.
func raw(t testing.TB, c *etcdtest.Cluster) *clientv3.Client {
	t.Helper()
	client := etcdtest.Client(t, c.Endpoints()...)
	t.Cleanup(func() { client.Close() })
	return client
}

// within fails the test if it took longer than most, and so much longer that it is not for the machine's load.
func within(t testing.TB, what string, begun time.Time, most time.Duration) {
	t.Helper()
	took := time.Since(begun)
	if took > most+slack {
		t.Errorf("%s took %v, more than %v, and than a loaded machine makes of that", what, took, most)
	}
	t.Logf("%s took %v", what, took.Round(time.Millisecond))
}

// noGoroutinesLeft compares at the end of the test, behind all cleanups that come later.
func noGoroutinesLeft(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		defer func() {
			if t.Failed() {
				stacks := make([]byte, 1<<20)
				t.Logf("%s", stacks[:runtime.Stack(stacks, true)])
			}
		}()
		etcdtest.WaitFor(t, fmt.Sprintf("at most %d goroutines", before), func() bool { return runtime.NumGoroutine() <= before })
	})
}

package etcdtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Seen is what becomes of keys.
type Seen struct {
	client  *clientv3.Client
	part    string
	mu      sync.Mutex
	there   bool // guarded by mu
	deletes int  // guarded by mu
}

// Watch sees what becomes of the keys with this part, until the test ends.
func Watch(t testing.TB, endpoint, part string) *Seen {
	t.Helper()
	s := &Seen{client: Client(t, endpoint), part: part}
	t.Cleanup(func() { s.client.Close() })
	events := s.client.Watch(t.Context(), "/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	var following sync.WaitGroup
	following.Go(func() { s.follow(events) })
	t.Cleanup(following.Wait)
	return s
}

// follow ends with the watch, which ends with its context.
func (s *Seen) follow(events clientv3.WatchChan) {
	for r := range events {
		s.mu.Lock()
		for _, e := range r.Events {
			if !strings.Contains(string(e.Kv.Key), s.part) {
				continue
			}
			if s.there = e.Type != clientv3.EventTypeDelete; !s.there {
				s.deletes++
			}
		}
		s.mu.Unlock()
	}
}

// String says whether such a key is there, and how often one has gone.
func (s *Seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("there: %t, %d times deleted", s.there, s.deletes)
}

// Leases counts the leases of the cluster.
func (s *Seen) Leases(t testing.TB) int {
	t.Helper()
	all, err := s.client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all.Leases)
}

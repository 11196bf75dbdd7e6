//go:build linux

package test

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
)

// keysSeen notes what becomes of the key of an element in an etcd.
type keysSeen struct {
	mu      sync.Mutex
	there   bool // guarded by mu
	deletes int  // guarded by mu
}

// follow ends with the watch, which ends with its context.
func (k *keysSeen) follow(events clientv3.WatchChan) {
	for r := range events {
		k.mu.Lock()
		for _, e := range r.Events {
			if !strings.Contains(string(e.Kv.Key), "/elements/a/") {
				continue
			}
			if k.there = e.Type != clientv3.EventTypeDelete; !k.there {
				k.deletes++
			}
		}
		k.mu.Unlock()
	}
}

func (k *keysSeen) counts() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprintf("there: %t, %d times deleted", k.there, k.deletes)
}

// TestUpgradeRegistered: who watches a real etcd never sees an element go whose sidecar is replaced, also when the lease of the old process
// has ended; one that is drained is not registered again by the new process, before that is taken back.
func TestUpgradeRegistered(t *testing.T) {
	needs(t, false, "etcd")
	r := newRegistered(t, "", "")
	r.lease = 5 * time.Second
	client := etcdtest.Client(t, r.etcd)
	leases := func() (n int) {
		all, err := client.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all.Leases)
	}
	var seen keysSeen
	var following sync.WaitGroup
	events := client.Watch(t.Context(), "/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	following.Go(func() { seen.follow(events) })
	t.Cleanup(following.Wait)
	e := r.add("a", "")
	registered := func(how string) {
		t.Helper()
		waitFor(t, "it to be "+how, func() bool { return r.registration(e).State == how })
	}
	are := func(want string) {
		t.Helper()
		waitFor(t, want, func() bool { return seen.counts() == want })
	}
	registered("registered")
	are("there: true, 0 times deleted")
	waitFor(t, "one lease", func() bool { return leases() == 1 })
	r.upgraded(e.admin, "pool element")
	registered("registered")
	are("there: true, 0 times deleted")
	waitFor(t, "the old lease to have ended", func() bool { return leases() == 1 })
	are("there: true, 0 times deleted")

	drain := func(command string) {
		t.Helper()
		if text, err := exec.Command(builtBinary(t), command, "a", "-admin", e.admin).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	drain("drain")
	are("there: false, 1 times deleted")
	r.upgraded(e.admin, "drained pool element")
	select {
	case <-time.After(2 * time.Second): // its server is looked at each second
	case <-r.user.gone:
	}
	if s := r.registration(e); s.State != "waiting" {
		t.Errorf("%+v", s)
	}
	are("there: false, 1 times deleted")
	drain("undrain")
	registered("registered")
	are("there: true, 1 times deleted")
}

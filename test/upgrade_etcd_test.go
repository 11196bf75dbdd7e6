//go:build linux

package test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/etcd/etcdtest"
)

// TestUpgradeRegistered: who watches a real etcd never sees an element go whose sidecar is replaced, also when the lease of the old process
// has ended; one that is drained is not registered again by the new process, before that is taken back.
func TestUpgradeRegistered(t *testing.T) {
	needs(t, false, "etcd")
	r := newRegistered(t, "", "")
	r.lease = 5 * time.Second
	seen := etcdtest.Watch(t, r.etcd, "/elements/a/")
	e := r.add("a", "")
	registered := func(how string) {
		t.Helper()
		waitFor(t, "it to be "+how, func() bool { return r.registration(e).State == how })
	}
	are := func(want string) {
		t.Helper()
		waitFor(t, want, func() bool { return seen.String() == want })
	}
	registered("registered")
	are("there: true, 0 times deleted")
	waitFor(t, "one lease", func() bool { return seen.Leases(t) == 1 })
	r.upgraded(e.admin, "pool element")
	registered("registered")
	are("there: true, 0 times deleted")
	waitFor(t, "the old lease to have ended", func() bool { return seen.Leases(t) == 1 })
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

//go:build unix

package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

const etcdConfig = `
admin { listen = "%v" }
source "etcd" "prod" {
  endpoints = ["%s"]
  lease     = "3s"
  timeout   = "1s"
}
pool "orders" {
  policy  = "%s"
  mapping = "none"
  source  = "etcd.prod"
}
`

// newEtcdAsked runs a process whose pool orders is in etcd.
func newEtcdAsked(t *testing.T, endpoint, policy string) *asked {
	t.Helper()
	a := &asked{T: t, admin: porttest.Free(t)}
	file := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, etcdConfig, a.admin, endpoint, policy), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := config.Load([]string{file})
	if loaded.Failed() {
		t.Fatal(loaded.Diagnostics)
	}
	signals, done := make(chan os.Signal), make(chan error, 1)
	go func() { done <- run(loaded.Config, hclog.New(&hclog.LoggerOptions{Output: &a.log}), signals, nil) }()
	t.Cleanup(func() {
		send(t, signals, syscall.SIGTERM)
		if err := await(t, "end", done); err != nil {
			t.Error(err)
		}
	})
	etcdtest.WaitFor(t, "it is ready", func() bool { return strings.Contains(a.log.String(), "poolproxy is ready") })
	return a
}

// Two processes and a real etcd: what one registers the other names; and each error, the last one by the death of etcd.
func TestPrimitivesOverEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, 1)
	endpoint := cluster.Endpoints()[0]
	a, b, c := newEtcdAsked(t, endpoint, "round_robin"), newEtcdAsked(t, endpoint, "round_robin"), newEtcdAsked(t, endpoint, "random")
	a.inText(exitOf("empty_pool"), []string{"etcd.prod", "the pool is empty"}, []string{"resolve", "orders"})
	id := a.well("register", "orders", "-address", "10.0.0.1:7001", "-name", "x")
	a.named("x", "10.0.0.1:7001")
	b.named("x", "10.0.0.1:7001")
	b.inText(exitOf("duplicate_id"), []string{"etcd.prod", "10.0.0.1:7001", "Choose another -name"}, []string{"register", "orders", "-address", "10.0.0.2:7001", "-name", "x"})
	c.inText(exitOf("inconsistent_policy"), []string{"etcd.prod", "random", "round_robin"}, []string{"register", "orders", "-address", "10.0.0.2:7001"})
	second := b.well("register", "orders", "-address", "10.0.0.2:7001", "-name", "y")
	a.named("y", "10.0.0.2:7001")
	a.well("deregister", id)
	etcdtest.WaitFor(t, "b knows that x has left", func() bool { return !strings.Contains(b.well("status"), "10.0.0.1:7001") })

	cluster.Kill()
	if status, stdout, stderr := b.do("next", "orders", "y", "-refresh"); status != exitOK || stdout != "10.0.0.2:7001\n" || !strings.Contains(stderr, "etcd.prod") || !strings.Contains(stderr, "counts") {
		t.Errorf("the last known handlespace is gone: %d %q %q", status, stdout, stderr)
	}
	b.inText(exitOf("source_down"), []string{"etcd.prod", "Nothing was registered"}, []string{"register", "orders", "-address", "10.0.0.3:7001"})
	b.inText(exitOf("source_down"), []string{"etcd.prod", "lease", "nothing to be repeated"}, []string{"deregister", second})
	b.inText(exitOf("unknown_registration"), nil, []string{"deregister", second})
}

// exitOf is the exit status of a code.
func exitOf(code string) int {
	for _, e := range exits {
		if string(e.code) == code {
			return e.status
		}
	}
	return -1
}

// named waits until the pool has the element at this address.
func (a *asked) named(name, address string) {
	a.Helper()
	at := netip.MustParseAddrPort(address)
	etcdtest.WaitFor(a.T, name+" is named", func() bool {
		status, stdout, _ := a.do("resolve", "orders")
		return status == exitOK && stdout == at.String()+"\n"
	})
}

//go:build unix

package config

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/etcd"
	"github.com/poolproxy/poolproxy/etcd/etcdtest"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

// etcdOf is the source that is configured so.
func etcdOf(t *testing.T, c *etcdtest.Cluster, tls string) *etcd.Source {
	t.Helper()
	l := loadText(t, etcdSource(fmt.Sprintf("endpoints = [%q]\n", c.Endpoints()[0])+tls))
	if l.Failed() {
		t.Fatal(written(t, l, ""))
	}
	s := l.Config.Pools[0].Source.(*etcd.Source)
	t.Cleanup(s.Close)
	return s
}

// etcdTLS is the tls block of an etcd source.
func etcdTLS(f securetest.Files, ca, more string) string {
	text := fmt.Sprintf("tls {\nca = %q\n%s\n", ca, more)
	if f.Cert != "" {
		text += fmt.Sprintf("cert = %q\nkey = %q\n", f.Cert, f.Key)
	}
	return text + "}\n"
}

// useEtcd registers an element, and waits until the pool has it.
func useEtcd(t *testing.T, s *etcd.Source, handle string) {
	t.Helper()
	var seen atomic.Bool
	stop := s.Follow(handle, func(n pool.News) { seen.Store(len(n.Elements) == 1 && n.Elements[0].Name == "a") })
	defer stop()
	element := pool.Element{Name: "a", Address: netip.MustParseAddrPort("10.0.0.1:7001"), Mapping: "tcp", Weight: 1}
	if _, err := s.Register(pool.Registration{Handle: handle, Policy: pool.RoundRobin, Element: element}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	etcdtest.WaitFor(t, handle+": registered, and seen", seen.Load)
}

// A real etcd that speaks TLS and demands certificates: with them it works, without them, and with those of others, the error says why; a certificate
// that is renewed in its files is shown by the next connection.
func TestEtcdInTLS(t *testing.T) {
	a, other := securetest.NewAuthority(t), securetest.NewAuthority(t)
	mine := a.Issue("proxy.test", nil)
	member := a.Issue("etcd.test", func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, net.IPv4(127, 0, 0, 1)) })
	own, err := secure.Load(secure.Files(mine))
	if err != nil {
		t.Fatal(err)
	}
	cluster := etcdtest.StartTLS(t, 1, &etcdtest.TLS{Cert: member.Cert, Key: member.Key, CA: a.File, Client: own.ClientConfig()})
	useEtcd(t, etcdOf(t, cluster, etcdTLS(mine, a.File, "")), "mutual")
	useEtcd(t, etcdOf(t, cluster, etcdTLS(mine, a.File, `server_name = "etcd.test"`)), "named")

	renewed := a.Issue("proxy.test", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	s := etcdOf(t, cluster, etcdTLS(renewed, a.File, ""))
	if err := s.Refresh(t.Context(), "p"); err == nil {
		t.Error("an expired certificate was taken")
	}
	a.Renew(renewed, "proxy.test", nil)
	useEtcd(t, s, "renewed")

	for name, x := range map[string]struct{ tls, says string }{
		"without TLS":           {"", "needs a tls block"},
		"without a certificate": {etcdTLS(securetest.Files{}, a.File, ""), "cert and key"},
		"one of others":         {etcdTLS(other.Issue("proxy.test", nil), a.File, ""), "cert and key"},
		"an etcd of others":     {etcdTLS(mine, other.File, ""), "look at ca"},
		"another name":          {etcdTLS(mine, a.File, `server_name = "other.test"`), "server_name"},
	} {
		s := etcdOf(t, cluster, x.tls)
		etcdtest.WaitFor(t, name+": "+x.says, func() bool { // in TLS 1.3 the alert comes behind the handshake: the first write may fail before it is read
			err := s.Refresh(t.Context(), "p")
			if err == nil {
				t.Fatalf("%s was let in", name)
			}
			return strings.Contains(err.Error(), x.says)
		})
	}
}

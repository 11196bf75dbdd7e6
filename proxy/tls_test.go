//go:build linux

package proxy

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/secure/securetest"
)

const tlsUser, tlsElement = "spiffe://test/user", "element.test"

// tlsRules is a tls block with the files.
func tlsRules(f securetest.Files, allow string) *TLS {
	return &TLS{Cert: f.Cert, Key: f.Key, CA: f.CA, Allow: []string{allow}}
}

// newSecured is newSharded in TLS.
func newSecured(t *testing.T, servers, shards int, user, element *TLS) *sharded {
	return newSharded(t, servers, func(c *Config) {
		c.Limits.Shards = shards
		for i := range c.Pools {
			c.Pools[i].TLS = user
		}
		for i := range c.Elements {
			c.Elements[i].TLS = element
		}
	})
}

// Sessions go on in TLS through a reset of their associations, and when a server dies; also where the shard that shakes hands is not the one
// that gets the association.
func TestTLS(t *testing.T) {
	for _, shards := range []int{1, threeShards} {
		t.Run(fmt.Sprint("shards=", shards), func(t *testing.T) {
			a := securetest.NewAuthority(t)
			x := newSecured(t, 2, shards, tlsRules(a.Issue(tlsUser, nil), tlsElement), tlsRules(a.Issue(tlsElement, nil), tlsUser))
			clients := x.clients(6)
			if got := perShard(x.user, sessionsOf); shards > 1 && !slices.Equal(got, []int{2, 2, 2}) {
				t.Errorf("sessions of the shards: %v", got)
			}
			for _, p := range x.paths {
				p.cut()
			}
			for _, c := range clients {
				c.ask()
			}
			eventually(t, "the records", func() bool { return len(x.user.Status().Failovers) >= 1 })
			for _, r := range x.user.Status().Failovers {
				if r.Kind != "resumed" {
					t.Errorf("%s: %s, %s", r.Kind, r.Cause, r.Verdict)
				}
			}
			x.servers[0].kill()
			for _, c := range clients {
				if c.ask() == x.servers[0].name {
					t.Error("the dead server has answered")
				}
			}
		})
	}
}

// Whom an element does not allow it refuses, in the log of both.
func TestTLSRefused(t *testing.T) {
	a := securetest.NewAuthority(t)
	x := newSecured(t, 1, 1, tlsRules(a.Issue("spiffe://test/somebody", nil), tlsElement), tlsRules(a.Issue(tlsElement, nil), tlsUser))
	c := x.client()
	c.send()
	eventually(t, "the refusal in the log", func() bool {
		return strings.Contains(x.log.String(), "reason=not_allowed") && strings.Contains(x.log.String(), "TLS refused: pool_user=things")
	})
}

// A certificate that has been renewed is shown to who comes next.
func TestTLSRenewed(t *testing.T) {
	a := securetest.NewAuthority(t)
	files := a.Issue(tlsElement, nil)
	x := newSecured(t, 1, 1, tlsRules(a.Issue(tlsUser, nil), tlsElement), tlsRules(files, tlsUser))
	client := x.client()
	client.ask()
	shown := func() string {
		conn, err := tls.Dial("tcp", x.elements[0].Status().Elements[0].Listen, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := shown()
	a.Renew(files, tlsElement, nil)
	x.elements[0].renewal.soon()
	eventually(t, "the other certificate", func() bool { return shown() != before })
	client.ask()
	if n := len(x.user.Status().Failovers); n > 0 {
		t.Errorf("%d failovers", n)
	}
}

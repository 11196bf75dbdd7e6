//go:build linux

package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure/securetest"
)

const clientName, serverName, frontName = "spiffe://test/client", "server.test", "front.test"

// ended is a sharded whose clients and servers speak TLS, too.
type ended struct {
	*sharded
	authority *securetest.Authority
}

// newEnded starts everything; mutual: clients and the servers' clients show certificates.
func newEnded(t *testing.T, servers, shards int, mutual bool) *ended {
	a := securetest.NewAuthority(t)
	front, own := a.Issue(frontName, nil), a.Issue("element.test", nil)
	user := &EndTLS{Cert: front.Cert, Key: front.Key}
	server := &EndTLS{CA: a.File, ServerName: serverName}
	if mutual {
		user.CA, user.Allow = a.File, []string{"spiffe://test/*"}
		server.Cert, server.Key = own.Cert, own.Key
	}
	x := &ended{authority: a, sharded: newSharded(t, servers, func(c *Config) {
		c.Limits.Shards = shards
		for i := range c.Users {
			c.Users[i].TLS = user
		}
		for i := range c.Elements {
			c.Elements[i].ServerTLS = server
		}
	})}
	for _, s := range x.servers {
		c := x.config(a.Issue(serverName, nil))
		c.RootCAs, c.ClientCAs = nil, c.RootCAs
		if mutual {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
		s.tls.Store(c)
	}
	return x
}

// config shows a certificate, and believes the authority.
func (x *ended) config(f securetest.Files) *tls.Config {
	x.Helper()
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		x.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: x.roots(), ServerName: frontName}
}

func (x *ended) roots() *x509.CertPool {
	x.Helper()
	text, err := os.ReadFile(x.authority.File)
	if err != nil {
		x.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots
}

// dialTLS is client in TLS.
func (x *ended) dialTLS(config *tls.Config) *shardClient {
	c := x.client()
	c.conn = tls.Client(c.conn, config)
	c.in = bufio.NewReader(c.conn)
	return c
}

// Clients come in TLS, servers are spoken to in TLS, and the proxy reads what goes between: sessions survive the death of their server.
func TestEndsInTLS(t *testing.T) {
	for _, mutual := range []bool{false, true} {
		for _, shards := range []int{1, threeShards} {
			for version, most := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
				t.Run(fmt.Sprintf("mutual=%v/shards=%d/TLS=%s", mutual, shards, version), func(t *testing.T) {
					x := newEnded(t, 2, shards, mutual)
					config := x.config(x.authority.Issue(clientName, nil))
					config.MaxVersion = most
					for _, s := range x.servers {
						s.tls.Load().MaxVersion = most
					}
					var clients []*shardClient
					for range 6 {
						c := x.dialTLS(config)
						c.ask()
						clients = append(clients, c)
					}
					x.servers[0].kill()
					for _, c := range clients {
						if c.ask() == x.servers[0].name {
							t.Error("the dead server has answered")
						}
					}
					for _, c := range clients {
						_ = c.conn.Close()
					}
					eventually(t, "all sessions have ended", func() bool { return x.user.common.sessions() == 0 })
				})
			}
		}
	}
}

// Who is not let in counts, is in the log, and takes no place.
func TestDoorRefuses(t *testing.T) {
	x := newEnded(t, 1, 1, true)
	other := securetest.NewAuthority(t)
	for reason, config := range map[string]*tls.Config{
		"no_certificate": {RootCAs: x.roots(), ServerName: frontName},
		"not_trusted":    x.config(other.Issue(clientName, nil)),
		"not_allowed":    x.config(x.authority.Issue("spiffe://other/client", nil)),
		"expired":        x.config(x.authority.Issue(clientName, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })),
		"version": func() *tls.Config {
			c := x.config(x.authority.Issue(clientName, nil))
			c.MaxVersion = tls.VersionTLS11
			return c
		}(),
		"broken": nil,
	} {
		if config == nil {
			c := x.client()
			fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\n\r\n")
			_, _ = io.Copy(io.Discard, c.conn)
		} else {
			config.MinVersion = min(config.MaxVersion, tls.VersionTLS12)
			c := x.dialTLS(config)
			_, err := fmt.Fprint(c.conn, "GET 1\n")
			if err == nil { // the answer to a certificate comes behind the handshake
				_, err = c.in.ReadString('\n')
			}
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", reason, err)
			}
		}
		eventually(t, reason+" in the log", func() bool {
			return strings.Contains(x.log.String(), "client=127.0.0.1:") && strings.Contains(x.log.String(), "reason="+reason)
		})
	}
	eventually(t, "nobody counts", func() bool { return x.user.common.sessions() == 0 })
	x.dialTLS(x.config(x.authority.Issue(clientName, nil))).ask()
}

// A server that is not the one that its certificate must be for gets nothing, and its element is one that has failed.
func TestOriginRefuses(t *testing.T) {
	for _, reason := range []string{"not_allowed", "not_trusted", "expired"} {
		t.Run(reason, func(t *testing.T) {
			x := newEnded(t, 2, 1, false)
			files := map[string]securetest.Files{
				"not_allowed": x.authority.Issue("another.test", nil), "not_trusted": securetest.NewAuthority(t).Issue(serverName, nil),
				"expired": x.authority.Issue(serverName, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }),
			}
			x.servers[0].tls.Store(x.config(files[reason]))
			for range 3 {
				if x.dialTLS(&tls.Config{RootCAs: x.roots(), ServerName: frontName}).ask() != x.servers[1].name {
					t.Error("the wrong server has answered")
				}
			}
			eventually(t, "it is in the log", func() bool {
				return strings.Contains(x.log.String(), "server="+x.servers[0].address().String()+" reason="+reason)
			})
		})
	}
}

// An end of a server without close_notify is its death, also where it has read everything: then a request is in doubt. In TLS and with close_notify it is an end.
func TestOriginCut(t *testing.T) {
	x := newEnded(t, 2, 1, false)
	c := x.dialTLS(&tls.Config{RootCAs: x.roots(), ServerName: frontName})
	served := x.servers[0]
	if c.ask() != served.name {
		served = x.servers[1]
	}
	served.mu.Lock()
	conns := served.conns
	served.conns = nil
	served.mu.Unlock()
	_ = served.listener.Close()
	for _, conn := range conns {
		_ = conn.CloseWrite() // a FIN: it has read everything
		_ = conn.Close()
	}
	if got := c.ask(); got == served.name {
		t.Error("the dead server has answered")
	}
}

// With mapping none the pool says how its servers are spoken to.
func TestDirectInTLS(t *testing.T) {
	a := securetest.NewAuthority(t)
	var servers []*peerServer
	var elements []pool.Element
	x := &ended{authority: a}
	x.sharded = &sharded{T: t}
	for i := range 2 {
		s := newPeerServer(t, string(rune('a'+i)))
		s.tls.Store(x.config(a.Issue(serverName, nil)))
		servers, elements = append(servers, s), append(elements, pool.Element{Name: s.name, Address: s.address()})
	}
	x.sharded = newSharded(t, 1, func(c *Config) {
		for i := range c.Pools {
			c.Pools[i].Mapping, c.Pools[i].Elements = mapping.None, elements
			c.Pools[i].ServerTLS = &EndTLS{CA: a.File, ServerName: serverName}
			c.Users[i].Failover.Resume = 0
		}
	})
	clients := x.clients(4)
	servers[0].kill()
	for _, c := range clients {
		if c.ask() == servers[0].name {
			t.Error("the dead server has answered")
		}
	}
}

// Half a handshake takes no place for ever, and ends with the proxy.
func TestDoorSilent(t *testing.T) {
	x := newEnded(t, 1, threeShards, false)
	conn, err := net.Dial("tcp4", x.user.Status().Users[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "it counts", func() bool { return x.user.common.sessions() == 1 })
	stopNow(x.user)
	_ = conn.SetReadDeadline(time.Now().Add(limitPatience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is still there: %v", err)
	}
}

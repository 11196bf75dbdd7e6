//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/config"
	"github.com/poolproxy/poolproxy/dns/dnstest"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/proxy"
)

// namingServer answers each line with its name, and returns its port. It runs until the test ends.
func namingServer(t *testing.T, name string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go nameYourself(l, name)
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// nameYourself accepts until the listener is closed; each connection is served until its client ends it.
func nameYourself(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go answerLines(c, name)
	}
}

// answerLines ends with its connection.
func answerLines(c net.Conn, name string) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		fmt.Fprintln(c, name)
	}
}

// askedClient is a session.
type askedClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newAskedClient(t *testing.T, at netip.AddrPort) *askedClient {
	t.Helper()
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &askedClient{t, c, bufio.NewReader(c)}
}

// who asks which server serves the session.
func (c *askedClient) who() string {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, "GET\n"); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

const dnsConfig = `
admin { listen = "%[1]v" }
dns { listen = "%[2]v" }
source "dns" "zone" {
  name    = "_x._tcp.{pool}.test"
  servers = ["%[3]v"]
  min_ttl = "100ms"
  max_ttl = "1s"
  timeout = "200ms"
}
pool "orders" {
  mapping = "none"
  source  = "dns.zone"
}
pool_user "orders" {
  listen = "%[4]v"
  pool   = "orders"
  protocol "line" { safe = ["^GET"] }
}
`

// A whole process follows a real name server: its changes, its death and its return; and is a name server for others.
func TestDNSBothWays(t *testing.T) {
	zone := dnstest.Start(t)
	a, b := namingServer(t, "a"), namingServer(t, "b")
	zone.Set("host.test. 1 A 127.0.0.1")
	service := func(ports ...uint16) {
		var records []string
		for _, port := range ports {
			records = append(records, fmt.Sprintf("_x._tcp.orders.test. 1 SRV 0 1 %d host.test.", port))
		}
		zone.Set(records...)
	}
	service(a)
	admin, user, answers := porttest.Free(t), porttest.Free(t), porttest.Free(t)
	file := filepath.Join(t.TempDir(), "c.hcl")
	if err := os.WriteFile(file, fmt.Appendf(nil, dnsConfig, admin, answers, zone.At, user), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := config.Load([]string{file})
	if len(loaded.Diagnostics) > 0 {
		t.Fatal(loaded.Diagnostics)
	}
	signals, done := make(chan os.Signal), make(chan error, 1)
	var text logText
	go func() {
		done <- run(loaded.Config, hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: &text}), signals, nil)
	}()
	ready := func() bool { return strings.Contains(text.String(), "poolproxy is ready") }
	dnstest.WaitFor(t, "it is ready", ready)

	first := newAskedClient(t, user) // it may come before the first answer of DNS
	if got := first.who(); got != "a" {
		t.Fatalf("the first session is served by %s", got)
	}
	service(a, b)
	dnstest.WaitFor(t, "a session at the new element", func() bool { return newAskedClient(t, user).who() == "b" })
	service(b)
	dnstest.WaitFor(t, "the pool has one element", func() bool { return len(sourceOf(t, admin).Elements) == 1 })
	for range 4 {
		if got := newAskedClient(t, user).who(); got != "b" {
			t.Errorf("a new session is served by %s, which is gone", got)
		}
	}
	if got := first.who(); got != "a" {
		t.Errorf("the session at the element that is gone is served by %s", got)
	}

	zone.Kill()
	dnstest.WaitFor(t, "it is seen that the source fails", func() bool { return sourceOf(t, admin).Source.Error != "" })
	if got := newAskedClient(t, user).who(); got != "b" {
		t.Errorf("without the name server a session is served by %s", got)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, answers.String())
	}}
	if found, err := resolver.LookupHost(t.Context(), "orders.pool."); err != nil || len(found) != 1 || found[0] != "127.0.0.1" {
		t.Error(found, err)
	}
	var shown bytes.Buffer
	if dispatch([]string{"status", "-admin", admin.String()}, &shown, &shown); !strings.Contains(shown.String(), "dns.zone  1") || !strings.Contains(shown.String(), "fails: ") {
		t.Errorf("the source is not shown:\n%s", shown.String())
	}
	zone.Start()
	service(a)
	dnstest.WaitFor(t, "it goes on", func() bool { return newAskedClient(t, user).who() == "a" })
	send(t, signals, syscall.SIGTERM)
	send(t, signals, syscall.SIGTERM)
	if err := await(t, "end", done); err != nil {
		t.Error(err)
	}
}

// sourceOf is the status of the only pool.
func sourceOf(t *testing.T, admin netip.AddrPort) proxy.PoolStatus {
	t.Helper()
	var stdout, stderr bytes.Buffer
	var s proxy.Status
	if dispatch([]string{"status", "-json", "-admin", admin.String()}, &stdout, &stderr) != 0 {
		t.Fatal(stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil || len(s.Pools) != 1 || s.Pools[0].Source == nil {
		t.Fatal(err, stdout.String())
	}
	return s.Pools[0]
}

// An address for DNS that is taken ends the start, and says which it is.
func TestDNSAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	err = run(proxy.Config{DNS: proxy.DNS{Listen: at}}, hclog.NewNullLogger(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), at.String()) {
		t.Error(err)
	}
}

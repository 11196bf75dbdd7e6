//go:build linux

package test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/dns/dnstest"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

// nameServer says its name to whoever connects, and waits for the other's end.
func nameServer(args []string) error {
	address, err := listenFlag(args[1:])
	if err != nil {
		return err
	}
	return serve(address, func(conn *net.TCPConn) {
		if _, err := io.WriteString(conn, args[0]+"\n"); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

// srvServer is a server of the test's that DNS has an SRV record of.
type srvServer struct {
	name             string
	priority, weight int
	address          string
	process          *process
}

func (s *srvServer) start(t *testing.T) {
	t.Helper()
	s.process = startProcess(t, command{name: "server-" + s.name, role: "name", args: []string{s.name, "-listen", s.address}})
	s.process.waitListening(t, s.address)
}

// record is its SRV record.
func (s *srvServer) record() string {
	return fmt.Sprintf("_orders._tcp.test. 1 SRV %d %d %d one.test.", s.priority, s.weight, netip.MustParseAddrPort(s.address).Port())
}

// TestSRV has a pool of what a real name server says: sessions go to the servers of the best priority (RFC 2782: the smallest number), each by
// its weight, and to those of the next one when the best have died.
func TestSRV(t *testing.T) {
	servers := []*srvServer{{name: "a", priority: 10, weight: 60}, {name: "b", priority: 10, weight: 30}, {name: "c", priority: 10, weight: 10},
		{name: "zero", priority: 10}, {name: "x", priority: 20, weight: 1}, {name: "y", priority: 20, weight: 3}}
	zone := dnstest.Start(t)
	zone.Set("one.test. 1 A 127.0.0.1")
	var records []string
	for _, s := range servers {
		s.address = porttest.FreeString(t)
		s.start(t)
		records = append(records, s.record())
	}
	zone.Set(records...)
	f := srvUser(t, zone.At)

	const sessions, more = 10_000, 3000
	began := time.Now()
	counts := f.sessions(sessions)
	t.Logf("%d sessions in %v: %v", sessions, time.Since(began).Round(time.Millisecond), counts)
	shares(t, counts, servers[:4])

	for _, s := range servers[:4] {
		s.process.kill()
	}
	counts = f.sessions(more)
	t.Logf("%d sessions after the death of the best: %v", more, counts)
	shares(t, counts, servers[4:])

	servers[1].start(t)
	waitFor(t, "sessions to return to the best priority", func() bool { return f.sessions(1)["b"] == 1 })
	if counts := f.sessions(100); counts["b"] != 100 {
		t.Errorf("the best priority is there again: %v", counts)
	}
}

// srvUser is a pool_user whose pool has the SRV records. It returns when it knows of six elements.
func srvUser(t *testing.T, server netip.AddrPort) *fleet {
	t.Helper()
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}
	f.user = f.run("user", fmt.Sprintf(`
admin { listen = %q }
source "dns" "srv" {
  name    = "_{pool}._tcp.test"
  servers = [%q]
}
pool "orders" {
  policy  = "priority"
  mapping = "none"
  source  = "dns.srv"
}
pool_user "orders" {
  listen = %q
  pool   = "orders"
  protocol "stream" {}
}
`, f.admin, server, f.listen))
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	waitFor(t, "the elements to be known", func() bool { return len(f.status().Pools[0].Elements) == 6 })
	return f
}

// sessions makes n sessions, several at a time, and counts which servers have had them. Each has to have one.
func (f *fleet) sessions(n int) map[string]int {
	f.t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	counts, failed := make(map[string]int), make(chan error, 1)
	var lock sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				name, err := served(f.listen)
				if err != nil {
					select {
					case failed <- err:
					default: // one is enough
					}
					return
				}
				lock.Lock()
				counts[name]++
				lock.Unlock()
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		f.t.Fatal(err)
	default:
	}
	return counts
}

// served is who serves a session.
func served(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	name, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(name, "\n"), err
}

// shares checks that these servers have had all sessions, each as many as its weight says, within 2 % of that. One of weight 0 has had a very
// small part, if any.
func shares(t *testing.T, counts map[string]int, servers []*srvServer) {
	t.Helper()
	all, weights, theirs := 0, 0, 0
	for _, n := range counts {
		all += n
	}
	for _, s := range servers {
		weights += s.weight
		theirs += counts[s.name]
	}
	if theirs != all {
		t.Errorf("%d of %d sessions went to other priorities: %v", all-theirs, all, counts)
	}
	for _, s := range servers {
		want := float64(all) * float64(s.weight) / float64(weights)
		if got := float64(counts[s.name]); math.Abs(got-want) > 0.02*want && s.weight > 0 || s.weight == 0 && got > 0.001*float64(all) {
			t.Errorf("%s has weight %d of %d and got %d of %d sessions, not %.0f", s.name, s.weight, weights, counts[s.name], all, want)
		}
	}
}

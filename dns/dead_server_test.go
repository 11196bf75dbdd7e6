//go:build unix

package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// plainServer answers SRV with 40 services at 20 hosts, and nothing beside; each A with one address. It counts the questions.
func plainServer(t *testing.T, asked *atomic.Int32) netip.AddrPort {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	rr := func(format string, args ...any) wire.RR {
		r, err := wire.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			panic(err)
		}
		return r
	}
	go serve(server, func(m *wire.Msg) []byte {
		q := m.Question[0]
		asked.Add(1)
		m.Authoritative, m.Compress = true, true
		var n int
		_, _ = fmt.Sscanf(q.Name, "h%d.", &n)
		switch q.Qtype {
		case wire.TypeSRV:
			for i := range 40 {
				m.Answer = append(m.Answer, rr("%s 5 SRV 0 0 %d h%d.x.", q.Name, 1+i/20, i%20))
			}
		case wire.TypeA:
			m.Answer = append(m.Answer, rr("%s 5 A 10.0.0.%d", q.Name, n+1))
		}
		return packed(m)
	})
	return server.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A look-up of many questions waits for a dead server once, not once for each: else it would never come to its end, with a server there
// that knows. And a host is asked for once, however many services it has.
func TestLookDeadServer(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	var asked atomic.Int32
	s := of(t, "x.", 0, dead.LocalAddr().(*net.UDPAddr).AddrPort(), plainServer(t, &asked))
	began := time.Now()
	got, _ := look1(t, s)
	if n := len(strings.Fields(got)); n != 40 {
		t.Errorf("%d elements: %s", n, got)
	}
	if took := time.Since(began); took > 10*s.c.Timeout {
		t.Errorf("it took %v, with %v for each server", took, s.c.Timeout)
	}
	if n := asked.Load(); n != 1+2*20 {
		t.Errorf("%d questions", n)
	}
}

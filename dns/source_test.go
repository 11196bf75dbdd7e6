//go:build unix

package dns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/dns/dnstest"
	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/pool"
)

// of makes a Source that asks these servers, and soon again.
func of(t *testing.T, name string, port uint16, servers ...netip.AddrPort) *Source {
	t.Helper()
	s, err := New(Config{Servers: servers, Name: name, Port: port, Least: 10 * time.Millisecond, Most: 30 * time.Millisecond, Timeout: DefaultTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// text shows elements in one line.
func text(elements []pool.Element) string {
	var s []string
	for _, e := range elements {
		if e.Name != e.Address.String() {
			s = append(s, "misnamed")
		}
		s = append(s, fmt.Sprintf("%v/%d/%d", e.Address, math.MaxUint16-int(e.Priority), e.Weight))
	}
	return strings.Join(s, " ")
}

func look1(t *testing.T, s *Source) (string, time.Duration) {
	t.Helper()
	elements, ttl, err := s.Look(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	return text(elements), ttl
}

// What a real server says: hosts, services, aliases, answers too long for UDP.
func TestLook(t *testing.T) {
	n := dnstest.Start(t)
	n.Set("orders.test. 7 A 10.0.0.2", "orders.test. 7 A 10.0.0.1")
	n.Set("orders.test. 5 AAAA 2001:db8::1")
	n.Set("alias.test. 4 CNAME orders.test.")
	n.Set("_x._tcp.orders.test. 30 SRV 1 10 7002 a.test.", "_x._tcp.orders.test. 30 SRV 0 3 7001 a.test.", "_x._tcp.orders.test. 30 SRV 0 1 7001 b.test.")
	n.Set("a.test. 20 A 10.0.1.1")
	n.Set("b.test. 20 A 10.0.1.2")
	n.Set("b.test. 3 AAAA 2001:db8::2")
	n.Set("_none._tcp.orders.test. 9 SRV 0 0 0 .")
	n.Set("odd.test. 9 A 0.0.0.0", "odd.test. 9 A 224.0.0.1", "odd.test. 9 A 10.0.0.9")
	n.Set("loop1.test. 9 CNAME loop2.test.")
	n.Set("loop2.test. 9 CNAME loop1.test.")
	hosts := "10.0.0.1:80/65535/1 10.0.0.2:80/65535/1 [2001:db8::1]:80/65535/1"
	for _, c := range []struct {
		name string
		port uint16
		want string
		ttl  time.Duration
	}{
		{"{pool}.test", 80, hosts, 5 * time.Second},
		{"alias.test.", 80, hosts, 4 * time.Second},
		{"OrderS.tesT", 80, hosts, 5 * time.Second},
		{"_x._tcp.{pool}.test", 0, "10.0.1.1:7001/0/3 10.0.1.1:7002/1/10 10.0.1.2:7001/0/1 [2001:db8::2]:7001/0/1", 3 * time.Second},
		{"odd.test", 1, "10.0.0.9:1/65535/1", 2 * time.Second}, // that there is no AAAA is true for 2 s
	} {
		if got, ttl := look1(t, of(t, c.name, c.port, n.At)); got != c.want || ttl != c.ttl {
			t.Errorf("%s: %s for %v, not %s for %v", c.name, got, ttl, c.want, c.ttl)
		}
	}
	for name, want := range map[string]string{"nobody.test": ErrNone.Error(), "ns.test": ErrNone.Error(), "_none._tcp.{pool}.test": ErrNone.Error(),
		"x.broken": "SERVFAIL", "x.elsewhere": "REFUSED"} {
		_, _, err := of(t, name, 0, n.At).Look(t.Context(), "orders")
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNone) != (want == ErrNone.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := of(t, "loop1.test", 80, n.At).Look(t.Context(), "orders"); err == nil || errors.Is(err, ErrNone) {
		t.Error("aliases in a circle: ", err)
	}
}

// An answer that has no room in a datagram is asked for over TCP, with all that belongs to it.
func TestLookTruncated(t *testing.T) {
	n := dnstest.Start(t)
	var services, want []string
	for i := range 300 {
		host := fmt.Sprintf("host-%03d.test.", i)
		n.Set(fmt.Sprintf("%s 60 A 10.1.%d.%d", host, i/200, i%200+1))
		services = append(services, fmt.Sprintf("_x._tcp.many.test. 60 SRV 0 5 7001 %s", host))
		want = append(want, fmt.Sprintf("10.1.%d.%d:7001/0/5", i/200, i%200+1))
	}
	n.Set(services...)
	a, err := askServer(t.Context(), n.At, time.Second, "_x._tcp.many.test.", wire.TypeSRV)
	if err != nil || !a.whole || len(a.Answer) != 300 {
		t.Fatal(err, len(a.Answer))
	}
	if got, _ := look1(t, of(t, "_x._tcp.many.test", 0, n.At)); got != strings.Join(want, " ") {
		t.Errorf("got %s", got)
	}
}

// Addresses that a server has left out of a datagram, for want of room and without saying so, are asked for.
func TestLookAdditionalLeftOut(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	rr := func(format string, args ...any) wire.RR {
		r, err := wire.NewRR(fmt.Sprintf(format, args...))
		if err != nil {
			panic(err)
		}
		return r
	}
	go serve(server, func(m *wire.Msg) []byte {
		m.Authoritative, m.Compress = true, true
		var n int
		_, _ = fmt.Sscanf(m.Question[0].Name, "quite-a-long-name-of-a-host-%d.", &n)
		switch name := m.Question[0].Name; m.Question[0].Qtype {
		case wire.TypeSRV:
			for i := range 15 {
				target := fmt.Sprintf("quite-a-long-name-of-a-host-%d.test.", i)
				m.Answer = append(m.Answer, rr("%s 5 SRV 0 0 1 %s", name, target))
				m.Extra = append(m.Extra, rr("%s 5 A 10.0.0.%d", target, i+1))
			}
		case wire.TypeA:
			m.Answer = append(m.Answer, rr("%s 5 A 10.0.0.%d", name, n+1))
		case wire.TypeAAAA:
			m.Answer = append(m.Answer, rr("%s 5 AAAA 2001:db8::%d", name, n+1))
		}
		return packed(m)
	})
	got, _ := look1(t, of(t, "orders.test", 0, server.LocalAddr().(*net.UDPAddr).AddrPort()))
	if n := len(strings.Fields(got)); n != 30 {
		t.Errorf("%d addresses of 30: %s", n, got)
	}
}

// The next server is asked when one does not answer, refuses, or is not there.
func TestServersInTurn(t *testing.T) {
	n, silent := dnstest.Start(t), dnstest.Start(t)
	n.Set("orders.test. 7 A 10.0.0.1")
	silent.Freeze()
	if got, _ := look1(t, of(t, "orders.test", 80, porttest.Free(t), silent.At, n.At)); got != "10.0.0.1:80/65535/1" {
		t.Error(got)
	}
	_, _, err := of(t, "orders.test", 80, porttest.Free(t), silent.At).Look(t.Context(), "")
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), silent.At.String()) {
		t.Errorf("the error says what became of each: %v", err)
	}
}

// kept is what a follower was told.
type kept struct {
	mu   sync.Mutex
	pool *pool.Pool
	errs []error
	had  []string // names, when each of these was told
}

func (k *kept) told(n pool.News) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pool.Learn(time.Now(), n)
	k.errs, k.had = append(k.errs, n.Err), append(k.had, k.names())
}

func (k *kept) names() (s string) {
	for _, e := range k.pool.States() {
		s += " " + e.Name
	}
	return strings.TrimSpace(s)
}

func (k *kept) failing(want string) func() bool {
	return func() bool {
		err := k.pool.Standing().Err
		return want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want)
	}
}

// A pool follows the zone, and keeps what it knows while the server is silent, dead, or says that there is nothing.
func TestFollow(t *testing.T) {
	n := dnstest.Start(t)
	n.Set("orders.test. 7 A 10.0.0.1")
	k := &kept{pool: pool.New("orders", pool.RoundRobin, nil)}
	stop := of(t, "{pool}.test", 80, n.At).Follow("orders", k.told)
	defer stop()
	dnstest.WaitFor(t, "the first answer", func() bool { return k.names() == "10.0.0.1:80" })
	n.Set("orders.test. 7 A 10.0.0.2", "orders.test. 7 A 10.0.0.1")
	dnstest.WaitFor(t, "a new element", func() bool { return k.names() == "10.0.0.1:80 10.0.0.2:80" })
	n.Set("orders.test. 7 A 10.0.0.2")
	dnstest.WaitFor(t, "an element less", func() bool { return k.names() == "10.0.0.2:80" })

	n.Remove("orders.test.")
	dnstest.WaitFor(t, "NXDOMAIN", k.failing(ErrNone.Error()))
	n.Set("orders.test. 7 A 10.0.0.3")
	dnstest.WaitFor(t, "it is there again", func() bool { return k.names() == "10.0.0.3:80" })

	n.Freeze()
	dnstest.WaitFor(t, "silence", k.failing("no answer"))
	n.Thaw()
	dnstest.WaitFor(t, "an end of the silence", k.failing(""))

	n.Kill()
	dnstest.WaitFor(t, "death", k.failing("refused"))
	if got := k.names(); got != "10.0.0.3:80" {
		t.Errorf("a dead server has left %q", got)
	}
	n.Start()
	n.Set("orders.test. 7 A 10.0.0.4")
	dnstest.WaitFor(t, "it goes on", func() bool { return k.names() == "10.0.0.4:80" })
	stop()
	stop()
	k.mu.Lock()
	told := len(k.errs)
	k.mu.Unlock()
	n.Set("orders.test. 7 A 10.0.0.5")
	if k.names() != "10.0.0.4:80" || len(k.errs) != told {
		t.Error("it was told something behind stop")
	}
}

// With Empty, DNS is believed at last that there is nothing.
func TestFollowEmpty(t *testing.T) {
	n := dnstest.Start(t)
	n.Set("orders.test. 7 A 10.0.0.1")
	s := of(t, "orders.test", 80, n.At)
	s.c.Empty = 300 * time.Millisecond
	k := &kept{pool: pool.New("orders", pool.RoundRobin, nil)}
	defer s.Follow("orders", k.told)()
	dnstest.WaitFor(t, "the first answer", func() bool { return k.names() != "" })
	n.Remove("orders.test.")
	dnstest.WaitFor(t, "nothing", func() bool { return k.names() == "" && k.failing("")() })
	k.mu.Lock()
	defer k.mu.Unlock()
	if at := slices.IndexFunc(k.errs, func(err error) bool { return errors.Is(err, ErrNone) }); at < 0 || k.had[at] == "" {
		t.Error("it was believed at once")
	}
}

// That there is nothing is believed when it has been said for so long without a break: what was known in between counts.
func TestFollowEmptyAnew(t *testing.T) {
	n := dnstest.Start(t)
	s := of(t, "orders.test", 80, n.At)
	s.c.Empty = time.Hour
	f := &follower{c: s.c, name: "orders.test.", ctx: t.Context()}
	if news, _ := f.look(); !errors.Is(news.Err, ErrNone) || f.emptySince.IsZero() {
		t.Fatal(news)
	}
	f.emptySince = f.emptySince.Add(-2 * time.Hour)
	n.Set("orders.test. 7 A 10.0.0.1")
	if news, _ := f.look(); news.Err != nil || len(news.Elements) != 1 {
		t.Fatal(news)
	}
	n.Remove("orders.test.")
	if news, _ := f.look(); !errors.Is(news.Err, ErrNone) {
		t.Error("it was believed at once, since that was so before", news)
	}
	f.emptySince = f.emptySince.Add(-2 * time.Hour)
	if news, _ := f.look(); news.Err != nil || len(news.Elements) != 0 {
		t.Error("it was never believed", news)
	}
}

// The TTL says when to ask again, between the bounds of the configuration, less a tenth.
func TestFollowTTL(t *testing.T) {
	n := dnstest.Start(t)
	n.Set("orders.test. 300 A 10.0.0.1", "orders.test. 400 AAAA 2001:db8::1") // of none it were true for two seconds
	for _, c := range []struct{ least, most, want time.Duration }{
		{time.Second, time.Hour, 300 * time.Second}, {time.Second, time.Minute, time.Minute}, {10 * time.Minute, time.Hour, 10 * time.Minute},
	} {
		s := of(t, "orders.test", 80, n.At)
		s.c.Least, s.c.Most = c.least, c.most
		f := &follower{c: s.c, name: "orders.test.", ctx: t.Context()}
		if news, wait := f.look(); news.Err != nil || wait > c.want || wait < c.want-c.want/10-time.Millisecond {
			t.Errorf("%+v: %v, %v", c, wait, news.Err)
		}
	}
}

// An address that several SRV records name has the best priority of them, in whatever order they come.
func TestLookTwice(t *testing.T) {
	n := dnstest.Start(t)
	for _, order := range [][]string{{"10 1", "20 2"}, {"20 2", "10 1"}} {
		n.Set("_twice._tcp.test. 7 SRV "+order[0]+" 80 a.test.", "_twice._tcp.test. 7 SRV "+order[1]+" 80 a.test.", "a.test. 7 A 10.0.0.1")
		for range 10 { // named turns them round
			elements, _, err := of(t, "_twice._tcp.test", 0, n.At).Look(t.Context(), "")
			if err != nil || len(elements) != 1 || elements[0].Priority != math.MaxUint16-10 || elements[0].Weight != 1 {
				t.Error(order, elements, err)
			}
		}
	}
}

// stop ends a look-up that waits for an answer.
func TestStopAtOnce(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s, err := New(Config{Servers: []netip.AddrPort{silent.LocalAddr().(*net.UDPAddr).AddrPort()}, Name: "x.test", Port: 1, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	stop := s.Follow("x", func(n pool.News) { t.Error("told: ", n) })
	if _, _, err := silent.ReadFrom(make([]byte, 512)); err != nil { // it waits now
		t.Fatal(err)
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 30*time.Second { // and not an hour
		t.Errorf("stop took %v", took)
	}
}

// Servers that lie, or send garbage, are servers that do not answer.
func TestHostileServers(t *testing.T) {
	for name, reply := range map[string]func(m *wire.Msg) []byte{
		"garbage":          func(*wire.Msg) []byte { return []byte("\x00\x01garbage garbage") },
		"one byte":         func(*wire.Msg) []byte { return []byte{1} },
		"another question": func(m *wire.Msg) []byte { m.Question[0].Name = "other.test."; return packed(lying(m)) },
		"another type":     func(m *wire.Msg) []byte { m.Question[0].Qtype = wire.TypeTXT; return packed(lying(m)) },
		"no question":      func(m *wire.Msg) []byte { m.Question = nil; return packed(lying(m)) },
		"another id":       func(m *wire.Msg) []byte { m.Id++; return packed(m) },
		"the question":     func(m *wire.Msg) []byte { m.Response = false; return packed(lying(m)) },
		"a referral":       func(m *wire.Msg) []byte { return packed(m) },
		"cut":              func(m *wire.Msg) []byte { p := packed(m); return p[:len(p)-3] },
		"truncated":        func(m *wire.Msg) []byte { m.Truncated = true; return packed(m) }, // and nobody is there over TCP
	} {
		t.Run(name, func(t *testing.T) {
			server, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			go serve(server, reply)
			c := Config{Name: "x.test", Port: 1, Timeout: 50 * time.Millisecond, Servers: []netip.AddrPort{server.LocalAddr().(*net.UDPAddr).AddrPort()}}
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if elements, _, err := s.Look(context.Background(), ""); err == nil || errors.Is(err, ErrNone) {
				t.Error(elements, err)
			}
		})
	}
}

// lying adds what would be taken for the element, were it not for something else.
func lying(m *wire.Msg) *wire.Msg {
	m.Authoritative = true
	m.Answer = []wire.RR{&wire.A{Hdr: wire.RR_Header{Name: "x.test.", Rrtype: wire.TypeA, Class: wire.ClassINET}, A: net.IPv4(10, 0, 0, 1)}}
	return m
}

// serve answers until the socket is closed.
func serve(server net.PacketConn, reply func(*wire.Msg) []byte) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := server.ReadFrom(buffer)
		if err != nil {
			return
		}
		m, r := new(wire.Msg), new(wire.Msg)
		if m.Unpack(buffer[:n]) == nil {
			r.SetReply(m)
			_, _ = server.WriteTo(reply(r), from)
		}
	}
}

func TestNew(t *testing.T) {
	for _, name := range []string{"", "{pol}.test", "a..b", strings.Repeat("a", 70) + ".test"} {
		if _, err := New(Config{Name: name}); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	s, err := New(Config{Name: "{pool}.x", Least: time.Hour})
	var told []pool.News
	s.Follow("not a name", func(n pool.News) { told = append(told, n) })()
	if _, _, e := s.Look(t.Context(), "a..b"); e == nil || len(told) != 1 || told[0].Err == nil {
		t.Error(e, told)
	}
	if err != nil || s.c.Most != time.Hour || s.c.Timeout != DefaultTimeout {
		t.Error(err, s)
	}
}

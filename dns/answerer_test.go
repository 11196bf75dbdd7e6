package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/dns/dnstest"
	"github.com/poolproxy/poolproxy/pool"
)

func element(address string, priority uint32) pool.Element {
	return pool.Element{Name: address, Address: netip.MustParseAddrPort(address), Priority: priority}
}

// answering runs an Answerer for some pools.
func answering(t *testing.T) (*Answerer, map[string]*pool.Pool) {
	t.Helper()
	pools := map[string]*pool.Pool{
		"Orders": pool.New("Orders", pool.Priority, []pool.Element{element("10.0.0.1:7001", 3), element("10.0.0.2:7001", 2), element("[2001:db8::]:7002", 1)}),
		"round":  pool.New("round", pool.RoundRobin, []pool.Element{element("10.0.1.1:1", 0), element("10.0.1.2:1", 0)}),
		"a.b":    pool.New("a.b", pool.RoundRobin, []pool.Element{element("10.0.2.1:1", 0)}),
		"empty":  pool.New("empty", pool.RoundRobin, nil),
	}
	var many []pool.Element
	for i := range 300 {
		many = append(many, element(fmt.Sprintf("10.1.%d.%d:7", i/200, i%200+1), 0))
	}
	pools["many"] = pool.New("many", pool.RoundRobin, many)
	a, err := Listen(AnswererConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Pools: func() map[string]*pool.Pool { return pools }, TTL: DefaultTTL, Log: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(a.Close(), a.Close()); err != nil {
			t.Error(err)
		}
	})
	return a, pools
}

// dig asks with BIND's dig, and returns the lines of the answer and authority sections, or the status if it is an error.
func dig(t *testing.T, a *Answerer, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("dig")
	if err != nil {
		if os.Getenv("POOLPROXY_CHECK") != "" {
			t.Fatal("dig is not installed")
		}
		t.Skipf("%s SKIPPED: dig is not installed (apt-get install bind9-dnsutils): nobody else has read the answers", t.Name())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := append([]string{"@127.0.0.1", "-p", fmt.Sprint(a.Addr().Port()), "+noall", "+comments", "+answer", "+norec", "+tries=1", "+time=30"}, args...)
	out, err := exec.CommandContext(ctx, path, all...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if _, status, is := strings.Cut(line, "status: "); is {
			if status, _, _ = strings.Cut(status, ","); status != "NOERROR" {
				lines = append(lines, status)
			}
		}
		if line != "" && line[0] != ';' {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, " | ")
}

// What dig is told, over UDP and TCP.
func TestDig(t *testing.T) {
	a, pools := answering(t)
	for _, flag := range []string{"+notcp", "+tcp", "+noedns"} {
		for _, c := range [][2]string{
			{"orders.pool A", "orders.pool. 1 IN A 10.0.0.1"},
			{"OrDerS.PooL. A", "OrDerS.PooL. 1 IN A 10.0.0.1"},
			{"orders.pool AAAA", "orders.pool. 1 IN AAAA 2001:db8::"},
			{"orders.pool SRV", "orders.pool. 1 IN SRV 0 0 7001 10-0-0-1.orders.pool. | orders.pool. 1 IN SRV 1 0 7001 10-0-0-2.orders.pool. | " +
				"orders.pool. 1 IN SRV 1 0 7002 2001-db8--0.orders.pool."},
			{"10-0-0-2.orders.pool A", "10-0-0-2.orders.pool. 1 IN A 10.0.0.2"},
			{"2001-db8--0.orders.pool AAAA", "2001-db8--0.orders.pool. 1 IN AAAA 2001:db8::"},
			{"10-0-0-2.orders.pool AAAA", ""},
			{"10-0-0-9.orders.pool A", "NXDOMAIN"},
			{"a.b.pool A", "a.b.pool. 1 IN A 10.0.2.1"},
			{"round.pool AAAA", ""},
			{"orders.pool TXT", ""},
			{"nobody.pool A", "NXDOMAIN"},
			{"empty.pool A", "SERVFAIL"},
			{"example.org A", "REFUSED"},
			{"orders.pool A CH", "REFUSED"},
			{"pool SOA", "pool. 1 IN SOA localhost. nobody.invalid. 1 60 60 60 1"},
		} {
			if got := dig(t, a, append(strings.Fields(c[0]), flag)...); got != c[1] {
				t.Errorf("%s %s: %s, not %s", c[0], flag, got, c[1])
			}
		}
	}
	// A failover is followed, and so is the source.
	now := time.Now()
	pools["Orders"].Failed(now.Add(time.Hour), "10.0.0.1:7001")
	if got := dig(t, a, "orders.pool", "A", "+short"); got != "10.0.0.2" {
		t.Errorf("behind a failure: %s", got)
	}
	pools["Orders"].Update([]pool.Element{element("10.0.0.9:1", 1)})
	if got := dig(t, a, "orders.pool", "A", "+short"); got != "10.0.0.9" {
		t.Errorf("behind a change: %s", got)
	}
	pools["Orders"].Failed(now.Add(time.Hour), "10.0.0.9:1")
	if got := dig(t, a, "orders.pool", "A", "+short"); got != "10.0.0.9" {
		t.Errorf("with none that may be tried now: %s", got)
	}
}

// Answers without room in a datagram are cut, and whole over TCP, as far as there is a bound.
func TestDigMany(t *testing.T) {
	a, _ := answering(t)
	got := strings.Split(dig(t, a, "many.pool", "SRV"), " | ") // dig asks again over TCP by itself
	if len(got) != mostServices || !strings.Contains(got[0], "SRV 0 0 7 10-1-0-1.many.pool.") || !strings.Contains(got[1], "SRV 1 0 7 10-1-0-2.many.pool.") {
		t.Errorf("%d lines: %s", len(got), got)
	}
	for _, size := range []uint16{0, 512, 600, 1232, 65535} {
		m := new(wire.Msg)
		m.SetQuestion("many.pool.", wire.TypeSRV)
		if size > 0 {
			m.SetEdns0(size, false)
		}
		conn, err := net.Dial("udp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p := ask1(t, conn, packed(m))
		conn.Close()
		if most := min(max(int(size), 512), payload); len(p) > most {
			t.Errorf("%d bytes, at most %d were asked for", len(p), most)
		}
		if r := new(wire.Msg); r.Unpack(p) != nil || !r.Truncated {
			t.Errorf("%d: it is not said that something is missing", size)
		}
	}
}

// ask1 sends a datagram and returns the one that comes back.
func ask1(t *testing.T, conn net.Conn, p []byte) []byte {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	buffer := make([]byte, 65536)
	_, err := conn.Write(p)
	n := 0
	if err == nil {
		n, err = conn.Read(buffer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

// A resolver that programs use gets the pool's elements in turn.
func TestResolver(t *testing.T) {
	a, _ := answering(t)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, a.Addr().String())
	}}
	var got []string
	for range 4 {
		addresses, err := r.LookupHost(t.Context(), "round.pool.")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, addresses...)
	}
	if !slices.Equal(got, []string{"10.0.1.1", "10.0.1.2", "10.0.1.1", "10.0.1.2"}) { // AAAA is asked, too, and is no turn
		t.Error(got)
	}
	var missing *net.DNSError
	if _, err := r.LookupHost(t.Context(), "nobody.pool."); !errors.As(err, &missing) || !missing.IsNotFound {
		t.Error(err)
	}
	if _, err := r.LookupHost(t.Context(), "empty.pool."); !errors.As(err, &missing) || missing.IsNotFound || !missing.IsTemporary {
		t.Error(err)
	}
}

// Garbage is refused or dropped, and what comes behind it is answered.
func TestGarbage(t *testing.T) {
	a, _ := answering(t)
	good := new(wire.Msg)
	good.SetQuestion("orders.pool.", wire.TypeA)
	reply, update, two, cut := good.Copy(), good.Copy(), good.Copy(), packed(good)
	reply.Response, update.Opcode = true, wire.OpcodeUpdate
	two.Question = append(two.Question, two.Question[0])
	edns := good.Copy()
	edns.SetEdns0(1232, false)
	edns.IsEdns0().SetVersion(9)
	conn, err := net.Dial("udp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range [][]byte{{}, {1}, []byte("GET / HTTP/1.0\r\n\r\n"), packed(reply), cut[:len(cut)-2], make([]byte, 4000)} {
		_, _ = conn.Write(p)
	}
	for _, c := range []struct {
		m    *wire.Msg
		code int
	}{{update, wire.RcodeNotImplemented}, {two, wire.RcodeFormatError}, {edns, wire.RcodeBadVers}, {good, wire.RcodeSuccess}} {
		c.m.Id = wire.Id()
		_, _ = conn.Write(packed(c.m))
		for r := new(wire.Msg); r.Id != c.m.Id; { // some of the garbage was answered, too
			if err := r.Unpack(ask1(t, conn, nil)); err != nil {
				t.Fatal(err)
			}
			if r.Id == c.m.Id && r.Rcode != c.code {
				t.Errorf("%s, not %s", wire.RcodeToString[r.Rcode], wire.RcodeToString[c.code])
			}
		}
	}
}

// More connections than there is room for are closed; when others end there is room again.
func TestFewConnections(t *testing.T) {
	a, _ := answering(t)
	m := new(wire.Msg)
	m.SetQuestion("orders.pool.", wire.TypeA)
	var open []*wire.Conn
	for range mostConnections {
		c, err := wire.DialTimeout("tcp", a.Addr().String(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	answered := func(c *wire.Conn) bool {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if c.WriteMsg(m) != nil {
			return false
		}
		_, err := c.ReadMsg()
		return err == nil
	}
	if !answered(open[mostConnections-1]) {
		t.Fatal("the last one there is room for is not answered")
	}
	if c, err := wire.DialTimeout("tcp", a.Addr().String(), 5*time.Second); err == nil {
		if answered(c) {
			t.Error("one too many is answered")
		}
		c.Close()
	}
	for _, c := range open {
		c.Close()
	}
	dnstest.WaitFor(t, "room", func() bool {
		c, err := wire.DialTimeout("tcp", a.Addr().String(), 5*time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		return answered(c)
	})
}

func TestListenTwice(t *testing.T) {
	a, pools := answering(t)
	if b, err := Listen(AnswererConfig{Listen: a.Addr(), Pools: func() map[string]*pool.Pool { return pools }}); err == nil || !strings.Contains(err.Error(), a.Addr().String()) {
		t.Error(b, err)
	}
}

// Whatever is asked, the answer can be packed, and is to the question.
func FuzzAnswer(f *testing.F) {
	pools := map[string]*pool.Pool{
		"orders": pool.New("orders", pool.RoundRobin, []pool.Element{element("10.0.0.1:7001", 0), element("[::]:1", 0), element("[fe80::1%1]:1", 0)})}
	a := &Answerer{c: AnswererConfig{Pools: func() map[string]*pool.Pool { return pools }}}
	a.SetTTL(time.Second)
	for _, name := range []string{"orders.pool.", "10-0-0-1.orders.pool.", "0--0.orders.pool.", "pool.", ".", "\\000.pool.", strings.Repeat("a.", 120) + "pool."} {
		for _, kind := range []uint16{wire.TypeA, wire.TypeSRV, wire.TypeANY} {
			m := new(wire.Msg)
			m.SetQuestion(name, kind)
			m.SetEdns0(600, true)
			f.Add(packed(m))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m := new(wire.Msg)
		if m.Unpack(p) != nil || len(m.Question) != 1 {
			return
		}
		r := a.answer(m, wire.MinMsgSize, time.Unix(1, 0))
		r.Truncate(wire.MinMsgSize)
		packed, err := r.Pack()
		if err != nil {
			if _, err := m.Pack(); err == nil { // else the question is not to be repeated either
				t.Fatalf("%v\n%v", err, r)
			}
			return
		}
		if len(packed) > wire.MinMsgSize && len(r.Answer) > 0 {
			t.Fatalf("%d bytes", len(packed))
		}
		if !r.Response || r.Id != m.Id || r.Question[0].Name != m.Question[0].Name {
			t.Fatal(r)
		}
	})
}

func packed(m *wire.Msg) []byte {
	p, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return p
}

// Where nobody looks how elements do, a failure that was reported is forgotten: what is named has the health of then, not of ever.
func TestAnswererForgives(t *testing.T) {
	a, pools := answering(t)
	p, now := pools["round"], time.Now()
	named := func(now time.Time) string {
		t.Helper()
		r := a.answer(new(wire.Msg).SetQuestion("round.pool.", wire.TypeA), wire.MinMsgSize, now)
		if len(r.Answer) != 1 {
			t.Fatal(r)
		}
		return r.Answer[0].(*wire.A).A.String()
	}
	for name, fails := range map[string]func(){
		"here":      func() { p.Unreachable(now, "10.0.1.1:1") },
		"elsewhere": func() { p.Reported(now, []string{"10.0.1.1:1"}) },
	} {
		fails()
		for range 2 {
			if got := named(now.Add(pool.Belief)); got != "10.0.1.2" {
				t.Errorf("%s: %s is named, which has failed", name, got)
			}
		}
		p.Suspect(now.Add(pool.Belief)) // a session looks at it; it has failed still
		now = now.Add(pool.Belief + time.Second)
		for range 2 {
			if got := named(now); got != "10.0.1.2" {
				t.Errorf("%s: %s is named, which has just failed", name, got)
			}
		}
		now = now.Add(pool.Belief)
		if got := named(now) + " " + named(now); got != "10.0.1.1 10.0.1.2" && got != "10.0.1.2 10.0.1.1" {
			t.Errorf("%s: named are %s", name, got)
		}
	}
}

package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/poolproxy/poolproxy/session"
)

// counter is a server that keeps how many requests of a session it has carried out in the session's cookie, as a script does over the
// admin API, and answers with that.
type counter struct {
	t     *testing.T
	l     net.Listener
	side  atomic.Pointer[Proxy] // that has its pool_element
	asked atomic.Int32          // connections that have asked for their cookie

	mu    sync.Mutex
	conns []net.Conn
}

func newCounter(t *testing.T) *counter {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, l: l}
	go c.serve()
	t.Cleanup(c.die)
	return c
}

// serve ends when the listener is closed.
func (c *counter) serve() {
	for {
		conn, err := c.l.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
		go c.one(conn)
	}
}

// one serves a connection; it ends with it.
func (c *counter) one(conn net.Conn) {
	defer conn.Close()
	client, server := conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort()
	cookie, err := c.side.Load().Cookie(client, server) // before anything was read
	if err != nil {
		c.t.Errorf("a connection that was just accepted: %v", err)
		return
	}
	c.asked.Add(1)
	n, _ := strconv.Atoi(string(cookie))
	in := bufio.NewReader(conn)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		n++
		if err := c.side.Load().SetCookie(client, server, []byte(strconv.Itoa(n))); err != nil {
			c.t.Errorf("setting the cookie: %v", err)
			return
		}
		if _, err := fmt.Fprintln(conn, n); err != nil {
			return
		}
	}
}

// die closes everything, abortively, as a killed process does that has not read all.
func (c *counter) die() {
	c.l.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// counters are two of them behind sidecars of three shards, over real sockets.
func counters(t *testing.T, key []byte, change func(*Element)) (x *sharded, servers []*counter) {
	for range 2 {
		servers = append(servers, newCounter(t))
	}
	next := 0
	x = newSharded(t, 2, func(c *Config) {
		if len(c.Elements) > 0 {
			c.Elements[0].Server, c.Elements[0].CookieKey = servers[next].l.Addr().(*net.TCPAddr).AddrPort(), key
			if change != nil {
				change(&c.Elements[0])
			}
			next++
		}
	})
	for i, s := range servers {
		s.side.Store(x.elements[i])
	}
	return x, servers
}

// Sessions on all shards: each server has the cookie when it accepts the connection, and a client sees one count whichever it has.
func TestCookiesOfServers(t *testing.T) {
	x, servers := counters(t, bytes.Repeat([]byte("k"), session.LeastCookieKey), nil)
	var clients []*shardClient
	for range 30 {
		clients = append(clients, x.client())
	}
	ask := func(want int) {
		t.Helper()
		for i, c := range clients {
			if _, err := fmt.Fprintln(c.conn, "GET"); err != nil {
				t.Fatal(err)
			}
			if text, err := c.in.ReadString('\n'); err != nil || text != fmt.Sprintln(want) {
				t.Fatalf("client %d: %q, %v, not %d", i, text, err, want)
			}
		}
	}
	for n := range 5 {
		ask(n + 1)
	}
	servers[0].die()
	for n := range 5 {
		ask(n + 6)
	}
	moved := 0
	for _, s := range x.user.Status().Sessions {
		if s.Cookie == 0 {
			t.Errorf("session %d has no cookie", s.ID)
		}
		if s.Leg > 1 {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no session has moved")
	}
}

// Who is not there, or not any more, has no cookie; without a key none can be set.
func TestCookiesOfNobody(t *testing.T) {
	x, servers := counters(t, nil, nil)
	for _, p := range append(x.elements, x.user) {
		if _, err := p.Cookie(netip.MustParseAddrPort("127.0.0.1:1"), netip.AddrPort{}); !errors.Is(err, ErrNoSession) {
			t.Error(err)
		}
		if err := p.SetCookie(netip.MustParseAddrPort("127.0.0.1:1"), netip.AddrPort{}, nil); !errors.Is(err, ErrNoSession) {
			t.Error(err)
		}
	}
	places := func() (found []netip.AddrPort) {
		for _, p := range x.elements {
			p.common.cookies.mu.Lock()
			for at := range p.common.cookies.at {
				found = append(found, at)
			}
			p.common.cookies.mu.Unlock()
		}
		return found
	}
	c := x.client()
	eventually(t, "the session is at a server", func() bool { return servers[0].asked.Load()+servers[1].asked.Load() == 1 })
	at := places()[0]
	var failed []error
	for _, p := range x.elements {
		if err := p.SetCookie(at, netip.AddrPort{}, []byte("x")); !errors.Is(err, ErrNoSession) {
			failed = append(failed, err)
		}
	}
	if len(failed) != 1 || !errors.Is(failed[0], session.ErrCookieKey) {
		t.Errorf("without a key: %v", failed)
	}
	c.conn.Close()
	eventually(t, "nothing is left of it", func() bool { return len(places()) == 0 })
}

// Both sides show business cards; an element that the pool does not have is in none.
func TestBusinessCardIsShown(t *testing.T) {
	nobody := netip.MustParseAddrPort("192.0.2.1:7001")
	x, servers := counters(t, nil, func(e *Element) { e.Card = &Card{Pool: "things", Order: []netip.AddrPort{nobody}} })
	c := x.client()
	eventually(t, "the session is at a server", func() bool { return servers[0].asked.Load()+servers[1].asked.Load() == 1 })
	for i, p := range x.elements {
		if got := p.Status().Elements[0].Card; got == nil || got.Pool != "things" || !slices.Equal(got.Order, []string{nobody.String()}) {
			t.Errorf("element %d shows %+v", i, got)
		}
	}
	pool := x.user.Pools()["things"]
	at := x.elements[0].Status().Elements[0].Name
	other := pool.States()[1]
	if known, _ := pool.Prefer(at, [16]byte{}, []netip.AddrPort{nobody, other.Address}); !slices.Equal(known, []string{other.Name}) {
		t.Errorf("known are %v", known)
	}
	if got := x.user.Status().Pools[0].Elements; !slices.Equal(got[0].Order, []string{other.Name}) || got[1].Order == nil || len(got[1].Order) > 0 {
		t.Errorf("the pool user shows %+v", got)
	}
	c.conn.Close()
}

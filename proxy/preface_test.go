//go:build linux

package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/secure/securetest"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// headerServer is a server that wants a PROXY protocol header on each connection, and then answers each line.
type headerServer struct {
	name     string
	listener net.Listener
	tls      *tls.Config // what is spoken behind the header; nil: no TLS. Set before anybody connects

	mu    sync.Mutex
	ends  []whence.Ends  // guarded by mu: of each connection that has shown a header
	bad   []string       // guarded by mu: what else connections began with
	lines []string       // guarded by mu
	conns []*net.TCPConn // guarded by mu
}

func newHeaderServer(t *testing.T, name string) *headerServer {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &headerServer{name: name, listener: l}
	var running sync.WaitGroup
	running.Go(func() { s.accept(&running) })
	t.Cleanup(func() { s.kill(); running.Wait() })
	return s
}

func (s *headerServer) address() netip.AddrPort {
	return netip.MustParseAddrPort(s.listener.Addr().String())
}

// accept ends when the listener is closed; what it starts ends with its connection, and newHeaderServer waits for it.
func (s *headerServer) accept(running *sync.WaitGroup) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn.(*net.TCPConn))
		s.mu.Unlock()
		running.Go(func() { s.serve(conn) })
	}
}

// serve reads the header byte by byte, so that nothing behind it is taken for a part of it.
func (s *headerServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var header []byte
	for {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		header = append(header, b)
		ends, n, err := whence.Parse(header)
		s.mu.Lock()
		switch {
		case err != nil:
			s.bad = append(s.bad, string(header))
		case n > 0:
			s.ends = append(s.ends, ends)
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		if n > 0 {
			break
		}
	}
	var behind io.ReadWriter = struct {
		io.Reader
		io.Writer
	}{in, conn}
	if s.tls != nil {
		behind = tls.Server(buffered{conn, in}, s.tls)
	}
	for lines := bufio.NewScanner(behind); lines.Scan(); {
		s.mu.Lock()
		s.lines = append(s.lines, lines.Text())
		s.mu.Unlock()
		fmt.Fprintf(behind, "%s by %s\n", lines.Text(), s.name)
	}
}

// buffered is a connection of which a reader has read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// kill ends it as a killed process does.
func (s *headerServer) kill() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	reset(s.conns)
	s.conns = nil
}

// heard returns the ends that it was told, and fails if a connection began with anything else.
func (s *headerServer) heard(t *testing.T) []whence.Ends {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bad) > 0 {
		t.Errorf("server %s: connections that began with %q", s.name, s.bad)
	}
	return append([]whence.Ends{}, s.ends...)
}

// originRig is a pool_user before one server without a sidecar.
type originRig struct {
	*testing.T
	proxy  *Proxy
	server *headerServer
	log    logged
}

func newOriginRig(t *testing.T, change func(*Config)) *originRig {
	r := &originRig{T: t, server: newHeaderServer(t, "a")}
	lines, err := protocol.NewLine(protocol.LineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Limits: Limits{Shards: 1, Sessions: 5}, Pools: []Pool{{Handle: "things", Mapping: mapping.None, SendProxy: whence.V2,
		Elements: []pool.Element{{Name: "a", Address: r.server.address()}}}},
		Users: []User{{Name: "things", Listen: anyPort, Pool: "things", Protocol: lines, Memory: 64 << 10,
			Accept:   &AcceptProxy{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: limitPatience},
			Failover: session.Failover{Deadline: limitPatience, Attempts: 5}}}}
	if change != nil {
		change(&c)
	}
	r.proxy = started(t, c, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Info}))
	return r
}

// dial connects, as the proxy that sends headers.
func (r *originRig) dial() *net.TCPConn {
	r.Helper()
	conn, err := net.Dial("tcp4", r.proxy.Status().Users[0].Listen)
	if err != nil {
		r.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(limitPatience))
	r.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// refused is what becomes of a client that says something, and finishes if it ends. The reset may come at any time, also before the
// connection is taken for made.
func (r *originRig) refused(says string, ends bool) (n int, err error) {
	conn, err := net.Dial("tcp4", r.proxy.Status().Users[0].Listen)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(limitPatience))
	_, _ = io.WriteString(conn, says)
	if ends {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	return conn.Read(make([]byte, 1))
}

const (
	sentV1    = "PROXY TCP4 192.0.2.1 10.0.0.5 54321 80\r\n"
	sentV2    = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x0a\x00\x00\x05\xd4\x31\x00\x50"
	sentLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

var sentEnds = whence.Ends{Client: netip.MustParseAddrPort("192.0.2.1:54321"), Dialed: netip.MustParseAddrPort("10.0.0.5:80")}

// Who connects through a proxy is known to the server by its own address; with a header that names none it is the connection's.
func TestAcceptProxy(t *testing.T) {
	for _, shards := range []int{1, threeShards} {
		t.Run(fmt.Sprint("shards=", shards), func(t *testing.T) {
			r := newOriginRig(t, func(c *Config) { c.Limits.Shards = shards })
			for _, c := range []struct {
				name, header string
				known        bool
				pieces       int // of how many bytes each; 0: all at once, with the request
			}{
				{"v1", sentV1, true, 0}, {"v1 in bytes", sentV1, true, 1}, {"v2", sentV2, true, 0}, {"v2 in pieces", sentV2, true, 5},
				{"UNKNOWN", "PROXY UNKNOWN\r\n", false, 0}, {"LOCAL", sentLocal, false, 0},
			} {
				conn := r.dial()
				_ = conn.SetNoDelay(true)
				want := sentEnds
				if !c.known {
					want = whence.Ends{Client: conn.LocalAddr().(*net.TCPAddr).AddrPort(), Dialed: conn.RemoteAddr().(*net.TCPAddr).AddrPort()}
				}
				request := strings.Repeat("x", 3000) + "\n"
				say(t, conn, c.header+request, c.pieces)
				reply, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || reply != strings.TrimSpace(request)+" by a\n" {
					t.Errorf("%s: %d bytes came, %v", c.name, len(reply), err)
				}
				heard := r.server.heard(t)
				if len(heard) == 0 || heard[len(heard)-1] != want {
					t.Errorf("%s: the server was told %v, not %v", c.name, heard, want)
				}
				if s := r.proxy.Status().Sessions; len(s) != 1 || s[0].Client != want.Client.String() || s[0].Dialed != want.Dialed.String() {
					t.Errorf("%s: sessions %+v", c.name, s)
				}
				_ = conn.Close()
				eventually(t, "the end of the session", func() bool { return len(r.proxy.Status().Sessions) == 0 })
			}
		})
	}
}

// say writes in pieces.
func say(t *testing.T, conn net.Conn, text string, piece int) {
	t.Helper()
	if piece == 0 {
		piece = len(text)
	}
	for len(text) > 0 {
		n := min(piece, len(text))
		if n == piece && piece < 10 && len(text) < 2900 { // the request at once
			n = len(text)
		}
		if _, err := conn.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
}

// Who sends no header, a wrong one, a part of one, or none in time, is refused, counted and logged, and leaves nothing behind.
func TestAcceptProxyRefused(t *testing.T) {
	long := func(c *Config) {}
	short := func(c *Config) { c.Users[0].Accept.Timeout = 50 * time.Millisecond }
	for _, c := range []struct {
		name, says string
		ends       bool // the client finishes behind it
		change     func(*Config)
		reason     string
		logged     string
	}{
		{"a request", "GET / HTTP/1.1\r\n\r\n", false, long, "no_header", "sends no PROXY protocol header"},
		{"TLS", "\x16\x03\x01\x02\x00", false, long, "no_header", "sends no PROXY protocol header"},
		{"garbage behind the word", "PROXY SCTP 1 2\r\n", false, long, "bad_header", "cannot be understood"},
		{"version 1 without end", "PROXY TCP4 " + strings.Repeat("1", 200), false, long, "bad_header", "within 107 bytes"},
		{"version 2 of 64 KiB", sentV2[:14] + "\xff\xff", false, long, "bad_header", "more than 4096"},
		{"half of version 1, and the end", sentV1[:20], true, long, "ended", "20 bytes had come"},
		{"half of version 2, and the end", sentV2[:20], true, long, "ended", "20 bytes had come"},
		{"nothing, and the end", "", true, long, "ended", "0 bytes had come"},
		{"half of version 1, and silence", sentV1[:20], false, short, "late", "20 bytes of it have come"},
		{"silence", "", false, short, "late", "0 bytes of it have come"},
		{"a stranger", sentV1, false, func(c *Config) { c.Users[0].Accept.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, "untrusted", "none of the networks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newOriginRig(t, c.change)
			if n, err := r.refused(c.says, c.ends); n != 0 || err == nil {
				t.Errorf("it is answered: %d, %v", n, err)
			}
			eventually(t, "the count", func() bool { return r.proxy.Status().Users[0].Refused[c.reason] == 1 })
			if !strings.Contains(r.log.String(), "client refused: ") || !strings.Contains(r.log.String(), c.logged) {
				t.Errorf("the log has no %q:\n%s", c.logged, r.log.String())
			}
			if n := r.proxy.common.sessions(); n != 0 || len(r.server.heard(t)) > 0 {
				t.Errorf("%d sessions; the server heard %v", n, r.server.heard(t))
			}
		})
	}
}

// Connections without a header count against limits.sessions, and make room when their time is over.
func TestAcceptProxySlow(t *testing.T) {
	r := newOriginRig(t, func(c *Config) { c.Users[0].Accept.Timeout = 2 * time.Second })
	for range 5 {
		r.dial()
	}
	eventually(t, "five who wait", func() bool { return r.proxy.common.sessions() == 5 })
	if _, err := r.refused("", false); err == nil {
		t.Error("a sixth is taken")
	}
	eventually(t, "their time to be over", func() bool { return r.proxy.Status().Users[0].Refused["late"] == 5 })
	conn := r.dial()
	say(t, conn, sentV1+"GET\n", 0)
	if reply, err := bufio.NewReader(conn).ReadString('\n'); reply != "GET by a\n" {
		t.Errorf("%q, %v", reply, err)
	}
}

// Without sidecars and with them: each server that serves a session is told by its first bytes whose it is, also the one after a failover,
// before what is replayed. A leg that is resumed has told it already.
func TestSendProxy(t *testing.T) {
	for _, version := range []whence.Version{whence.V1, whence.V2} {
		t.Run(version.String(), func(t *testing.T) {
			servers := []*headerServer{newHeaderServer(t, "a"), newHeaderServer(t, "b")}
			x := newSharded(t, 2, func(c *Config) {
				for i := range c.Elements { // the servers of the rig do not understand headers
					s := servers[0]
					if c.Elements[i].Name == "b" {
						s = servers[1]
					}
					c.Elements[i].Server, c.Elements[i].SendProxy = s.address(), version
					c.Elements[i].Health = &HealthCheck{Kind: HealthExpect, Address: s.address(), Send: []byte("PING\n"), Expect: pingReply,
						Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Rise: 1, Fall: 100}
				}
			})
			c := x.client()
			want := whence.Ends{Client: c.conn.LocalAddr().(*net.TCPAddr).AddrPort(), Dialed: c.conn.RemoteAddr().(*net.TCPAddr).AddrPort()}
			first := c.ask()
			for _, p := range x.paths {
				p.cut()
			}
			c.ask()
			served := map[string]*headerServer{"a": servers[0], "b": servers[1]}
			if got := clients(served[first].heard(t)); len(got) != 1 || got[0] != want {
				t.Errorf("server %s was told %v, not %v", first, got, want)
			}
			served[first].kill()
			second := c.ask()
			if got := clients(served[second].heard(t)); second == first || len(got) != 1 || got[0] != want {
				t.Errorf("server %s was told %v, not %v", second, got, want)
			}
			eventually(t, "a health check", func() bool {
				s := served[second]
				s.mu.Lock()
				defer s.mu.Unlock()
				return strings.Contains(strings.Join(s.lines, " "), "PING")
			})
			for _, s := range served {
				s.heard(t)
			}
		})
	}
}

var pingReply = regexp.MustCompile("^PING by")

// clients are the ends of connections that are not poolproxy's own: health checks name nobody.
func clients(heard []whence.Ends) (known []whence.Ends) {
	for _, e := range heard {
		if e.Known() {
			known = append(known, e)
		}
	}
	return known
}

// Where TLS is spoken the headers stand before it, in the clear, on both sides; also when the first words of the client's handshake come
// with its header, or one byte at a time.
func TestHeadersBeforeTLS(t *testing.T) {
	a := securetest.NewAuthority(t)
	front, back := a.Issue(frontName, nil), a.Issue(serverName, nil)
	load := func(f securetest.Files) *tls.Config {
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, shards := range []int{1, threeShards} {
		for _, piece := range []int{0, 1, 7} {
			t.Run(fmt.Sprintf("shards=%d/piece=%d", shards, piece), func(t *testing.T) {
				r := newOriginRig(t, func(c *Config) {
					c.Limits.Shards = shards
					c.Users[0].TLS = &EndTLS{Cert: front.Cert, Key: front.Key}
					c.Pools[0].ServerTLS = &EndTLS{CA: a.File, ServerName: serverName}
				})
				r.server.tls = load(back)
				raw := r.dial()
				_ = raw.SetNoDelay(true)
				conn := tls.Client(&headed{Conn: raw, header: sentV2, piece: piece}, &tls.Config{RootCAs: roots, ServerName: frontName})
				if _, err := io.WriteString(conn, "GET\n"); err != nil {
					t.Fatal(err)
				}
				if reply, err := bufio.NewReader(conn).ReadString('\n'); reply != "GET by a\n" {
					t.Errorf("%q, %v", reply, err)
				}
				if heard := r.server.heard(t); len(heard) != 1 || heard[0] != sentEnds {
					t.Errorf("the server was told %v", heard)
				}
				_ = conn.Close()
				eventually(t, "the end of the session", func() bool { return r.proxy.common.sessions() == 0 })
			})
		}
	}
}

// headed sends a header before the first words, with them or in pieces.
type headed struct {
	net.Conn
	header string
	piece  int // bytes; 0: all at once
}

func (h *headed) Write(p []byte) (int, error) {
	all := append([]byte(h.header), p...)
	if h.header == "" || h.piece == 0 {
		h.header = ""
		_, err := h.Conn.Write(all)
		return len(p), err
	}
	h.header = ""
	for len(all) > 0 {
		n := min(h.piece, len(all))
		if _, err := h.Conn.Write(all[:n]); err != nil {
			return 0, err
		}
		all = all[n:]
	}
	return len(p), nil
}

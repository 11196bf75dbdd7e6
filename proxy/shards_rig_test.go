//go:build linux

package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// sharded is a pool_user and a pool_element for each of several servers, all of three shards, over real sockets.
type sharded struct {
	*testing.T
	user     *Proxy
	elements []*Proxy
	servers  []*peerServer
	paths    []*cutPath // between the user and each element
	log      logged
}

const threeShards = 3

// newSharded starts everything; change may change the configurations.
func newSharded(t *testing.T, servers int, change func(*Config)) *sharded {
	return newMeasured(t, servers, nil, change)
}

// newMeasured is newSharded with metrics.
func newMeasured(t *testing.T, servers int, meter *metrics.Metrics, change func(*Config)) *sharded {
	x := &sharded{T: t}
	log := hclog.New(&hclog.LoggerOptions{Output: &x.log, Level: hclog.Debug})
	start := func(c Config) *Proxy {
		c.Limits.Shards = threeShards
		if change != nil {
			change(&c)
		}
		p, err := Start(c, log, meter)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopNow(p) })
		return p
	}
	beat := mapping.Heartbeat{Interval: time.Second, Misses: 3}
	var elements []pool.Element
	for i := range servers {
		s := newPeerServer(t, string(rune('a'+i)))
		p := start(Config{Elements: []Element{{Name: s.name, Listen: anyPort, Server: s.address(), Heartbeat: beat, Memory: 1 << 20,
			Hold: time.Minute}}})
		way := newPath(t, p.Status().Elements[0].Listen)
		x.servers, x.elements, x.paths = append(x.servers, s), append(x.elements, p), append(x.paths, way)
		elements = append(elements, pool.Element{Name: s.name, Address: way.address()})
	}
	lines, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}})
	if err != nil {
		t.Fatal(err)
	}
	x.user = start(Config{Pools: []Pool{{Handle: "things", Mapping: mapping.TCP, Elements: elements}},
		Users: []User{{Name: "things", Listen: anyPort, Pool: "things", Protocol: lines, Memory: 1 << 20, Heartbeat: beat,
			Failover: session.Failover{Replay: session.ReplayUnacked, Resume: 5 * time.Second, Deadline: 20 * time.Second, Attempts: 5}}}})
	return x
}

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func stopNow(p *Proxy) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	p.Stop(now)
}

// shardClient is a client of the pool_user.
type shardClient struct {
	*sharded
	conn net.Conn
	in   *bufio.Reader
	n    int
}

func (x *sharded) client() *shardClient {
	x.Helper()
	conn, err := net.Dial("tcp4", x.user.Status().Users[0].Listen)
	if err != nil {
		x.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(limitPatience))
	x.Cleanup(func() { _ = conn.Close() })
	return &shardClient{sharded: x, conn: conn, in: bufio.NewReader(conn)}
}

// clients begins n sessions, each of which has had its first reply.
func (x *sharded) clients(n int) (all []*shardClient) {
	for range n {
		c := x.client()
		c.ask()
		all = append(all, c)
	}
	return all
}

// ask sends a request and wants its reply; it returns the name of the server.
func (c *shardClient) ask() (server string) {
	c.Helper()
	c.send()
	return c.answer()
}

func (c *shardClient) send() {
	c.n++
	if _, err := fmt.Fprintf(c.conn, "GET %d\n", c.n); err != nil {
		c.Errorf("request %d: %v", c.n, err)
	}
}

func (c *shardClient) answer() (server string) {
	c.Helper()
	var n int
	line, err := c.in.ReadString('\n')
	if _, scan := fmt.Sscanf(line, "GET %d by %s", &n, &server); err != nil || scan != nil || n != c.n {
		c.Errorf("the reply to request %d is %q (%v)", c.n, line, err)
	}
	return server
}

// peerServer answers each line, and says its name.
type peerServer struct {
	name     string
	listener net.Listener
	accepted atomic.Int64
	tls      atomic.Pointer[tls.Config] // nil: it speaks without

	mu    sync.Mutex
	conns []*net.TCPConn // guarded by mu
}

func newPeerServer(t *testing.T, name string) *peerServer {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &peerServer{name: name, listener: l}
	s.serve(t)
	return s
}

// serve serves until the test ends.
func (s *peerServer) serve(t *testing.T) {
	var running sync.WaitGroup
	running.Go(func() { s.accept(&running) })
	t.Cleanup(func() { s.kill(); running.Wait() })
}

func (s *peerServer) address() netip.AddrPort {
	return netip.MustParseAddrPort(s.listener.Addr().String())
}

// accept ends when the listener is closed; what it starts ends with its connection, and newPeerServer waits for it.
func (s *peerServer) accept(running *sync.WaitGroup) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.accepted.Add(1)
		s.mu.Lock()
		s.conns = append(s.conns, conn.(*net.TCPConn))
		s.mu.Unlock()
		running.Go(func() {
			if config := s.tls.Load(); config != nil {
				conn = tls.Server(conn, config)
			}
			in := bufio.NewScanner(conn)
			for in.Scan() {
				fmt.Fprintf(conn, "%s by %s\n", in.Text(), s.name)
			}
			_ = conn.Close()
		})
	}
}

// kill ends the server as a killed process does: nothing listens, and its connections are reset.
func (s *peerServer) kill() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	reset(s.conns)
	s.conns = nil
}

func reset(conns []*net.TCPConn) {
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// path passes associations on, until it is cut.
type cutPath struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns []*net.TCPConn // guarded by mu
}

func newPath(t *testing.T, to string) *cutPath {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutPath{listener: l, to: to}
	var running sync.WaitGroup
	running.Go(func() { p.accept(&running) })
	t.Cleanup(func() { _ = l.Close(); p.cut(); running.Wait() })
	return p
}

func (p *cutPath) address() netip.AddrPort {
	return netip.MustParseAddrPort(p.listener.Addr().String())
}

// accept ends when the listener is closed; what it starts ends with its connections, and newPath waits for it.
func (p *cutPath) accept(running *sync.WaitGroup) {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp4", p.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, near.(*net.TCPConn), far.(*net.TCPConn))
		p.mu.Unlock()
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			running.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			})
		}
	}
}

// cut resets all connections; new ones are passed on.
func (p *cutPath) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	reset(p.conns)
	p.conns = nil
}

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// limited starts a proxy on a real loop with these limits, before a server; the server's connections come out of the channel.
func limited(t *testing.T, limits Limits, memory int) (client func() net.Conn, servers chan net.Conn, p *Proxy) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	servers, lines := acceptedOf(l, 16), tells(t)
	if n, err := strconv.Atoi(os.Getenv("POOLPROXY_TEST_SHARDS")); err == nil {
		limits.Shards = n
	}
	p, err = Start(Config{
		Limits: limits,
		Pools: []Pool{{Handle: "things", Mapping: mapping.None,
			Elements: []pool.Element{{Name: "a", Address: netip.MustParseAddrPort(l.Addr().String())}}}},
		Users: []User{{Name: "things", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Pool: "things", Protocol: lines, Memory: memory,
			Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3},
			Failover:  session.Failover{Replay: session.ReplayUnacked, Deadline: 5 * time.Second, Attempts: 3}}},
	}, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		p.Stop(now)
	})
	return dialler(t, p), servers, p
}

// acceptedOf are the connections of a listener, of which as many are kept as are asked for later.
func acceptedOf(l net.Listener, most int) chan net.Conn {
	conns := make(chan net.Conn, most)
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return conns
}

// tells is protocol line in which what begins with TELL has no reply.
func tells(t *testing.T) protocol.Protocol {
	t.Helper()
	lines, err := protocol.NewLine(protocol.LineConfig{OneWay: []*regexp.Regexp{regexp.MustCompile("^TELL")}})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// dialler makes clients of the first pool_user.
func dialler(t *testing.T, p *Proxy) func() net.Conn {
	at := p.Status().Users[0].Listen
	return func() net.Conn {
		c, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(limitPatience))
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// limitPatience bounds what these tests wait for in the real world.
const limitPatience = 40 * time.Second

// eventually polls for an event.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(limitPatience); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// Beyond limits.sessions a client is refused with a reset, at once; when another has left there is room again.
func TestLimitOfSessions(t *testing.T) {
	client, servers, p := limited(t, Limits{Sessions: 2}, 64<<10)
	first, second := client(), client()
	for range 2 {
		defer (<-servers).Close()
	}
	third, err := net.Dial("tcp4", p.Status().Users[0].Listen) // the reset may come before Dial has returned
	if err == nil {
		_ = third.SetDeadline(time.Now().Add(limitPatience))
		_, err = third.Read(make([]byte, 1))
		_ = third.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the third client: %v", err)
	}
	if n := len(p.Status().Sessions); n != 2 {
		t.Errorf("%d sessions", n)
	}
	_ = first.(*net.TCPConn).SetLinger(0)
	_ = first.Close()
	eventually(t, "the first session is over", func() bool { return len(p.Status().Sessions) == 1 })
	fourth := client()
	server := <-servers
	defer server.Close()
	if _, err := fourth.Write([]byte("GET 1\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "GET 1\n" {
		t.Errorf("%q, %v", got, err)
	}
	_ = second.Close()
}

// At their part of limits.memory, here half of it, clients are not read any more, and nothing is lost: when the server reads on, so
// does the proxy.
func TestLimitOfMemory(t *testing.T) {
	const limit = 2 * reserve // the least that a configuration may ask for
	client, servers, p := limited(t, Limits{Memory: limit}, 8<<20)
	c := client()
	server := <-servers
	defer server.Close()
	_ = server.(*net.TCPConn).SetReadBuffer(128 << 10)
	text := bytes.Repeat([]byte("TELL "+string(bytes.Repeat([]byte("x"), 994))+"\n"), 12<<10) // 12 MiB
	wrote := make(chan error, 1)
	go func() { // ends when all is written, or at the connection's deadline
		_, err := c.Write(text)
		wrote <- err
	}()
	held := func() (n int) {
		for _, r := range p.runners {
			r.do(func() { n += r.shard.loop.Buffers().Out() })
		}
		return n
	}
	eventually(t, "the share of clients is used", func() bool { return held() >= limit/2 })
	for range 50 { // it stays where it is while the server does not read
		if n := held(); n > limit {
			t.Fatalf("%d bytes are held, the limit is %d", n, limit)
		}
	}
	select {
	case err := <-wrote:
		t.Fatalf("all was taken though the server reads nothing: %v", err)
	default:
	}
	got := make([]byte, len(text))
	_ = server.SetReadDeadline(time.Now().Add(limitPatience))
	if n, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d of %d bytes came, %v", n, len(text), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is held", func() bool { return held() <= 64<<10 }) // what is read into
}

// Replies are what frees memory: they are read though the limit is reached.
func TestRepliesAtTheLimit(t *testing.T) {
	client, servers, _ := limited(t, Limits{Memory: 256 << 10}, 8<<20)
	c := client()
	server := <-servers
	defer server.Close()
	line := append(bytes.Repeat([]byte("y"), 1000), '\n')
	const n = 600
	go func() { // ends when all is written, or at the connection's deadline
		for range n {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	}()
	go func() { // answers everything; ends with the connection
		buf := make([]byte, 64<<10)
		for {
			k, err := server.Read(buf)
			if err != nil {
				return
			}
			if _, err := server.Write(buf[:k]); err != nil {
				return
			}
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(limitPatience))
	got := make([]byte, n*len(line))
	if k, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("%d of %d bytes came back: %v", k, len(got), err)
	}
}

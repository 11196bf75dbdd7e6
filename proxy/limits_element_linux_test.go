package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// inBuffers is what is in the buffers of a process, in bytes.
func inBuffers(p *Proxy) (n int) {
	for _, r := range p.runners {
		r.do(func() { n += r.shard.loop.Buffers().Out() })
	}
	return n
}

// smallBuffers has the connections of a listening socket keep little of what its process does not read.
func smallBuffers(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) })
	return errors.Join(err, set)
}

// before starts a pool_element with these limits before a server, and a pool_user with enough memory. A connection of the server comes out
// of the channel; little of it is in the kernel's buffers.
func before(t *testing.T, limits Limits, memory int) (client func() net.Conn, servers chan net.Conn, user, element *Proxy) {
	l, err := (&net.ListenConfig{Control: smallBuffers}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	servers, lines := acceptedOf(l, 64), tells(t)
	start := func(c Config) *Proxy {
		p, err := Start(c, hclog.NewNullLogger(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopNow(p) })
		return p
	}
	beat := mapping.Heartbeat{Interval: time.Second, Misses: 30}
	element = start(Config{Limits: limits, Elements: []Element{{Name: "a", Listen: anyPort, Heartbeat: beat, Memory: memory, Hold: time.Minute,
		Server: netip.MustParseAddrPort(l.Addr().String())}}})
	user = start(Config{
		Pools: []Pool{{Handle: "things", Mapping: mapping.TCP,
			Elements: []pool.Element{{Name: "a", Address: netip.MustParseAddrPort(element.Status().Elements[0].Listen)}}}},
		Users: []User{{Name: "things", Listen: anyPort, Pool: "things", Protocol: lines, Memory: memory, Heartbeat: beat,
			Failover: session.Failover{Replay: session.ReplayUnacked, Resume: 5 * time.Second, Deadline: limitPatience, Attempts: 3}}}})
	return dialler(t, user), servers, user, element
}

// limits.memory of a pool_element holds when servers do not read: who sends to them waits, and nothing is lost; who is served goes on.
func TestLimitOfMemoryAtElement(t *testing.T) {
	const limit, memory, many = 4 << 20, 1 << 20, 24
	client, servers, user, element := before(t, Limits{Memory: limit, Sessions: 64, Shards: 1}, memory)
	quick := client()
	server := <-servers
	defer server.Close()
	go io.Copy(server, server) // answers everything; ends with the connection
	n, line := 0, make([]byte, 0, 16)
	asks := func() {
		n++
		line = fmt.Appendf(line[:0], "GET %d\n", n)
		if _, err := quick.Write(line); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(quick, got); err != nil || !bytes.Equal(got, line) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	text := bytes.Repeat([]byte("TELL "+string(bytes.Repeat([]byte("x"), 994))+"\n"), 8<<10) // 8 MiB
	wrote := make(chan error, many)
	var deaf []net.Conn
	for range many {
		c := client()
		go func() { // ends when all is written, or at the connection's deadline
			_, err := c.Write(text)
			wrote <- err
		}()
		deaf = append(deaf, <-servers)
	}
	most := 0
	eventually(t, "all that send wait", func() bool {
		asks()
		most = max(most, inBuffers(element))
		waiting := 0
		for _, s := range user.Status().Sessions {
			if s.Retained >= memory*3/4 {
				waiting++
			}
		}
		return waiting == many
	})
	for range 100 { // it stays so
		asks()
		most = max(most, inBuffers(element))
	}
	t.Logf("at most %d KiB were held, the limit is %d KiB", most>>10, limit>>10)
	if most > limit+reserve {
		t.Errorf("%d bytes are held, the limit is %d", most, limit)
	}
	for _, server := range deaf {
		go func() { // ends with what was written, or at the deadline
			_ = server.SetReadDeadline(time.Now().Add(limitPatience))
			got := make([]byte, len(text))
			k, err := io.ReadFull(server, got)
			if err == nil && !bytes.Equal(got, text) {
				err = errors.New("other bytes came")
			}
			if err != nil {
				err = fmt.Errorf("%d of %d bytes: %w", k, len(text), err)
			}
			_ = server.Close()
			wrote <- err
		}()
	}
	for range 2 * many {
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	}
	asks()
}

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// bulkRig is two sidecars with real sockets, a path between them that can be cut, and a server.
type bulkRig struct {
	t             *testing.T
	user, element *Proxy
	path          *bulkPath
	servers       chan *net.TCPConn
}

// newBulkRig starts all with protocol stream; pipes is limits.pipes of either sidecar. Both are permitted to be disturbed.
func newBulkRig(t *testing.T, pipes int) *bulkRig {
	r := &bulkRig{t: t, servers: make(chan *net.TCPConn, 4)}
	server := listenLocal(t)
	go func() { // ends when the listener is closed
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			r.servers <- c.(*net.TCPConn)
		}
	}()
	beat := mapping.Heartbeat{Interval: time.Second, Misses: 3}
	limits := Limits{Shards: 1, Pipes: pipes}
	anywhere := netip.MustParseAddrPort("127.0.0.1:0")
	r.element = r.start(Config{Limits: limits, Elements: []Element{{Name: "e", Listen: anywhere, Server: addrOf(server), Mapping: mapping.TCP,
		Heartbeat: beat, Memory: 1 << 20, Hold: 30 * time.Second, Chaos: true}}})
	r.path = newBulkPath(t, r.element.Status().Elements[0].Listen)
	r.user = r.start(Config{Limits: limits,
		Pools: []Pool{{Handle: "p", Chaos: true, Mapping: mapping.TCP, Elements: []pool.Element{{Name: "e", Address: addrOf(r.path.listener)}}}},
		Users: []User{{Name: "u", Listen: anywhere, Pool: "p", Heartbeat: beat, Memory: 1 << 20,
			Protocol: protocol.NewStream(protocol.StreamConfig{NoJoin: true}),
			Failover: session.Failover{Resume: 30 * time.Second, Deadline: 30 * time.Second, Attempts: 3}}}})
	return r
}

func addrOf(l net.Listener) netip.AddrPort { return netip.MustParseAddrPort(l.Addr().String()) }

func listenLocal(t *testing.T) net.Listener {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (r *bulkRig) start(c Config) *Proxy {
	p, err := Start(c, hclog.NewNullLogger(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { stopNow(p) })
	return p
}

// dial returns both ends of a session.
func (r *bulkRig) dial() (client, server *net.TCPConn) {
	c, err := net.Dial("tcp", r.user.Status().Users[0].Listen)
	if err != nil {
		r.t.Fatal(err)
	}
	server = <-r.servers
	r.t.Cleanup(func() { c.Close(); server.Close() })
	return c.(*net.TCPConn), server
}

// pages tells how many piped buffers a sidecar has out, and has had.
func pages(p *Proxy) (out, all int) {
	for _, r := range p.runners {
		r.do(func() {
			shardOut, shardAll := r.loop.Buffers().Pages()
			out, all = out+shardOut, all+shardAll
		})
	}
	return out, all
}

func (r *bulkRig) eventually(what string, f func() bool) {
	r.t.Helper()
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for end := time.Now().Add(limitPatience); !f(); <-often.C {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// atRest waits until nothing is moved as pages any more, and returns how many of them wait.
func (r *bulkRig) atRest() (wait int) {
	r.t.Helper()
	last, same := 0, 0
	r.eventually("pages to be at rest", func() bool {
		at, all := pages(r.user)
		behind, more := pages(r.element)
		if same++; all+more != last { // a machine that is busy elsewhere rests, too
			last, same = all+more, 0
		}
		wait = at + behind
		return same == 100 // looks
	})
	return wait
}

// flow is one direction of a transfer.
type flow struct {
	size int64
	seed uint64
	got  atomic.Int64
	stop atomic.Int64  // the receiver pauses there
	on   chan struct{} // until something comes of this, or it is closed
	errs chan error    // of the sender and of the receiver
}

func newFlow(size int64, seed uint64) *flow {
	f := &flow{size: size, seed: seed, on: make(chan struct{}), errs: make(chan error, 2)}
	f.stop.Store(size + 1)
	return f
}

// run sends through one connection and receives at the other.
func (f *flow) run(from, to *net.TCPConn) {
	go func() { f.errs <- f.send(from) }() // both end with the transfer
	go func() { f.errs <- f.receive(to) }()
}

func (f *flow) send(c *net.TCPConn) error {
	source := rand.NewChaCha8([32]byte{byte(f.seed)})
	block := make([]byte, 128<<10)
	for left := f.size; left > 0; {
		source.Read(block)
		n, err := c.Write(block[:min(left, int64(len(block)))])
		left -= int64(n)
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return c.CloseWrite()
}

func (f *flow) receive(c *net.TCPConn) error {
	source := rand.NewChaCha8([32]byte{byte(f.seed)})
	block, want := make([]byte, 128<<10), make([]byte, 128<<10)
	for {
		n, err := io.ReadFull(c, block)
		source.Read(want)
		if !bytes.Equal(block[:n], want[:n]) {
			return fmt.Errorf("receive: wrong bytes between %d and %d", f.got.Load(), f.got.Load()+int64(n))
		}
		if got := f.got.Add(int64(n)); err == io.EOF || err == io.ErrUnexpectedEOF {
			if got != f.size {
				return fmt.Errorf("receive: the end came at %d of %d", got, f.size)
			}
			return nil
		} else if err != nil {
			return fmt.Errorf("receive at %d: %w", got, err)
		} else if got >= f.stop.Load() {
			<-f.on
		}
	}
}

func (f *flow) wait(t *testing.T) {
	t.Helper()
	for range 2 {
		if err := <-f.errs; err != nil {
			t.Error(err)
		}
	}
}

// bulkPath passes connections on and can reset them.
type bulkPath struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn // guarded by mu
}

func newBulkPath(t *testing.T, to string) *bulkPath {
	p := &bulkPath{listener: listenLocal(t)}
	go func() { // ends when the listener is closed, and the copiers with their connections
		for {
			near, err := p.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				pair[0].(*net.TCPConn).SetLinger(0)
				go func() { io.Copy(pair[0], pair[1]); pair[0].Close(); pair[1].Close() }()
			}
		}
	}()
	t.Cleanup(p.cut)
	return p
}

// cut resets what there is; who dials again gets through.
func (p *bulkPath) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// TestSpliceCuts sends bulk both ways and cuts the association again and again: every byte arrives once, with pages, with too few
// pipes, and with none.
func TestSpliceCuts(t *testing.T) {
	const size = 64 << 20
	for _, pipes := range []int{256, 5, 1, 0} {
		t.Run(fmt.Sprintf("%d pipes", pipes), func(t *testing.T) {
			r := newBulkRig(t, pipes)
			client, server := r.dial()
			down, up := newFlow(size, 1), newFlow(size, 2)
			down.run(server, client)
			up.run(client, server)
			for part := int64(size / 8); part < size; part += size / 8 {
				r.eventually("a part both ways", func() bool { return down.got.Load() >= part && up.got.Load() >= part })
				r.path.cut()
			}
			down.wait(t)
			up.wait(t)
			for name, p := range map[string]*Proxy{"user": r.user, "element": r.element} {
				r.eventually("all pages to come back", func() bool { out, _ := pages(p); return out == 0 })
				if _, all := pages(p); pipes == 256 && all < size/(240<<10) || (pipes == 0) != (all == 0) {
					t.Errorf("%s: %d piped buffers for %d MiB both ways", name, all, size>>20)
				}
			}
		})
	}
}

// TestSpliceStalled has a receiver stop in the middle: pages wait at the sidecars, also while the association is cut, and come to
// it when it goes on. Another session is not harmed meanwhile.
func TestSpliceStalled(t *testing.T) {
	const size = 96 << 20
	r := newBulkRig(t, 256)
	client, server := r.dial()
	down := newFlow(size, 3)
	down.stop.Store(size / 2)
	down.run(server, client)
	r.eventually("bulk as pages", func() bool {
		_, there := pages(r.user)
		_, here := pages(r.element)
		return there > 50 && here > 50 && down.got.Load() >= size/2
	})
	for r.atRest() == 0 { // what waits has been copied, as it may be: it goes on, and is stopped again
		down.stop.Add(4 << 20)
		down.on <- struct{}{}
		r.eventually("the next stop", func() bool { return down.got.Load() >= down.stop.Load() })
	}
	r.path.cut()
	otherClient, otherServer := r.dial()
	other := newFlow(size, 4)
	other.run(otherServer, otherClient)
	other.wait(t)
	close(down.on)
	down.wait(t)
	up := newFlow(1<<20, 5) // the other direction is still open
	up.run(client, server)
	up.wait(t)
}

// TestSpliceReset resets the client in the middle of bulk: the server is told, and nothing stays behind.
func TestSpliceReset(t *testing.T) {
	before := descriptors(t)
	r := newBulkRig(t, 256)
	client, server := r.dial()
	down := newFlow(1<<40, 6)
	down.run(server, client)
	r.eventually("bulk as pages", func() bool { _, all := pages(r.user); return all > 100 })
	client.SetLinger(0)
	client.Close()
	for range 2 {
		if err := <-down.errs; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, not a reset", err)
		}
	}
	for _, p := range []*Proxy{r.user, r.element} {
		r.eventually("all memory to come back", func() bool {
			var out int
			for _, r := range p.runners {
				r.do(func() {
					out += r.loop.Buffers().Out()
					if r.shard.scratch != nil {
						out -= len(r.shard.scratch.Bytes)
					}
				})
			}
			return out == 0
		})
	}
	stopNow(r.user)
	stopNow(r.element)
	r.path.cut()
	server.Close()
	r.path.listener.Close()
	r.eventually("all descriptors to be closed", func() bool { return descriptors(t) <= before+2 }) // the server's listener, and a poller
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

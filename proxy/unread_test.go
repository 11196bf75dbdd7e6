//go:build linux

package proxy

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
)

// caller is our end of a connection to a reader, on a real loop.
type caller struct {
	testing.TB
	loop    loop.Runner
	kernel  *kernel
	socket  *serverSocket
	heard   chan error // the outcome of connecting, then how the connection ended
	written int
}

// call connects to a server.
func call(t testing.TB, to netip.AddrPort) *caller {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	k := testKernel(t)
	c := &caller{TB: t, loop: l, kernel: k, socket: &serverSocket{local: &local{}}, heard: make(chan error, 2)}
	var running sync.WaitGroup
	running.Go(l.Run)
	t.Cleanup(func() { l.Stop(); running.Wait() })
	c.do(func() { c.socket.Conn = l.Dial(to, c) })
	if err := c.hear(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Ready hears the outcome of connecting, and reads to find the end (loop.Handler).
func (c *caller) Ready(ev loop.Event) {
	if ev&loop.Connected != 0 {
		c.heard <- nil
	}
	if ev&loop.Readable != 0 {
		_, err := c.socket.Read(make([]byte, 100))
		if err != nil && !errors.Is(err, loop.ErrAgain) {
			c.heard <- err
		}
	} else if ev&loop.Hangup != 0 {
		c.heard <- c.socket.Err()
	}
}

// hear waits for the next that is heard of the connection.
func (c *caller) hear() error {
	c.Helper()
	select {
	case err := <-c.heard:
		return err
	case <-time.After(patience):
		c.Fatal("nothing was heard of the connection")
		return nil
	}
}

// do runs f on the loop, and waits for it.
func (c *caller) do(f func()) {
	c.Helper()
	done := make(chan struct{})
	if !c.loop.Post(func() { f(); close(done) }) {
		c.Fatal("the loop has ended")
	}
	<-done
}

func (c *caller) write(n int) {
	c.Helper()
	c.do(func() {
		if taken, err := c.socket.Write(make([]byte, n)); taken < n {
			c.Errorf("%d of %d bytes taken: %v", taken, n, err)
		}
	})
	c.written += n
}

func (c *caller) unread() (n int, ok bool) {
	c.Helper()
	c.do(func() {
		var err error
		if n, ok, err = c.socket.unread(c.kernel); err != nil {
			c.Error(err)
		}
	})
	return n, ok
}

// expect waits until exactly so many are unread: delayed acknowledgements make it more for a while, nothing may make it less.
func (c *caller) expect(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d unread bytes", want), func() bool {
		n, ok := c.unread()
		if !ok || n < want {
			t.Fatalf("%d unread (%t): %d are", n, ok, want)
		}
		return n == want
	})
}

func (c *caller) unknown(t *testing.T, when string) {
	t.Helper()
	if n, ok := c.unread(); ok || n != 0 {
		t.Errorf("%s: %d unread (%t), where it cannot be known", when, n, ok)
	}
}

// While a process is frozen what it has not read is known exactly; it falls as the process reads. The end of our bytes does not count.
func TestUnreadIsExact(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		t.Run(at, func(t *testing.T) {
			r := startReader(t, at)
			to := r.at
			if to.Addr().IsUnspecified() {
				to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port()) // IPv4 in IPv6 clothes, at the server's end
			}
			c := call(t, to)
			c.expect(t, 0)
			c.write(10)
			c.expect(t, 10) // before it is accepted
			r.expect("accepted <nil>", "accept")
			c.expect(t, 10)
			r.expect("read 3 ok", "read 3")
			c.expect(t, 7)
			r.freeze()
			c.write(1)
			c.expect(t, 8)
			c.write(100_000) // more than one segment
			c.expect(t, 100_008)
			c.do(func() { _ = c.socket.CloseWrite() })
			c.expect(t, 100_008)
			r.thaw()
			r.expect("read 100010 ok", "read 100007")
			c.expect(t, 1)
			r.expect("read 100011 ok", "read 1")
			c.expect(t, 0)
			r.expect("read 100011 end", "read 1")
			c.expect(t, 0)
		})
	}
}

// With TCP_DEFER_ACCEPT there is no connection at the server's end before the first byte.
func TestUnreadDeferred(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		r := startReader(t, at, readerDefer+"=1")
		to := r.at
		if to.Addr().IsUnspecified() {
			to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
		}
		c := call(t, to)
		c.expect(t, 0)
		c.write(5)
		c.expect(t, 5)
		r.expect("accepted <nil>", "accept")
		r.expect("read 5 ok", "read 5")
		c.expect(t, 0)
	}
}

// A process that is killed sends FIN if all was read, RST if a single byte was not; and then nothing can be asked any more.
func TestDeathTells(t *testing.T) {
	for name, c := range map[string]struct {
		written, read int
		frozen        bool
		end           error
	}{
		"nothing was written":       {0, 0, false, io.EOF},
		"all was read":              {10, 10, false, io.EOF},
		"all was read, then frozen": {10, 10, true, io.EOF},
		"a single byte was not":     {10, 9, false, loop.ErrReset},
		"a single byte at all":      {1, 0, false, loop.ErrReset},
		"frozen, a byte unread":     {10, 9, true, loop.ErrReset},
		"much was not":              {100_000, 10, false, loop.ErrReset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReader(t, "127.0.0.1:0")
			us := call(t, r.at)
			r.expect("accepted <nil>", "accept")
			us.write(c.written)
			r.expect(fmt.Sprintf("read %d ok", c.read), "read %d", c.read)
			us.expect(t, c.written-c.read)
			if c.frozen {
				r.freeze()
			}
			r.kill()
			if err := us.hear(); !errors.Is(err, c.end) {
				t.Errorf("%v, not %v", err, c.end)
			}
			us.unknown(t, "dead")
		})
	}
}

// A server that has closed will read nothing more. One that has only finished its own bytes may.
func TestUnreadAfterClose(t *testing.T) {
	r := startReader(t, "127.0.0.1:0")
	c := call(t, r.at)
	r.expect("accepted <nil>", "accept")
	c.write(10)
	r.expect("finished <nil>", "finish")
	if err := c.hear(); err != io.EOF {
		t.Fatal(err)
	}
	c.expect(t, 10)
	r.expect("read 4 ok", "read 4")
	c.expect(t, 6)
	c.do(func() { _ = c.socket.CloseWrite() })
	eventually(t, "the kernel to forget it", func() bool { _, ok := c.unread(); return !ok })
	r.expect("read 10 ok", "read 6") // all the same

	r = startReader(t, "127.0.0.1:0")
	c = call(t, r.at)
	r.expect("accepted <nil>", "accept")
	r.expect("closed <nil>", "close")
	if err := c.hear(); err != io.EOF {
		t.Fatal(err)
	}
	c.unknown(t, "closed")
}

// A reset does not take from a frozen process what lies in its queue: it reads that when it wakes.
func TestResetLeavesQueue(t *testing.T) {
	r := startReader(t, "127.0.0.1:0")
	c := call(t, r.at)
	r.expect("accepted <nil>", "accept")
	r.freeze()
	c.write(10)
	c.expect(t, 10)
	local, remote := c.socket.Local(), c.socket.Remote()
	c.do(c.socket.Conn.Reset)
	c.unknown(t, "reset by us")
	c.do(func() {
		if n, ok, err := c.kernel.queued(local, remote); ok || err != nil {
			t.Errorf("the reset has not arrived: %d bytes, %v", n, err)
		}
	})
	r.thaw()
	r.expect("read 10 reset", "read 11")
}

// What is not exactly the other end of our connection is not asked about.
func TestUnreadOfOthers(t *testing.T) {
	r := startReader(t, "127.0.0.1:0")
	c := call(t, r.at)
	c.write(10)
	c.expect(t, 10)
	port := func(a netip.AddrPort, d int) netip.AddrPort {
		return netip.AddrPortFrom(a.Addr(), uint16(int(a.Port())+d))
	}
	host := func(a netip.AddrPort, ip string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(ip), a.Port())
	}
	us, they := c.socket.Local(), c.socket.Remote()
	for name, pair := range map[string][2]netip.AddrPort{
		"a listener, no connection":   {port(us, 1), they},
		"another port":                {us, port(they, 1)},
		"our own end":                 {they, they},
		"the other's address is ours": {us, us},
		"another address of the host": {us, host(they, "127.0.0.2")},
		"another address of ours":     {host(us, "127.0.0.2"), they},
		"no address":                  {us, netip.AddrPort{}},
		"an unknown zone":             {host(us, "fe80::1%nowhere"), host(they, "fe80::2%nowhere")},
	} {
		if n, ok, err := c.kernel.queued(pair[0], pair[1]); n != 0 || ok || err != nil {
			t.Errorf("%s: %d, %t, %v", name, n, ok, err)
		}
	}
	mapped := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	if n, ok, err := c.kernel.queued(mapped(us), mapped(they)); n != 10 || !ok || err != nil {
		t.Errorf("the same addresses in IPv6 clothes: %d, %t, %v", n, ok, err)
	}
	if n, ok, err := c.socket.unread(nil); n != 0 || ok || err != nil {
		t.Errorf("without a kernel: %d, %t, %v", n, ok, err)
	}
}

// An answer that was left behind is not taken for that to the next question.
func TestKernelRecovers(t *testing.T) {
	c := call(t, startReader(t, "127.0.0.1:0").at)
	c.write(10)
	c.expect(t, 10)
	us, they := c.socket.Local(), c.socket.Remote()
	left := netlink.Message{Header: netlink.Header{Length: netlinkHeader + inetDiagReqSize, Type: sockDiagByFamily, Flags: netlink.Request,
		Sequence: 1 << 31}, Data: diagRequest(us, they, 0)}
	if err := c.kernel.raw.Control(func(fd uintptr) {
		b, err := left.MarshalBinary()
		if err == nil {
			_, err = unix.Write(int(fd), b)
		}
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n, ok, err := c.kernel.queued(us, they); n != 0 || ok || err == nil || !strings.Contains(err.Error(), they.String()) {
		t.Errorf("%d, %t, %v", n, ok, err)
	}
	c.expect(t, 10)
}

// From another network namespace the other end is not seen.
func TestUnreadInAnotherNamespace(t *testing.T) {
	r := startReader(t, "127.0.0.1:0")
	c := call(t, r.at)
	c.write(10)
	c.expect(t, 10)
	there := make(chan *kernel)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Logf("no namespace can be made: %v", err)
			there <- nil
			return
		}
		there <- openKernel(newCensus())
	}()
	k := <-there
	if k == nil {
		t.Skip("this test makes a network namespace, as root")
	}
	defer k.close()
	if n, ok, err := k.queued(c.socket.Local(), c.socket.Remote()); n != 0 || ok || err != nil {
		t.Errorf("%d, %t, %v", n, ok, err)
	}
}

// While one process writes and asks and another reads, as fast as they can, what is said to have been read is never more than what
// the reader may have read by then: it says, in shared memory and before each read, how far that may come.
func TestUnreadIsNeverTooLittle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts")
	if err := os.WriteFile(path, make([]byte, os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	counts, err := mapCounts(path)
	if err != nil {
		t.Fatal(err)
	}
	c := call(t, startReader(t, "127.0.0.1:0", readerFile+"="+path).at)
	asked, moved := 0, 0
	c.do(func() {
		b := make([]byte, 64<<10)
		last := int64(0)
		const enough = 100 // answers that said that more was read: fewer mean nothing
		begun := time.Now()
		half := func(n int) bool { // until there are so many, and time enough was given
			return moved >= n*enough/2 && time.Since(begun) >= time.Duration(n)*250*time.Millisecond
		}
		for ; !half(2) && !t.Failed(); asked++ {
			if time.Since(begun) > patience {
				t.Errorf("of %d answers only %d said that more was read: too few to mean anything", asked, moved)
			}
			most := 200 // first small messages, then more than is read: bytes move between the queues when the reader reads
			if half(1) {
				most = len(b)
			}
			n, err := c.socket.Write(b[:1+rand.IntN(most)])
			if err != nil && !errors.Is(err, loop.ErrAgain) {
				t.Error(err)
			}
			c.written += n
			n, ok, err := c.socket.unread(c.kernel)
			read, bound := int64(c.written-n), counts.bound.Load()
			if !ok || err != nil || read > bound {
				t.Errorf("%d written, %d unread (%t, %v): so %d were read, at most %d can have been", c.written, n, ok, err, read, bound)
			}
			if read > last {
				last = read
				moved++
			}
		}
	})
	eventually(t, "all to be read", func() bool { n, _ := c.unread(); return n == 0 })
	if read := counts.read.Load(); read != int64(c.written) {
		t.Errorf("nothing is unread, of %d written %d were read", c.written, read)
	}
	t.Logf("%d bytes, asked %d times, of which %d found more to have been read", c.written, asked, moved)
}

// BenchmarkUnread is what asking costs.
func BenchmarkUnread(b *testing.B) {
	l, _ := listen(b, "tcp4", "127.0.0.1:0")
	c := call(b, netip.MustParseAddrPort(l.Addr().String()))
	c.write(100)
	b.ReportAllocs()
	c.do(func() {
		for b.Loop() {
			if _, ok, err := c.socket.unread(c.kernel); !ok || err != nil {
				b.Error(ok, err)
				return
			}
		}
	})
}

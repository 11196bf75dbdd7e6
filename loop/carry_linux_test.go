package loop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// accepted is one connection of a loop that listens, and its far end.
func (w *world) accepted() (*end, *net.TCPConn) {
	w.Helper()
	ends := make(chan *end, 1)
	var l Listener
	w.do(func() {
		var err error
		if l, err = w.Listen(loopback, func(c Conn) Handler {
			e := newEnd()
			e.Conn = c
			ends <- e
			return e
		}); err != nil {
			w.Fatal(err)
		}
	})
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return <-ends, c.(*net.TCPConn)
}

// carry makes a connection of one loop another's, as if that were in another process: by a copy of the descriptor, and what was written
// of the rest. The first one keeps its own, and closes it without a word.
func carry(t *testing.T, from, to *world, c Conn, h *end) {
	t.Helper()
	var fd int
	var state []byte
	from.do(func() {
		own, k, ok := c.(Carrier).Carry()
		if !ok {
			t.Fatal("it is closed")
		}
		fd = -1
		if own >= 0 {
			var err error
			if fd, err = unix.Dup(own); err != nil {
				t.Fatal(err)
			}
		}
		state, _ = k.AppendBinary(nil)
		c.(Carrier).Abandon()
	})
	to.do(func() {
		var k Kept
		err := k.UnmarshalBinary(state)
		if err == nil {
			h.Conn, err = to.Runner.(Heir).Inherit(fd, k, h)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What had arrived and what comes later is read by the heir; the peer notices nothing.
func TestCarry(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	e, c := first.accepted()
	c.Write([]byte("before "))
	first.waitFor(e, "before ")
	heir := newEnd()
	carry(t, first, second, e.Conn, heir)
	c.Write([]byte("after"))
	c.CloseWrite()
	second.receive(heir.done, "the end")
	second.do(func() {
		if string(heir.got) != "after" || heir.Conn.Remote() != netip.MustParseAddrPort(c.LocalAddr().String()) {
			t.Errorf("%q from %v", heir.got, heir.Conn.Remote())
		}
		heir.Write([]byte("answer"))
		heir.Close()
	})
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// waitFor waits until an end has got some bytes.
func (w *world) waitFor(e *end, want string) {
	w.Helper()
	waitFor(w.T, want, func() (ok bool) {
		w.do(func() { ok = string(e.got) == want })
		return ok
	})
}

// The end is not told twice, and what is left to say is said: after an end that was read the connection can be written to, and fails as
// ever when it is reset.
func TestCarryBehindTheEnd(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	e, c := first.accepted()
	c.CloseWrite()
	first.receive(e.done, "the end")
	heir := newEnd()
	carry(t, first, second, e.Conn, heir)
	second.do(func() { heir.Write([]byte("answer")) })
	buf := make([]byte, 6)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "answer" {
		t.Errorf("%q, %v", buf, err)
	}
	second.do(func() {
		if heir.heard&Readable != 0 {
			t.Error("the end was told again")
		}
	})
	c.SetLinger(0)
	c.Close()
	waitFor(t, "the reset", func() (told bool) {
		second.do(func() { told = errors.Is(heir.Conn.Err(), ErrReset) })
		return told
	})
}

// A reset that the first process knows of, and that the kernel tells only once, is known to the heir.
func TestCarryAFailure(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	e, c := first.accepted()
	c.SetLinger(0)
	c.Close()
	waitFor(t, "the reset", func() (told bool) {
		first.do(func() { told = e.Conn.Err() != nil })
		return told
	})
	heir := newEnd()
	carry(t, first, second, e.Conn, heir)
	second.do(func() {
		if !errors.Is(heir.Conn.Err(), ErrReset) {
			t.Errorf("it failed with %v", heir.Conn.Err())
		}
		if _, err := heir.Conn.Write([]byte("x")); !errors.Is(err, ErrReset) {
			t.Errorf("writing to it: %v", err)
		}
	})
}

// A connection that is being made comes up, or fails, at the heir.
func TestCarryConnecting(t *testing.T) {
	first, second := epollWorld(t), epollWorld(t)
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	e, heir := newEnd(), newEnd()
	var fd int
	var k Kept
	first.do(func() { // within one turn nothing is heard of it
		e.Conn = first.Dial(netip.MustParseAddrPort(server.Addr().String()), e)
		own, kept, ok := e.Conn.(Carrier).Carry()
		if !ok || !kept.Connecting {
			t.Errorf("%v, %+v", ok, kept)
		}
		k = kept
		if fd, err = unix.Dup(own); err != nil {
			t.Error(err)
		}
		e.Conn.(Carrier).Abandon()
	})
	second.do(func() {
		if heir.Conn, err = second.Runner.(Heir).Inherit(fd, k, heir); err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "Connected", func() (up bool) {
		second.do(func() { up = heir.heard&Connected != 0 })
		return up
	})
}

func FuzzKept(f *testing.F) {
	for _, k := range []Kept{{}, {Remote: netip.MustParseAddrPort("[fe80::1%eth0]:1"), Shut: true, Fin: true}, {Err: ErrReset, HungUp: true},
		{Err: unix.ETIMEDOUT}, {Connecting: true, Remote: netip.MustParseAddrPort("127.0.0.1:80")}} {
		p, err := k.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var k, again Kept
		if k.UnmarshalBinary(p) != nil {
			return
		}
		q, err := k.AppendBinary(nil)
		if err == nil {
			err = again.UnmarshalBinary(q)
		}
		if err != nil || (k.Err == nil) != (again.Err == nil) || k.Remote != again.Remote || k.Shut != again.Shut {
			t.Fatalf("%x: %+v, then %+v, %v", p, k, again, err)
		}
	})
}

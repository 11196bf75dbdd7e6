package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pagesRig is a loop with a connection of its own; what is done on it is done within do.
func pagesRig(t *testing.T, limit int) (e *Epoll, conn *epollConn, peer net.Conn, do func(func())) {
	t.Helper()
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	go e.Run()
	t.Cleanup(e.Stop)
	do = func(f func()) {
		done := make(chan struct{})
		e.Post(func() { f(); close(done) })
		<-done
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	up := make(chan struct{})
	do(func() {
		e.Buffers().LimitPages(limit, nil)
		conn = e.Dial(netip.MustParseAddrPort(l.Addr().String()), handlerFunc(func(ev Event) {
			if ev&Connected != 0 {
				close(up)
			}
		})).(*epollConn)
	})
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	<-up
	return e, conn, peer, do
}

type handlerFunc func(Event)

func (f handlerFunc) Ready(ev Event) { f(ev) }

// TestPages moves bytes from a connection to a pipe, doubles them, and has one copy written and the other one loaded.
func TestPages(t *testing.T) {
	e, conn, peer, do := pagesRig(t, 2)
	want := bytes.Repeat([]byte("0123456789abcdef"), 3000)
	if _, err := peer.Write(want); err != nil {
		t.Fatal(err)
	}
	var b, second *Buffer
	do(func() { b = e.Buffers().GetPages() })
	for n := 0; n < len(want); {
		do(func() {
			got, err := conn.ReadPages(b, len(want)-n)
			if n += got; err != nil && !errors.Is(err, ErrAgain) {
				t.Error(err)
				n = len(want)
			}
		})
	}
	do(func() {
		if second = b.Tee(); second == nil {
			t.Fatal("no second buffer")
		}
		if e.Buffers().GetPages() != nil {
			t.Error("a third buffer, where two are allowed")
		}
		if n, err := conn.WritePages(second, false); n != len(want) || err != nil {
			t.Errorf("%d bytes were written: %v", n, err)
		}
		second.Drop()
		b.Load()
		if from, to := b.Extent(); b.Piped() || !bytes.Equal(b.Bytes[from:to], want) {
			t.Error("not what was read")
		}
		if out, all := e.Buffers().Pages(); out != 0 || all != 2 || e.Buffers().Out() != LargeBuffer {
			t.Errorf("%d of %d piped buffers are out, %d bytes", out, all, e.Buffers().Out())
		}
		b.Drop()
		if out := e.Buffers().Out(); out != 0 {
			t.Errorf("%d bytes are out", out)
		}
	})
	got := make([]byte, len(want))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the peer got something else: %v", err)
	}
}

// TestPagesSmall fills a pipe with fragments of a byte: it says so before it is full of bytes, and a Read goes on behind them.
func TestPagesSmall(t *testing.T) {
	e, conn, peer, do := pagesRig(t, 1)
	var b *Buffer
	do(func() { b = e.Buffers().GetPages() })
	var err error
	sent := 0
	for ; err == nil && sent < 1000; sent++ {
		if _, err := peer.Write([]byte{byte(sent)}); err != nil {
			t.Fatal(err)
		}
		for n := 0; n == 0 && !errors.Is(err, ErrNoPages); {
			do(func() { n, err = conn.ReadPages(b, 1) })
		}
	}
	if !errors.Is(err, ErrNoPages) {
		t.Fatalf("%d fragments fit a pipe: %v", sent, err)
	}
	do(func() {
		b.Load()
		from, to := b.Extent()
		rest := make([]byte, 10)
		n, err := conn.Read(rest)
		all := append(b.Bytes[from:to:to], rest[:n]...)
		for i, c := range all {
			if c != byte(i) {
				t.Errorf("byte %d is %d", i, c)
			}
		}
		if len(all) != sent || err != nil {
			t.Errorf("%d bytes of %d, error %v", len(all), sent, err)
		}
		b.Drop()
	})
}

// TestPagesClosed closes pipes that nobody needs any more, and with the loop all of them.
func TestPagesClosed(t *testing.T) {
	e, _, _, do := pagesRig(t, 100)
	var kept []*Buffer
	do(func() {
		for range 100 {
			kept = append(kept, e.Buffers().GetPages())
		}
		for _, b := range kept[1:] {
			b.Drop()
		}
	})
	count := func() (n int) {
		do(func() { n = len(e.pipes.all) })
		return n
	}
	if n := count(); n != 100 {
		t.Errorf("%d pipes, not 100", n)
	}
	for end := time.Now().Add(10 * sparePipes); count() > 1; {
		if time.Now().After(end) {
			t.Fatalf("%d pipes are kept", count())
		}
	}
	ends := [2]int{kept[0].pages.(*pipe).r, kept[0].pages.(*pipe).w}
	e.Stop()
	for _, fd := range ends {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			t.Errorf("descriptor %d is open", fd)
		}
	}
	kept[0].Load() // harmless
	kept[0].Drop()
}

// TestPagesUrgent has the peer send urgent data, before which splice stops: what follows comes all the same, and so does the end.
func TestPagesUrgent(t *testing.T) {
	for name, end := range map[string]bool{"data follows": false, "the end follows": true} {
		e, conn, peer, do := pagesRig(t, 1)
		var b *Buffer
		do(func() { b = e.Buffers().GetPages() })
		raw, err := peer.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		peer.Write([]byte("abc"))
		raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil) })
		if err != nil {
			t.Fatal(err)
		}
		peer.Write([]byte("def"))
		if end {
			peer.(*net.TCPConn).CloseWrite()
		}
		var all []byte
		var last error
		for stop := time.Now().Add(patience); len(all) < 6 || end && last != io.EOF; {
			if time.Now().After(stop) {
				t.Fatalf("%s: %q came, error %v", name, all, last)
			}
			do(func() {
				var n int
				if n, last = conn.ReadPages(b, 10); errors.Is(last, ErrNoPages) {
					var rest [10]byte
					n, last = conn.Read(rest[:])
					all = append(all, rest[:n]...)
				} else if n > 0 {
					b.Load()
					from, to := b.Extent()
					all = append(all, b.Bytes[from:to]...)
					b.Drop()
					b = e.Buffers().GetPages()
				}
			})
			if last == io.EOF && !end {
				break
			}
		}
		if string(all) != "abcdef" {
			t.Errorf("%s: %q came, error %v", name, all, last)
		}
		do(func() { b.Drop() })
	}
}

// TestPagesFullAtTheEnd has the peer finish when the pipe is full: that is told, though epoll says it but once.
func TestPagesFullAtTheEnd(t *testing.T) {
	e, conn, peer, do := pagesRig(t, 1)
	var b *Buffer
	do(func() { b = e.Buffers().GetPages() })
	var err error
	n := 0
	for range pipeSize / 4096 {
		if _, err := peer.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		for got := 0; got == 0; {
			do(func() { got, err = conn.ReadPages(b, 1) })
			n += got
		}
	}
	peer.(*net.TCPConn).CloseWrite()
	for ended := false; !ended; {
		do(func() { ended = conn.ended })
	}
	do(func() { _, err = conn.ReadPages(b, 1) })
	if !errors.Is(err, ErrNoPages) {
		t.Errorf("%d bytes fill the pipe, and of the end behind them nothing is said but %v", n, err)
	}
	do(func() { b.Drop() })
}

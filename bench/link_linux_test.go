package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleTryLink brings bytes over bad links, in a network namespace of its own.
const roleTryLink = "try-link"

func TestLink(t *testing.T) {
	if err := linkMissing(); err != nil || os.Geteuid() != 0 {
		t.Skipf("it needs root and /dev/net/tun: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), ownBinary(), childFlag, roleTryLink)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("it needs a network namespace of its own: ", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func tryLinkMain() {
	err := prepareNamespace()
	for _, l := range []link{{}, {Delay: 10 * time.Millisecond}, {Delay: time.Millisecond, Loss: 0.05}} {
		if err == nil {
			err = tryLink(l)
		}
	}
	running.killAll()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// roundTrip sends a byte and waits for it.
func roundTrip(c net.Conn) (time.Duration, error) {
	began := time.Now()
	_, err := c.Write([]byte{1})
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	return time.Since(began), err
}

// tryLink sends a megabyte there and back, and a byte for the round-trip time.
func tryLink(l link) error {
	p, err := startLink(l)
	if err != nil {
		return err
	}
	defer p.kill()
	listener, err := net.Listen("tcp4", linkHere.String()+":7000")
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := net.DialTimeout("tcp4", linkThere.String()+":7000", 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	for began := time.Now(); ; { // one soon is enough: the machine may have others to serve
		took, err := roundTrip(c)
		if err != nil {
			return err
		}
		if took < 2*l.Delay {
			return fmt.Errorf("%+v: a round trip takes %v", l, took)
		}
		if l.Loss > 0 || took <= 2*l.Delay+100*time.Millisecond {
			break
		}
		if time.Since(began) > 20*time.Second {
			return fmt.Errorf("%+v: a round trip takes %v, and none before took less than 100 ms beyond the link", l, took)
		}
	}
	sent := patternAt(0, 1<<20)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%+v: wrong bytes", l)
	}
	return nil
}

// TestWire: a packet comes back with its addresses exchanged, when its time has come; what is no IPv4 does not, and of many the share to be
// lost is lost.
func TestWire(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(ends[:])
	p := make([]byte, 40)
	p[0] = 0x45
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	w := &wire{link: link{Delay: 5 * time.Millisecond}, fd: ends[0], buffer: make([]byte, 100)}
	began := time.Now()
	for _, p := range [][]byte{p, {0x60, 1, 2}, make([]byte, 40)} {
		if n, errno := writeNow(ends[1], p); n != len(p) || errno != 0 {
			t.Fatal(n, errno)
		}
	}
	got := make([]byte, 100)
	n, errno := readNow(ends[1], got)
	for ; errno == unix.EAGAIN; n, errno = readNow(ends[1], got) {
		if err := w.turn(); err != nil {
			t.Fatal(err)
		}
	}
	if errno != 0 || n != len(p) || !bytes.Equal(got[12:20], []byte{10, 0, 0, 2, 10, 0, 0, 1}) || time.Since(began) < w.Delay {
		t.Errorf("%v after %v: % x", errno, time.Since(began), got[:n])
	}
	if n, errno := readNow(ends[1], got); errno != unix.EAGAIN || len(w.queue) > 0 {
		t.Errorf("more came: %d bytes, %v; %d wait", n, errno, len(w.queue))
	}
	w.Loss, w.Delay = 0.25, time.Hour
	for range 4000 {
		w.take(p)
	}
	if n := len(w.queue); n < 2800 || n > 3200 {
		t.Errorf("of 4000 packets %d were not lost", n)
	}
}

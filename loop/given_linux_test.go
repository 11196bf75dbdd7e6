package loop

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/internal/sockets"
)

// TestGivenSocket has a loop listen at an address for which the process was given a socket, bound by somebody else and short of room.
func TestGivenSocket(t *testing.T) {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := at.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	at.Close()
	if err := sockets.Given.Add(f); err != nil {
		t.Fatal(err)
	}
	e, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { e.Run(); close(ended) }()
	defer func() { e.Stop(); <-ended }()
	address := at.Addr().(*net.TCPAddr).AddrPort()
	accepted, listening := make(chan string, 1), make(chan error, 1)
	e.Post(func() {
		l, err := e.Listen(address, func(c Conn) Handler {
			client := newEnd()
			client.Conn = c
			accepted <- c.Remote().String()
			return client
		})
		if err == nil && l.Addr() != address {
			t.Errorf("it listens at %v, not at %v", l.Addr(), address)
		}
		if err == nil {
			checkGiven(t, l.(*epollListener).fd)
		}
		listening <- err
	})
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	if left := sockets.Given.Left(); left != nil {
		t.Errorf("%v is left", left)
	}
	c, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if from := <-accepted; from != c.LocalAddr().String() {
		t.Errorf("accepted from %s", from)
	}
}

// checkGiven looks whether the socket has what our own ones have.
func checkGiven(t *testing.T, fd int) {
	for name, of := range map[string][2]int{"SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, "TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}} {
		if on, err := unix.GetsockoptInt(fd, of[0], of[1]); err != nil || on == 0 {
			t.Errorf("%s is %d, %v", name, on, err)
		}
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("it may wait: %x, %v", flags, err)
	}
	if closes, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || closes&unix.FD_CLOEXEC == 0 {
		t.Errorf("programs that are started inherit it: %x, %v", closes, err)
	}
}

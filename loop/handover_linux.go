package loop

import (
	"errors"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	_ Adopter = (*Epoll)(nil)
	_ Movable = (*epollConn)(nil)
)

// Adopt makes a connection this loop's; see Adopter.
func (e *Epoll) Adopt(a Accepted, accept func(Conn) Handler) {
	c := &epollConn{loop: e, fd: a.fd, remote: a.remote}
	if e.over {
		a.Drop()
		return
	}
	var err error
	if c.slot, err = e.register(c, a.fd, connBits); err != nil {
		closeSocket(a.fd) // no memory for one more in the epoll; the peer sees an end
		return
	}
	h := accept(c)
	if h == nil {
		c.Reset()
		return
	}
	if c.fd >= 0 { // the accept function may have closed it
		c.handler = h
	}
}

// Peek looks at what has arrived; see Movable.
func (c *epollConn) Peek(p []byte) (int, error) {
	if c.fd < 0 {
		return 0, c.closedError()
	}
	c.told = false // what comes from now on is a new edge
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
			unix.MSG_PEEK, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return 0, ErrAgain
		case errno != 0:
			return 0, failure("read from", c.remote, errno)
		case n == 0 || c.ended && int(n) < len(p):
			return int(n), io.EOF
		default:
			return int(n), nil
		}
	}
}

// Leave takes the connection off the loop; see Movable.
func (c *epollConn) Leave() Accepted {
	a := Accepted{fd: c.fd, remote: c.remote}
	c.Local() // may still be asked for
	c.loop.forget(c.fd, c.slot)
	c.closed, c.handler, c.fd = true, nil, -1
	return a
}

// forget takes a descriptor that is not closed off the epoll.
func (e *Epoll) forget(fd int, slot int32) {
	if err := unix.EpollCtl(e.epfd, unix.EPOLL_CTL_DEL, fd, nil); err != nil && !errors.Is(err, unix.ENOENT) {
		panic("loop: epoll_ctl: " + err.Error()) // it is registered: nothing can fail
	}
	e.unregister(slot)
}

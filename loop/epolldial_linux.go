package loop

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Dial begins to connect; see Loop.
func (e *Epoll) Dial(to netip.AddrPort, h Handler) Conn {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	c := &epollConn{loop: e, handler: h, fd: -1, remote: to}
	if e.over {
		c.closed, c.err = true, ErrClosed
		return c
	}
	fd, err := newSocket(to.Addr())
	if err == nil {
		c.fd = fd
		e.ration.last = fd
		unpaced(fd, to.Addr())
		err = c.connect()
	}
	if err != nil {
		c.failLater(err)
	}
	return c
}

func (c *epollConn) connect() error {
	var to sockaddr
	err := to.set(c.remote)
	if err == nil {
		err = prepare(c.fd, !c.remote.Addr().IsLoopback())
	}
	if err != nil {
		return err
	}
	// EINTR leaves a non-blocking connect under way, like EINPROGRESS.
	if err := to.call(unix.SYS_CONNECT, c.fd); err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		return err
	}
	c.connecting = true
	c.slot, err = c.loop.register(c, c.fd, connBits)
	return err
}

// failLater makes a Dial that failed at once be heard of in the next turn, like any other. The socket, if there is one, is
// not registered.
func (c *epollConn) failLater(err error) {
	if c.fd >= 0 {
		closeSocket(c.fd)
		c.fd = -1
	}
	c.connecting = false
	c.err = failure("connect", c.remote, err)
	c.loop.Later(func() {
		if !c.closed {
			c.handler.Ready(Hangup)
		}
	})
}

// finishConnect says Connected or Hangup; both, if the connection was made and has failed since. What arrived with it is told
// along with it.
func (c *epollConn) finishConnect(bits uint32) {
	if bits&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return
	}
	c.connecting = false
	if bits&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.takeError("connect")
	}
	c.local = localAddr(c.fd)
	if c.err == nil && c.local == c.remote {
		// Nobody listens, and the kernel happened to choose the port we called as ours: a connection with itself.
		c.fail("connect", unix.ECONNREFUSED)
	}
	if c.err == nil || errors.Is(c.err, ErrReset) { // a SYN is refused; only what was connected is reset
		c.pending = Connected
		c.ready(bits)
		return
	}
	c.ended, c.hungUp = true, true
	c.handler.Ready(Hangup)
}

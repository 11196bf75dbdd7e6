package loop

import "golang.org/x/sys/unix"

// ready handles one event of the epoll.
func (c *epollConn) ready(bits uint32) {
	c.urgent = c.urgent || bits&unix.EPOLLPRI != 0
	if c.connecting {
		c.finishConnect(bits)
		return
	}
	if bits&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.ended = true
		if c.err == nil && bits&(unix.EPOLLRDHUP|unix.EPOLLERR) == unix.EPOLLRDHUP {
			c.fin = true
		}
	}
	if bits&unix.EPOLLERR != 0 {
		c.takeError("connection with")
	}
	c.tell(bits)
}

// tell adds up what the bits and what is pending mean, and says to the handler what it does not know yet.
func (c *epollConn) tell(bits uint32) {
	ev := c.pending
	c.pending = 0
	if bits&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && !c.told {
		ev |= Readable
	}
	if c.spoken {
		ev &^= Readable
	}
	if bits&unix.EPOLLOUT != 0 && c.blocked {
		ev |= Writable
	}
	if c.err != nil && !c.hungUp {
		ev |= Hangup
		c.hungUp = true
	}
	if ev&Readable != 0 {
		c.told = true
	}
	if ev&Writable != 0 {
		c.blocked = false
	}
	if ev != 0 {
		c.handler.Ready(ev)
	}
}

// takeError asks the socket why it failed. The kernel tells once, so it is kept.
func (c *epollConn) takeError(what string) {
	errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		c.fail(what, unix.Errno(errno))
	}
}

// fail keeps the first reason. EPIPE is what the kernel says of a reset that came after the peer's end.
func (c *epollConn) fail(what string, errno unix.Errno) {
	c.ended = true
	if c.err == nil {
		c.fin = c.fin || errno == unix.EPIPE
		c.err = failure(what, c.remote, errno)
	}
}

func (c *epollConn) tellLater(ev Event) {
	c.pending |= ev
	if !c.queued {
		c.queued = true
		c.loop.again = append(c.loop.again, c)
	}
}

package loop

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	_ Heir    = (*Epoll)(nil)
	_ Carrier = (*epollConn)(nil)
)

// Carry tells what another process has to know; see Carrier.
func (c *epollConn) Carry() (fd int, k Kept, ok bool) {
	if c.closed {
		return -1, Kept{}, false
	}
	return c.fd, Kept{Remote: c.remote, Connecting: c.connecting, Shut: c.shut, Fin: c.fin, Spoken: c.spoken, HungUp: c.hungUp, Err: c.err}, true
}

// Abandon closes our descriptor; see Carrier.
func (c *epollConn) Abandon() {
	if c.fd >= 0 {
		closeSocket(c.Leave().fd)
	}
	c.closed, c.handler = true, nil
}

// Inherit makes a connection of another process this loop's; see Heir. What is ready is told again by the kernel, when the descriptor
// comes into the epoll.
func (e *Epoll) Inherit(fd int, k Kept, h Handler) (Conn, error) {
	c := &epollConn{loop: e, handler: h, fd: fd, remote: k.Remote, connecting: k.Connecting, shut: k.Shut, fin: k.Fin, spoken: k.Spoken,
		hungUp: k.HungUp, err: k.Err, ended: k.Spoken || k.Err != nil, blocked: !k.Shut}
	switch {
	case e.over:
		if fd >= 0 {
			closeSocket(fd)
		}
		return nil, fmt.Errorf("loop: inherit the connection with %v: %w", k.Remote, ErrClosed)
	case fd < 0:
		c.inheritFailed()
		return c, nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		closeSocket(fd)
		return nil, fmt.Errorf("loop: inherit the connection with %v: %w", k.Remote, err)
	}
	var err error
	if c.slot, err = e.register(c, fd, connBits); err != nil {
		closeSocket(fd)
		return nil, err
	}
	return c, nil
}

// inheritFailed is for a connection without a descriptor: what is there to say of it, unless it was said.
func (c *epollConn) inheritFailed() {
	if c.err == nil {
		c.err = fmt.Errorf("connection with %v: %w", c.remote, ErrReset)
	}
	c.connecting = false
	if !c.hungUp {
		c.loop.Later(func() {
			if !c.closed && !c.hungUp {
				c.hungUp = true
				c.handler.Ready(Hangup)
			}
		})
	}
}

package loop

import (
	"fmt"
	"io"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// connBits is what a connection is registered for, once: every change of its state is told as an edge.
const connBits = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// maxIovecs is how many buffers one system call writes.
const maxIovecs = 64

// epollConn is the Conn of Epoll.
type epollConn struct {
	// What every event touches lies together, in one cache line.
	loop    *Epoll
	handler Handler
	fd      int // -1: closed, here or by a Dial that failed at once
	slot    int32

	closed     bool // by Close or Reset
	connecting bool
	told       bool // Readable was said, and Read has not drained the socket since
	blocked    bool // Write did not take everything, and Writable was not said since
	shut       bool // CloseWrite was called
	ended      bool // the peer's end or an error has arrived: a short read does not mean that the next would wait
	fin        bool // the peer has finished in order, whatever came after
	spoken     bool // Read has returned the end or the error
	hungUp     bool // Hangup was said
	queued     bool // in loop.again
	urgent     bool // the peer has sent urgent data: Read skips it, and splice would wait before it for ever
	pending    Event
	err        error

	local, remote netip.AddrPort // local is asked for when first wanted, and unknown when closed before that
}

// Read takes what has arrived; see Conn.
func (c *epollConn) Read(p []byte) (int, error) {
	switch {
	case c.fd < 0:
		return 0, c.closedError()
	case len(p) == 0:
		return 0, nil
	case c.connecting:
		return 0, ErrAgain
	}
	for {
		// recv is shorter than read, which goes through the kernel's code for files first.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			c.told = false
			return 0, ErrAgain
		case errno != 0:
			c.fail("read from", errno)
			return 0, c.end()
		case n == 0:
			return 0, c.end()
		default:
			if int(n) < len(p) {
				c.drained()
			}
			return int(n), nil
		}
	}
}

// drained notes a short read. If nothing can follow it but the end, which epoll has already told, the loop tells it again.
func (c *epollConn) drained() {
	c.told = false
	if c.ended && !c.spoken {
		c.tellLater(Readable)
	}
}

// end is what Read returns behind the last byte.
func (c *epollConn) end() error {
	c.spoken = true
	if c.err != nil && !c.fin {
		return c.err
	}
	c.fin = true
	return io.EOF
}

// Write gives bytes to the socket; see Conn.
func (c *epollConn) Write(bufs ...[]byte) (int, error) {
	switch {
	case c.fd < 0:
		return 0, c.closedError()
	case c.shut:
		return 0, fmt.Errorf("write to %v after CloseWrite: %w", c.remote, ErrClosed)
	case c.connecting:
		c.blocked = true
		return 0, ErrAgain
	case c.err != nil:
		return 0, c.err
	}
	written := 0
	for {
		count, size, rest := c.loop.gather(bufs)
		if count == 0 {
			return written, nil
		}
		n, errno := c.send(count)
		clear(c.loop.iovecs[:count])
		written += n
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN || errno == 0 && n < size:
			c.blocked = true
			return written, ErrAgain
		case errno != 0:
			c.fail("write to", errno)
			return written, c.err
		}
		bufs = rest
	}
}

// gather lays buffers out for one system call: how many there are, their bytes, and the buffers that did not fit.
func (e *Epoll) gather(bufs [][]byte) (count, size int, rest [][]byte) {
	for i, b := range bufs {
		if count == maxIovecs {
			return count, size, bufs[i:]
		}
		if len(b) > 0 {
			e.iovecs[count].Base = &b[0]
			e.iovecs[count].SetLen(len(b))
			count++
			size += len(b)
		}
	}
	return count, size, nil
}

// send makes the system call: send and sendmsg instead of write and writev, because only they can be told not to
// raise SIGPIPE.
func (c *epollConn) send(count int) (int, unix.Errno) {
	var n uintptr
	var errno unix.Errno
	iovecs := &c.loop.iovecs
	if count == 1 {
		n, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(iovecs[0].Base)),
			uintptr(iovecs[0].Len), unix.MSG_NOSIGNAL|c.loop.more, 0, 0)
	} else {
		msg := unix.Msghdr{Iov: &iovecs[0]}
		msg.SetIovlen(count)
		n, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_NOSIGNAL|c.loop.more)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// CloseWrite sends our end; see Conn.
func (c *epollConn) CloseWrite() error {
	switch {
	case c.fd < 0:
		return c.closedError()
	case c.shut:
		return nil
	case c.connecting:
		return fmt.Errorf("close writing to %v: not connected yet: %w", c.remote, ErrAgain)
	case c.err != nil:
		return c.err
	}
	c.shut, c.blocked = true, false
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(c.fd), unix.SHUT_WR, 0)
	if errno != 0 && errno != unix.ENOTCONN { // ENOTCONN: the connection has failed, of which Hangup tells
		return failure("close writing to", c.remote, errno)
	}
	return nil
}

// Close ends the connection in order. If data had arrived that was never read, the kernel makes it a reset (RFC 2525, 2.17).
func (c *epollConn) Close() {
	c.closed, c.handler = true, nil
	if c.fd < 0 {
		return
	}
	c.loop.unregister(c.slot)
	closeSocket(c.fd)
	c.fd = -1
}

// Reset ends the connection abortively.
func (c *epollConn) Reset() {
	if c.fd >= 0 {
		// It cannot fail on a socket; if it did, Close would still end the connection.
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.Close()
}

// Err is why the connection failed.
func (c *epollConn) Err() error { return c.err }

func (c *epollConn) closedError() error {
	if !c.closed {
		return c.err
	}
	return fmt.Errorf("connection with %v: %w", c.remote, ErrClosed)
}

// Local is the address of our end.
func (c *epollConn) Local() netip.AddrPort {
	if !c.local.IsValid() && c.fd >= 0 { // the kernel has chosen it when connect(2) returns
		c.local = localAddr(c.fd)
	}
	return c.local
}

// Remote is the address of the peer's end.
func (c *epollConn) Remote() netip.AddrPort { return c.remote }

// Info asks TCP_INFO.
func (c *epollConn) Info() (Info, bool) {
	if c.fd < 0 || c.connecting {
		return Info{}, false
	}
	t, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return Info{}, false
	}
	return Info{
		RTT:    time.Duration(t.Rtt) * time.Microsecond,
		RTTVar: time.Duration(t.Rttvar) * time.Microsecond,
		RTO:    time.Duration(t.Rto) * time.Microsecond,
		PMTU:   int(t.Pmtu),
	}, true
}

// SetUserTimeout sets TCP_USER_TIMEOUT, which counts in milliseconds.
func (c *epollConn) SetUserTimeout(d time.Duration) {
	if c.fd >= 0 {
		// A kernel without the option keeps its default, as promised.
		_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((d+time.Millisecond-1)/time.Millisecond))
	}
}

// Unacknowledged asks SIOCOUTQ; see Acknowledged.
func (c *epollConn) Unacknowledged() (int, error) {
	switch {
	case c.fd < 0:
		return 0, c.closedError()
	case c.connecting:
		return 0, fmt.Errorf("unacknowledged bytes to %v: not connected yet: %w", c.remote, ErrAgain)
	case c.err != nil:
		return 0, c.err
	}
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(c.fd), unix.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0, failure("ask for unacknowledged bytes to", c.remote, errno)
	}
	return int(n), nil
}

package looptest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

var (
	errTimedOut    = errors.New("timed out")
	errUnreachable = errors.New("no route to host")
	errFinished    = fmt.Errorf("looptest: write after CloseWrite: %w", loop.ErrClosed)
)

// conn is one end of a connection: the process's view in this file, the kernel's in kernel.go.
type conn struct {
	host          *Host
	dial          int   // which dial of the world made it, for traces and errors
	peer          *conn // the other end; gone until the SYN has arrived
	local, remote netip.AddrPort
	in, out       *pipe
	err           error

	// the kernel's
	connecting bool
	gone       bool // the kernel has forgotten it, or not heard of it yet
	aborted    bool // gone, and not in order: nothing is sent again
	timeout    time.Duration
	expiry     event // scheduled while written bytes wait to be acknowledged, if there is a timeout
	listener   *listener

	// the process's
	handler  loop.Handler
	accepted bool // the process knows of it
	closed   bool // the process has done with it
	queued   bool // in Host.runnable
	pending  loop.Event
	told     bool // Readable was said, and there was no read to the end since
	blocked  bool // Write took less than it was given
	place    int  // in Host.socks plus one
}

// connection is both ends and both directions, in one piece of memory.
type connection struct {
	ends  [2]conn // who dials, who accepts
	pipes [2]pipe // the first is that from who dials
}

// Dial implements loop.Loop. At an address that no host has the connection fails after a while with "no route to host".
func (h *Host) Dial(to netip.AddrPort, handler loop.Handler) loop.Conn {
	k := new(connection)
	c, s := &k.ends[0], &k.ends[1]
	from := h.Addr(h.freePort())
	server := h.w.hostAt(to.Addr())
	if to.Addr().IsLoopback() {
		from, server = netip.AddrPortFrom(to.Addr(), from.Port()), h
	}
	h.w.dials++
	k.pipes[0] = pipe{w: h.w, from: c, to: s, size: h.w.BufferSize, window: h.w.BufferSize}
	k.pipes[1] = pipe{w: h.w, from: s, to: c, size: h.w.BufferSize, window: h.w.BufferSize}
	*c = conn{host: h, peer: s, local: from, remote: to, out: &k.pipes[0], in: &k.pipes[1],
		handler: handler, accepted: true, connecting: true}
	*s = conn{host: server, peer: c, local: to, remote: from, out: &k.pipes[1], in: &k.pipes[0], gone: true}
	c.dial, s.dial = h.w.dials, h.w.dials
	if h.w.trace != nil {
		h.w.tracef("%v: dials %v", c, to)
	}
	if !h.running {
		c.gone, c.closed = true, true
		return c
	}
	h.learn(c)
	if server == nil {
		h.w.After(defaultMaxDelay, func() {
			if !c.gone {
				c.fail(c.failure("connect", errUnreachable))
			}
		})
		return c
	}
	c.out.send(packet{kind: synPacket})
	return c
}

func (c *conn) String() string { return fmt.Sprintf("%s#%d", c.host.name, c.dial) }

// failure words an error of this connection.
func (c *conn) failure(what string, why error) error {
	return fmt.Errorf("looptest: %s %v to %s: %w", what, c, c.remote, why)
}

// speak tells the process what there is, in a turn: first of a new connection, later of its events.
func (c *conn) speak() {
	c.queued = false
	if c.closed {
		return
	}
	if !c.accepted {
		c.accepted = true
		if handler := c.listener.accept(c); handler == nil {
			c.Reset()
		} else if !c.closed {
			c.handler = handler
		}
		if c.pending != 0 && !c.closed {
			c.host.ready(c)
		}
		return
	}
	if ev := c.pending; ev != 0 {
		c.pending = 0
		c.handler.Ready(ev)
	}
}

// note has the handler told of ev in a coming turn. Readable is, by contract, said once until a read came to the end; sometimes it
// is said again, as epoll may.
func (c *conn) note(ev loop.Event) {
	if c.closed {
		return
	}
	if ev == loop.Readable {
		if c.told && !c.host.w.chance(8) {
			return
		}
		c.told = true
	}
	c.pending |= ev
	c.host.ready(c)
}

// Read implements loop.Conn. Sometimes it gives less than there is: then the rest counts as if it came a moment later, it can be
// read at once and Readable is said again.
func (c *conn) Read(b []byte) (int, error) {
	switch {
	case c.closed:
		return 0, loop.ErrClosed
	case len(b) == 0:
		return 0, nil
	case c.in.received > 0:
		return c.readSome(b), nil
	case c.in.eof:
		return 0, io.EOF
	case c.err != nil:
		return 0, c.err
	}
	c.drained()
	return 0, loop.ErrAgain
}

func (c *conn) readSome(b []byte) int {
	w := c.host.w
	n := min(len(b), c.in.received)
	short := n > 1 && w.chance(8)
	if short {
		n = 1 + w.rand.IntN(n-1)
	}
	c.in.read(b[:n])
	c.openWindow()
	switch {
	case short:
		c.told = false
		c.note(loop.Readable)
	case n == len(b):
	case c.in.eof || c.err != nil: // what follows a short count is told, see loop.Handler
		c.told = false
		c.note(loop.Readable)
	default:
		c.drained()
	}
	return n
}

// drained notes that a read came to the end: what arrives next is worth an event.
func (c *conn) drained() {
	c.told = false
	c.pending &^= loop.Readable
}

// Write implements loop.Conn. Sometimes it takes less than there is room for; Writable then follows soon.
func (c *conn) Write(bufs ...[]byte) (int, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	switch {
	case c.closed:
		return 0, loop.ErrClosed
	case c.err != nil:
		return 0, c.err
	case c.out.fin:
		return 0, errFinished
	case total == 0:
		return 0, nil
	case c.connecting || c.out.room() == 0:
		c.blocked = true
		return 0, loop.ErrAgain
	}
	n := min(total, c.out.room())
	short := n > 1 && c.host.w.chance(8)
	if short {
		n = 1 + c.host.w.rand.IntN(n-1)
	}
	c.out.write(bufs, n)
	c.flush()
	if n == total {
		return n, nil
	}
	c.blocked = !short
	if short {
		c.note(loop.Writable)
	}
	return n, loop.ErrAgain
}

// CloseWrite implements loop.Conn.
func (c *conn) CloseWrite() error {
	switch {
	case c.closed:
		return loop.ErrClosed
	case c.err != nil:
		return c.err
	}
	c.out.fin = true
	c.flush()
	return nil
}

// Close implements loop.Conn. Where received bytes were not read the kernel sends RST and drops what it had not sent, as Linux does.
func (c *conn) Close() {
	if c.closed {
		return
	}
	c.finish()
	switch {
	case c.gone:
		c.forget()
	case c.connecting:
		c.aborted = true
		c.leave()
	case c.in.received > 0:
		c.abort()
	default:
		c.out.fin = true
		c.flush()
		c.leaveIfDone()
	}
}

// Reset implements loop.Conn.
func (c *conn) Reset() {
	if c.closed {
		return
	}
	c.finish()
	switch {
	case c.gone:
		c.forget()
	case c.connecting:
		c.aborted = true
		c.leave()
	default:
		c.abort()
	}
}

// finish ends what the process has to do with the connection.
func (c *conn) finish() {
	c.closed, c.handler, c.pending = true, nil, 0
}

// Err implements loop.Conn.
func (c *conn) Err() error { return c.err }

// Local implements loop.Conn.
func (c *conn) Local() netip.AddrPort { return c.local }

// Remote implements loop.Conn.
func (c *conn) Remote() netip.AddrPort { return c.remote }

// Unread implements loop.Unread, in the way in which Linux is asked on one host: what the peer's kernel has not acknowledged, as far
// as this end knows, and what lies in its receive buffer. So it counts bytes twice whose acknowledgement is under way.
func (c *conn) Unread() (n int, ok bool) {
	if c.closed || c.gone || c.connecting || c.peer.closed || c.peer.gone {
		return 0, false
	}
	return c.out.unacked + c.out.received, true
}

// Info implements loop.Conn: there is nothing to tell.
func (c *conn) Info() (loop.Info, bool) { return loop.Info{}, false }

// SetUserTimeout implements loop.Conn: the connection fails when no byte of those waiting was acknowledged for d. An end that
// fails so sends no RST; its peer gets one when it next sends something. An attempt to connect does not time out.
func (c *conn) SetUserTimeout(d time.Duration) {
	c.timeout = d
	c.host.w.events.remove(&c.expiry)
	if !c.gone {
		c.watch()
	}
}

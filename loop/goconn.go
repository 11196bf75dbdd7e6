package loop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ringSize is how many bytes a goConn holds in each direction between the loop and the transport.
const ringSize = 64 << 10

// goConn is the Conn of Goroutines. Between the loop and the transport stand two rings: a reader goroutine fills one, a writer
// goroutine empties the other, and the loop never waits for either.
type goConn struct {
	loop   *Goroutines
	remote netip.AddrPort

	// The loop's goroutine only.
	handler Handler
	closed  bool
	giveUp  context.CancelFunc // ends a dial; nil for others
	notify  func()             // c.deliver, made once

	mu      sync.Mutex
	changed sync.Cond // mu; what the two goroutines wait for
	nc      net.Conn  // nil while connecting; set once
	in, out ring
	inErr   error // the end or the error behind what is in in
	err     error // why the connection failed
	pending Event // to be told by a posted deliver; not zero: one is on its way
	told    bool  // Readable was said, and Read has not drained in since
	blocked bool  // Write did not take everything, and Writable was not said since
	spoken  bool  // Read has returned inErr
	shut    bool  // our end is to be sent behind out
	closing bool  // the transport is to be closed behind out, or at once if it was reset
	reset   bool
}

func (g *Goroutines) newConn(h Handler, remote netip.AddrPort) *goConn {
	c := &goConn{loop: g, handler: h, remote: remote}
	c.notify = c.deliver
	c.changed.L = &c.mu
	if g.over {
		c.closed, c.err = true, ErrClosed
		return c
	}
	g.conns[c] = struct{}{}
	return c
}

// attach gives the conn its transport.
func (c *goConn) attach(nc net.Conn) {
	c.in.bytes = make([]byte, ringSize)
	c.out.bytes = make([]byte, ringSize)
	c.nc = nc
}

// fail keeps the first reason, under mu.
func (c *goConn) fail(err error) {
	if c.err == nil && !c.closing {
		c.err = err
		c.tell(Hangup)
	}
}

// tell has the loop say something to the handler, under mu.
func (c *goConn) tell(ev Event) {
	if c.pending == 0 {
		c.loop.Post(c.notify) // refused: the loop has ended, and nobody is told anything
	}
	c.pending |= ev
}

// deliver runs on the loop.
func (c *goConn) deliver() {
	c.mu.Lock()
	ev := c.pending
	c.pending = 0
	if c.spoken {
		ev &^= Readable
	}
	if ev&Hangup != 0 && !c.spoken && c.nc != nil && !c.told {
		c.told = true
		ev |= Readable
	}
	c.mu.Unlock()
	if !c.closed && ev != 0 {
		c.handler.Ready(ev)
	}
}

// Read takes what has arrived; see Conn.
func (c *goConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.closedError()
	case len(p) == 0:
		return 0, nil
	}
	full := c.in.size == len(c.in.bytes)
	n := c.in.read(p)
	if full && n > 0 {
		c.changed.Broadcast()
	}
	if n == len(p) {
		return n, nil
	}
	if c.inErr == nil {
		c.told = false
		if n == 0 {
			return 0, ErrAgain
		}
		return n, nil
	}
	if n == 0 {
		c.spoken = true
		return 0, c.inErr
	}
	c.tell(Readable) // the end, which the reader of a short count will not come back for
	return n, nil
}

// Write gives bytes to the writer; see Conn.
func (c *goConn) Write(bufs ...[]byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.closedError()
	case c.shut:
		return 0, fmt.Errorf("write to %v after CloseWrite: %w", c.remote, ErrClosed)
	case c.err != nil:
		return 0, c.err
	}
	empty := c.out.size == 0
	written := 0
	for _, b := range bufs {
		n := c.out.write(b)
		written += n
		if n < len(b) {
			c.blocked = true
			break
		}
	}
	if empty && written > 0 {
		c.changed.Broadcast()
	}
	if c.blocked {
		return written, ErrAgain
	}
	return written, nil
}

// CloseWrite sends our end; see Conn.
func (c *goConn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.closedError()
	case c.shut:
		return nil
	case c.err != nil:
		return c.err
	case c.nc == nil:
		return fmt.Errorf("close writing to %v: not connected yet: %w", c.remote, ErrAgain)
	}
	c.shut, c.blocked = true, false
	c.changed.Broadcast()
	return nil
}

// Close ends the connection in order. The writer goroutine does it, as the transport may make it wait.
func (c *goConn) Close() { c.close(false) }

// Reset ends the connection abortively.
func (c *goConn) Reset() { c.close(true) }

func (c *goConn) close(reset bool) {
	if c.closed {
		return
	}
	c.closed, c.handler = true, nil
	delete(c.loop.conns, c)
	if c.giveUp != nil {
		c.giveUp()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing, c.reset = true, reset
	c.changed.Broadcast()
	switch {
	case c.nc == nil:
	case reset:
		abort(c.nc)
	default:
		// Neither goroutine may wait longer than this: the reader is woken when the writer has closed the transport.
		_ = c.nc.SetWriteDeadline(time.Now().Add(drainTime)) // fails only if the transport is closed
	}
}

// abort closes a transport at once, with a reset if it is TCP or stands on TCP (TLS, whose own Close would wait for the peer).
func abort(nc net.Conn) {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = over.NetConn()
	}
	if tcp, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // fails only if the transport is closed
	}
	_ = nc.Close()
}

// Err is why the connection failed.
func (c *goConn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *goConn) closedError() error {
	return fmt.Errorf("connection with %v: %w", c.remote, ErrClosed)
}

// Local is the address of our end.
func (c *goConn) Local() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc == nil {
		return netip.AddrPort{}
	}
	return addrPort(c.nc.LocalAddr())
}

// Remote is the address of the peer's end.
func (c *goConn) Remote() netip.AddrPort { return c.remote }

// Info cannot tell: Go's net package does not ask.
func (c *goConn) Info() (Info, bool) { return Info{}, false }

// SetUserTimeout does nothing here.
func (c *goConn) SetUserTimeout(time.Duration) {}

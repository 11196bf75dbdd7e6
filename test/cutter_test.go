//go:build linux

package test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// cutter stands between two sidecars and can reset every connection through it, in both directions.
type cutter struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool                      // guarded by mu: new connections are reset, too
	conns map[*net.TCPConn]struct{} // guarded by mu
}

// newCutter passes on what connects to it. It is closed when the test ends.
func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: to, conns: map[*net.TCPConn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() { c.accept(&running) })
	t.Cleanup(func() {
		l.Close()
		c.reset()
		running.Wait()
	})
	return c
}

// accept pairs every connection with one to the other side.
func (c *cutter) accept(running *sync.WaitGroup) {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			near.Close()
			continue
		}
		a, b := near.(*net.TCPConn), far.(*net.TCPConn)
		c.keep(a, b)
		running.Go(func() { c.pass(a, b) })
		running.Go(func() { c.pass(b, a) })
	}
}

// keep remembers a pair, or resets it if the path is cut.
func (c *cutter) keep(pair ...*net.TCPConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range pair {
		conn.SetLinger(0) // each end here is a reset
		if c.cut {
			conn.Close()
			continue
		}
		c.conns[conn] = struct{}{}
	}
}

// pass copies one direction. When it ends, however it ends, both connections do.
func (c *cutter) pass(from, to *net.TCPConn) {
	io.Copy(to, from)
	from.Close()
	to.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, from)
	delete(c.conns, to)
}

// reset resets everything, now and until heal.
func (c *cutter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		conn.Close()
	}
}

// heal lets connections through again.
func (c *cutter) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// cable is the path between the pool_user and one host: a relay of TCP connections for each of its addresses. It can be made to reset them
// all, and to carry nothing for a while, which is silence to both ends.
type cable struct {
	mu     sync.Mutex
	open   chan struct{} // closed while bytes are carried
	stalls int           // that have not ended
	pairs  map[*pair]bool
	ports  []*port
	wait   sync.WaitGroup
}

// pair is two connections between which bytes are carried.
type pair struct{ near, far *net.TCPConn }

// port is one address of the cable. While the process behind it is down nobody listens there, as without a cable.
type port struct {
	c        *cable
	at, to   string
	listener net.Listener
}

func newCable() *cable {
	c := &cable{open: make(chan struct{}), pairs: make(map[*pair]bool)}
	close(c.open)
	return c
}

// carry adds an address.
func (c *cable) carry(at, to string) { c.ports = append(c.ports, &port{c: c, at: at, to: to}) }

// listen opens all addresses.
func (c *cable) listen() error {
	for _, p := range c.ports {
		if p.listener != nil {
			continue
		}
		l, err := net.Listen("tcp", p.at)
		if err != nil {
			return err
		}
		p.listener = l
		c.wait.Add(1)
		go p.accept(l)
	}
	return nil
}

// deaf closes all addresses; what is carried goes on.
func (c *cable) deaf() {
	for _, p := range c.ports {
		if p.listener != nil {
			p.listener.Close()
			p.listener = nil
		}
	}
}

// close ends everything.
func (c *cable) close() {
	c.deaf()
	c.reset()
	c.wait.Wait()
}

// accept ends when its listener is closed; close waits for it.
func (p *port) accept(l net.Listener) {
	defer p.c.wait.Done()
	for {
		near, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptors
			continue
		}
		p.c.wait.Add(1)
		go p.connect(near.(*net.TCPConn))
	}
}

// connect carries one connection; it ends with it.
func (p *port) connect(near *net.TCPConn) {
	defer p.c.wait.Done()
	defer near.Close()
	<-p.c.gate()
	conn, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		near.SetLinger(0)
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	x := &pair{near, far}
	p.c.mu.Lock()
	p.c.pairs[x] = true
	p.c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.c.copy(far, near) })
	both.Go(func() { p.c.copy(near, far) })
	both.Wait()
	p.c.mu.Lock()
	delete(p.c.pairs, x)
	p.c.mu.Unlock()
}

// gate is closed while bytes are carried.
func (c *cable) gate() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// copy carries one direction to its end, of whatever kind that is.
func (c *cable) copy(to, from *net.TCPConn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		<-c.gate()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				from.SetLinger(0)
				from.Close()
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			to.CloseWrite()
			return
		case err != nil:
			to.SetLinger(0)
			to.Close()
			from.Close()
			return
		}
	}
}

// reset resets all connections, both ways.
func (c *cable) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for x := range c.pairs {
		for _, conn := range []*net.TCPConn{x.near, x.far} {
			conn.SetLinger(0)
			conn.Close()
		}
	}
}

// stall has nothing carried until its returned function is called.
func (c *cable) stall() (heal func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stalls++; c.stalls == 1 {
		c.open = make(chan struct{})
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stalls--; c.stalls == 0 {
			close(c.open)
		}
	})
}

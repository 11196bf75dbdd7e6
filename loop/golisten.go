package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// goListener is the Listener of Goroutines.
type goListener struct {
	loop   *Goroutines
	l      net.Listener
	accept func(Conn) Handler
	done   chan struct{} // closed by Close
	taken  chan struct{} // a token for each connection that the loop has taken
	closed bool
}

// Listen accepts connections at the address; see Loop.
func (g *Goroutines) Listen(at netip.AddrPort, accept func(Conn) Handler) (Listener, error) {
	if g.over {
		return nil, fmt.Errorf("listen %v: %w", at, ErrClosed)
	}
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	nl, err := config.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen %v: %w", at, err)
	}
	l := &goListener{loop: g, l: nl, accept: accept, done: make(chan struct{}), taken: make(chan struct{}, 1)}
	g.listeners[l] = struct{}{}
	g.running.Add(1)
	go l.acceptAll()
	return l, nil
}

// Addr is where it listens, with the port that the system chose if none was given.
func (l *goListener) Addr() netip.AddrPort { return addrPort(l.l.Addr()) }

// Close stops accepting.
func (l *goListener) Close() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.loop.listeners, l)
	close(l.done)
	_ = l.l.Close() // wakes acceptAll; nothing can be done about an error
}

// goAcceptPause is how long a listener rests after an error, which is most often that there are no descriptors left.
const goAcceptPause = 100 * time.Millisecond

// acceptAll hands connections to the loop, one at a time. It waits for connections and for the loop to take them; it ends when
// the listener is closed. closeAll waits for it.
func (l *goListener) acceptAll() {
	defer l.loop.running.Done()
	for {
		nc, err := l.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-time.After(goAcceptPause):
				continue
			case <-l.done:
				return
			}
		}
		if !l.loop.Post(func() { l.accepted(nc) }) {
			nc.Close()
			return
		}
		select {
		case <-l.taken:
		case <-l.done:
			return
		}
	}
}

// accepted runs on the loop. A connection that comes when the listener is already closed is reset, as the kernel does with those
// in its queue.
func (l *goListener) accepted(nc net.Conn) {
	select {
	case l.taken <- struct{}{}:
	default:
	}
	if l.closed {
		abort(nc)
		return
	}
	c := l.loop.Adopt(nc, nil).(*goConn)
	h := l.accept(c)
	if h == nil {
		c.Reset()
		return
	}
	c.handler = h
}

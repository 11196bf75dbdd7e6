//go:build linux

package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connectLoad keeps a number of short connections going: connect, one request, its reply, close, and the next.
type connectLoad struct {
	poll    *epoll
	to      netip.AddrPort
	conns   map[int32]*shortConn
	made    uint32 // connections begun; a connection's number is in its request
	done    int64
	stopped bool
}

type shortConn struct {
	id        uint32
	connected bool
	got       int
	line      [lineSize]byte
}

func runConnect(j job) (outcome, error) {
	o := outcome{}
	to, err := netip.ParseAddrPort(j.Address)
	if err != nil {
		return o, err
	}
	l := &connectLoad{to: to, conns: map[int32]*shortConn{}}
	defer func() {
		for fd := range l.conns {
			unix.Close(int(fd))
		}
	}()
	if l.poll, err = newEpoll(); err != nil {
		return o, err
	}
	for range j.Connections {
		if err := l.connect(&shortConn{}); err != nil {
			return o, err
		}
	}
	if err := l.runFor(warmup); err != nil {
		return o, err
	}
	before := l.done
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	for l.done == before { // a window without any reply has no figures: it goes on, until errStuck ends it
		if err := l.runFor(j.Length); err != nil {
			return o, err
		}
	}
	o.Count = l.done - before
	if err := m.stop(&o); err != nil {
		return o, err
	}
	l.stopped = true
	return o, l.runFor(patience)
}

// runFor serves events for a while; after stopped, until no connection is left.
func (l *connectLoad) runFor(d time.Duration) error {
	until := time.Now().Add(d)
	for now := time.Now(); now.Before(until) && len(l.conns) > 0; now = time.Now() {
		events, err := l.poll.wait(patience)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return errStuck
		}
		for _, ev := range events {
			c := l.conns[ev.Fd]
			if err := l.ready(ev.Fd, c); err != nil {
				return fmt.Errorf("short connection %d: %w", c.id, err)
			}
		}
	}
	if l.stopped && len(l.conns) > 0 {
		return errStuck
	}
	return nil
}

// connect begins the next connection; c is used again.
func (l *connectLoad) connect(c *shortConn) error {
	fd, err := connectTo(l.to)
	if err != nil {
		return err
	}
	l.made++
	c.id, c.connected, c.got = l.made, false, 0
	l.conns[int32(fd)] = c
	return l.poll.add(fd, unix.EPOLLOUT)
}

func (l *connectLoad) ready(fd int32, c *shortConn) error {
	if !c.connected {
		return l.request(fd, c)
	}
	n, errno := readNow(int(fd), c.line[c.got:])
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	if c.got += n; c.got < lineSize {
		return nil
	}
	if err := checkLine(c.line[:], c.id, 0); err != nil {
		return err
	}
	l.done++
	delete(l.conns, fd)
	unix.Close(int(fd))
	if l.stopped {
		return nil
	}
	return l.connect(c)
}

// request is sent as soon as the connection stands.
func (l *connectLoad) request(fd int32, c *shortConn) error {
	if err := socketError(int(fd)); err != nil {
		return err
	}
	c.connected = true
	putLine(c.line[:], c.id, 0)
	n, errno := writeNow(int(fd), c.line[:])
	if errno != 0 {
		return errno
	}
	if n < lineSize {
		return io.ErrShortWrite
	}
	return l.poll.modify(int(fd), unix.EPOLLIN)
}

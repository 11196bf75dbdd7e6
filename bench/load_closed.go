//go:build linux

package main

import (
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// closedLoad keeps exactly one request in flight on every connection.
type closedLoad struct {
	poll    *epoll
	conns   map[int32]*closedConn
	latency histogram
	flying  int  // connections that wait for a reply
	stopped bool // replies are still taken, but no request follows them
}

type closedConn struct {
	id   uint32
	seq  uint64 // of the request in flight
	sent time.Time
	got  int // bytes of the reply that have come
	line [lineSize]byte
}

// runClosed warms up, measures for the job's length, then takes the replies that are still out: each is checked.
func runClosed(j job) (outcome, error) {
	o := outcome{}
	to, err := netip.ParseAddrPort(j.Address)
	if err != nil {
		return o, err
	}
	fds, err := connectAll(to, j.Connections)
	defer closeAll(fds)
	if err != nil {
		return o, err
	}
	l := &closedLoad{conns: map[int32]*closedConn{}}
	if l.poll, err = newEpoll(); err != nil {
		return o, err
	}
	if err := l.begin(fds); err != nil {
		return o, err
	}
	if err := l.runFor(warmup); err != nil {
		return o, err
	}
	l.latency = histogram{}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	if err := l.runFor(j.Length); err != nil {
		return o, err
	}
	o.Count = int64(l.latency.total)
	o.P50, o.P99 = l.latency.quantile(0.50), l.latency.quantile(0.99)
	if err := m.stop(&o); err != nil {
		return o, err
	}
	l.stopped = true
	return o, l.runFor(patience)
}

// begin sends the first request of every connection.
func (l *closedLoad) begin(fds []int) error {
	for i, fd := range fds {
		c := &closedConn{id: uint32(i)}
		l.conns[int32(fd)] = c
		if err := l.poll.add(fd, unix.EPOLLIN); err != nil {
			return err
		}
		if err := l.request(int32(fd), c); err != nil {
			return err
		}
		l.flying++
	}
	return nil
}

// runFor serves replies for a while; after stopped, until none is out.
func (l *closedLoad) runFor(d time.Duration) error {
	until := time.Now().Add(d)
	for now := time.Now(); now.Before(until) && l.flying > 0; now = time.Now() {
		events, err := l.poll.wait(patience)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return errStuck
		}
		for _, ev := range events {
			if err := l.reply(ev.Fd, l.conns[ev.Fd]); err != nil {
				return err
			}
		}
	}
	if l.stopped && l.flying > 0 {
		return errStuck
	}
	return nil
}

func (l *closedLoad) request(fd int32, c *closedConn) error {
	putLine(c.line[:], c.id, c.seq)
	c.got = 0
	c.sent = time.Now()
	n, errno := writeNow(int(fd), c.line[:])
	if errno != 0 {
		return errno
	}
	if n < lineSize {
		return io.ErrShortWrite // nothing else is in the socket's buffer, so this does not happen
	}
	return nil
}

func (l *closedLoad) reply(fd int32, c *closedConn) error {
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
	l.latency.add(time.Since(c.sent))
	if err := checkLine(c.line[:], c.id, c.seq); err != nil {
		return err
	}
	c.seq++
	if l.stopped {
		l.flying--
		return l.poll.modify(int(fd), 0)
	}
	return l.request(fd, c)
}

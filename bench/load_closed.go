//go:build linux

package main

import (
	"cmp"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// closedLoad keeps exactly one request in flight on every connection.
type closedLoad struct {
	speech
	poll    *epoll
	scratch []byte // the request that is being written
	conns   map[int32]*closedConn
	latency histogram
	flying  int  // connections that wait for a reply
	stopped bool // replies are still taken, but no request follows them
}

// speech is what requests and replies look like.
type speech struct {
	room    int // bytes of the longest reply
	request func(p []byte, conn uint32, seq uint64) []byte
	check   func(got []byte, conn uint32, seq uint64) (whole bool, err error)
}

// lines are requests and replies of one line each.
var lines = speech{
	room: lineSize,
	request: func(p []byte, conn uint32, seq uint64) []byte {
		p = append(p, make([]byte, lineSize)...)
		putLine(p, conn, seq)
		return p
	},
	check: func(got []byte, conn uint32, seq uint64) (bool, error) {
		if len(got) < lineSize {
			return false, nil
		}
		return true, checkLine(got, conn, seq)
	},
}

type closedConn struct {
	id    uint32
	seq   uint64 // of the request in flight
	sent  time.Time
	got   int // bytes of the reply that have come
	reply []byte
}

// runClosed warms up, measures for the job's length, then takes the replies that are still out: each is checked.
func runClosed(j job, how speech) (outcome, error) {
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
	l := &closedLoad{speech: how, conns: map[int32]*closedConn{}}
	if l.poll, err = newEpoll(); err != nil {
		return o, err
	}
	if err := l.begin(fds); err != nil {
		return o, err
	}
	if err := l.runFor(cmp.Or(j.Warmup, warmup)); err != nil {
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
		c := &closedConn{id: uint32(i), reply: make([]byte, l.room)}
		l.conns[int32(fd)] = c
		if err := l.poll.add(fd, unix.EPOLLIN); err != nil {
			return err
		}
		if err := l.ask(int32(fd), c); err != nil {
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
			if err := l.ready(ev.Fd, l.conns[ev.Fd]); err != nil {
				return err
			}
		}
	}
	if l.stopped && l.flying > 0 {
		return errStuck
	}
	return nil
}

// ask sends the connection's next request.
func (l *closedLoad) ask(fd int32, c *closedConn) error {
	l.scratch = l.request(l.scratch[:0], c.id, c.seq)
	c.got, c.sent = 0, time.Now()
	n, errno := writeNow(int(fd), l.scratch)
	if errno != 0 {
		return errno
	}
	if n < len(l.scratch) {
		return io.ErrShortWrite // nothing else is in the socket's buffer, so this does not happen
	}
	return nil
}

// ready reads what has come of the reply, and behind its end asks again.
func (l *closedLoad) ready(fd int32, c *closedConn) error {
	n, errno := readNow(int(fd), c.reply[c.got:])
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	c.got += n
	took := time.Since(c.sent)
	whole, err := l.check(c.reply[:c.got], c.id, c.seq)
	if err != nil || !whole {
		return err
	}
	l.latency.add(took)
	c.seq++
	if l.stopped {
		l.flying--
		return l.poll.modify(int(fd), 0)
	}
	return l.ask(fd, c)
}

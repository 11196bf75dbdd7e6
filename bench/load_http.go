//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// httpLoad keeps one GET in flight on every connection. The path tells the origin which line to answer with.
type httpLoad struct {
	poll    *epoll
	conns   map[int32]*httpConn
	latency histogram
	flying  int
	stopped bool
	scratch []byte
}

type httpConn struct {
	id    uint32
	seq   uint64 // of the request in flight
	sent  time.Time
	got   int
	reply [1 << 10]byte
}

// runHTTP is runClosed with http.
func runHTTP(j job) (outcome, error) {
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
	l := &httpLoad{conns: map[int32]*httpConn{}}
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

func (l *httpLoad) begin(fds []int) error {
	for i, fd := range fds {
		c := &httpConn{id: uint32(i)}
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
func (l *httpLoad) runFor(d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until) && l.flying > 0; {
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

func (l *httpLoad) request(fd int32, c *httpConn) error {
	l.scratch = appendGet(l.scratch[:0], c.id, c.seq)
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

func (l *httpLoad) ready(fd int32, c *httpConn) error {
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
	whole, err := checkHTTPReply(c.reply[:c.got], c.id, c.seq)
	if err != nil || !whole {
		return err
	}
	l.latency.add(time.Since(c.sent))
	c.seq++
	if l.stopped {
		l.flying--
		return l.poll.modify(int(fd), 0)
	}
	return l.request(fd, c)
}

// appendGet makes request seq of connection conn.
func appendGet(p []byte, conn uint32, seq uint64) []byte {
	return fmt.Appendf(p, "GET /%08x/%016x HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", conn, seq)
}

const httpGetStart = "GET /"

// checkHTTPReply tells whether the reply to request seq is there in full. Proxies may change the head; the body is one line.
func checkHTTPReply(got []byte, conn uint32, seq uint64) (whole bool, err error) {
	head, body, ok := bytes.Cut(got, []byte("\r\n\r\n"))
	if !ok {
		if len(got) == 1<<10 {
			return false, fmt.Errorf("the head of a reply has no end: %q", got)
		}
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return false, fmt.Errorf("the reply is %q", got)
	}
	if len(body) < lineSize {
		return false, nil
	}
	return true, checkLine(body, conn, seq)
}

//go:build linux

package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// killLoad keeps one request in flight on each connection whatever becomes of the server. A connection that ends is broken; it
// is made again, as an application would, and asks once more for what it did not get.
type killLoad struct {
	poll   *epoll
	to     netip.AddrPort
	all    []*killConn
	conns  map[int32]*killConn
	away   []*killConn // broken, to be connected again
	failed time.Time   // when the server was killed; zero before that

	broken, lost, doubled int
}

type killConn struct {
	id        uint32
	seq       uint64 // of the request in flight
	connected bool
	broken    bool      // at least once
	last      time.Time // when the last reply came
	retry     time.Time // when to connect again
	got       int
	line      [lineSize]byte

	longest time.Duration // between two replies of which the second came after the failure
	healed  time.Time     // the end of that
	settled bool          // a request sent after the failure has been answered
	asked   time.Time     // when the request in flight was sent
}

// retryPause is how long a client waits before it tries to connect again.
const retryPause = 5 * time.Millisecond

func newKillLoad(address string, n int) (*killLoad, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	l := &killLoad{to: to, conns: map[int32]*killConn{}}
	if l.poll, err = newEpoll(); err != nil {
		return nil, err
	}
	for i := range n {
		c := &killConn{id: uint32(i), last: time.Now()}
		l.all = append(l.all, c)
		l.connect(c)
	}
	return l, nil
}

func (l *killLoad) close() {
	for fd := range l.conns {
		unix.Close(int(fd))
	}
	unix.Close(l.poll.fd)
}

// connect begins a connection; when that fails at once it is tried again a little later.
func (l *killLoad) connect(c *killConn) {
	c.connected, c.got = false, 0
	fd, err := connectTo(l.to)
	if err == nil {
		if err = l.poll.add(fd, unix.EPOLLOUT); err == nil {
			l.conns[int32(fd)] = c
			return
		}
		unix.Close(fd)
	}
	l.later(c)
}

func (l *killLoad) later(c *killConn) {
	c.retry = time.Now().Add(retryPause)
	l.away = append(l.away, c)
}

// runFor serves for a while, or until enough says so.
func (l *killLoad) runFor(d time.Duration, enough func() bool) error {
	for until := time.Now().Add(d); time.Now().Before(until) && !enough(); {
		events, err := l.poll.wait(retryPause)
		if err != nil {
			return err
		}
		for _, ev := range events {
			c := l.conns[ev.Fd]
			if c == nil {
				continue
			}
			if err := l.ready(ev.Fd, c); errors.Is(err, errGone) {
				l.gone(ev.Fd, c)
			} else if err != nil {
				return fmt.Errorf("connection %d: %w", c.id, err)
			}
		}
		l.connectAway()
	}
	return nil
}

func (l *killLoad) connectAway() {
	due := l.away
	l.away = nil
	for _, c := range due {
		if time.Now().Before(c.retry) {
			l.away = append(l.away, c)
		} else {
			l.connect(c)
		}
	}
}

// errGone is that a connection has ended.
var errGone = errors.New("the connection is gone")

// gone counts a connection that ended with a request in flight; one that never stood was not broken.
func (l *killLoad) gone(fd int32, c *killConn) {
	delete(l.conns, fd)
	unix.Close(int(fd))
	if c.connected {
		l.lost++
		if !c.broken {
			c.broken = true
			l.broken++
		}
	}
	l.later(c)
}

func (l *killLoad) ready(fd int32, c *killConn) error {
	if !c.connected {
		if socketError(int(fd)) != nil {
			return errGone
		}
		c.connected = true
		if err := l.poll.modify(int(fd), unix.EPOLLIN); err != nil {
			return err
		}
		return l.request(fd, c)
	}
	n, errno := readNow(int(fd), c.line[c.got:])
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0 || n == 0:
		return errGone
	}
	if c.got += n; c.got < lineSize {
		return nil
	}
	c.got = 0
	return l.reply(fd, c)
}

func (l *killLoad) request(fd int32, c *killConn) error {
	var line [lineSize]byte
	putLine(line[:], c.id, c.seq)
	c.asked = time.Now()
	if n, errno := writeNow(int(fd), line[:]); errno != 0 || n < lineSize {
		return errGone
	}
	return nil
}

// reply takes a whole one. One that came before is a double; one that is ahead tells that those between were lost.
func (l *killLoad) reply(fd int32, c *killConn) error {
	seq, err := lineNumber(c.line[:])
	if err != nil {
		return err
	}
	if err := checkLine(c.line[:], c.id, seq); err != nil {
		return err
	}
	if seq < c.seq {
		l.doubled++
		return nil // the one that was asked for is still to come
	}
	l.lost += int(seq - c.seq)
	c.seq = seq + 1
	now := time.Now()
	if !l.failed.IsZero() {
		if gap := now.Sub(c.last); gap > c.longest {
			c.longest, c.healed = gap, now
		}
		c.settled = c.settled || c.asked.After(l.failed)
	}
	c.last = now
	return l.request(fd, c)
}

// lineNumber is the number of the request that a reply is the echo of.
func lineNumber(line []byte) (uint64, error) {
	var number [8]byte
	if _, err := hex.Decode(number[:], line[14:30]); err != nil {
		return 0, fmt.Errorf("not a reply to any request: %q", line)
	}
	return binary.BigEndian.Uint64(number[:]), nil
}

// fail says that the server has just been killed: from now on gaps count.
func (l *killLoad) fail() {
	l.failed = time.Now()
	for _, c := range l.all {
		c.longest, c.healed, c.settled = 0, time.Time{}, false
	}
}

// started tells whether every connection has got a reply.
func (l *killLoad) started() bool {
	for _, c := range l.all {
		if c.seq == 0 {
			return false
		}
	}
	return true
}

// healed tells whether every connection has got a reply to something that it asked after the failure.
func (l *killLoad) healed() bool {
	for _, c := range l.all {
		if !c.settled {
			return false
		}
	}
	return true
}

// gaps are, in milliseconds and in order, the times from the failure to the end of each connection's longest wait for a reply; stuck
// counts the connections that still wait.
func (l *killLoad) gaps() (gaps []float64, stuck int) {
	for _, c := range l.all {
		if !c.settled {
			stuck++
			continue
		}
		gaps = append(gaps, float64(c.healed.Sub(l.failed))/1e6)
	}
	slices.Sort(gaps)
	return gaps, stuck
}

// quantileOf is the value that the share q (0 to 1) of values, which are in order, does not exceed; 0 if there are none.
func quantileOf(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

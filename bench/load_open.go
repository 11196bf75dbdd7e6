//go:build linux

package main

import (
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// openLoad sends requests when they are due, whether or not earlier ones have been answered. A latency counts from the moment
// a request was due, so a pause of the system is paid for by every request that fell into it.
type openLoad struct {
	poll    *epoll
	timer   int // timerfd that ticks at the rate
	fds     []int
	conns   map[int32]*openConn
	begin   time.Time
	gap     time.Duration // between two requests
	next    int64         // number of the next request; it belongs to connection next % len(fds)
	flying  int64
	latency histogram
}

type openConn struct {
	id      uint32
	sent    uint64  // requests made
	got     uint64  // replies that came
	due     []int64 // numbers of the requests in flight, a ring: the request of index i is at i % len
	reply   []byte  // bytes of replies, not yet a whole line
	pending []byte  // bytes the socket did not take
	line    [lineSize]byte
}

// maxInFlight bounds the requests that one connection may have unanswered; a system that falls so far behind has failed.
const maxInFlight = 4096

// runOpen warms up, measures for the job's length, then takes what is still out. Only replies within the window count.
func runOpen(j job) (outcome, error) {
	o := outcome{}
	to, err := netip.ParseAddrPort(j.Address)
	if err != nil {
		return o, err
	}
	l := &openLoad{conns: map[int32]*openConn{}, gap: time.Second / time.Duration(j.Rate)}
	l.fds, err = connectAll(to, j.Connections)
	defer func() { closeAll(l.fds) }()
	if err != nil {
		return o, err
	}
	if err := l.prepare(); err != nil {
		return o, err
	}
	defer unix.Close(l.timer)
	if err := l.runUntil(l.begin.Add(warmup)); err != nil {
		return o, err
	}
	l.latency = histogram{}
	m, err := startMeter(j)
	if err != nil {
		return o, err
	}
	for l.latency.total == 0 { // a window without any reply has no figures: it goes on, until errBehind ends it
		if err := l.runUntil(time.Now().Add(j.Length)); err != nil {
			return o, err
		}
	}
	o.Count = int64(l.latency.total)
	if err := m.stop(&o); err != nil {
		return o, err
	}
	err = l.drain()
	o.P50, o.P99 = l.latency.quantile(0.50), l.latency.quantile(0.99)
	return o, err
}

func (l *openLoad) prepare() error {
	var err error
	if l.poll, err = newEpoll(); err != nil {
		return err
	}
	for i, fd := range l.fds {
		l.conns[int32(fd)] = &openConn{id: uint32(i), due: make([]int64, maxInFlight)}
		if err := l.poll.add(fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return err
	}
	tick := unix.NsecToTimespec(int64(l.gap))
	l.begin = time.Now()
	if err := unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Interval: tick, Value: tick}, nil); err != nil {
		return err
	}
	return l.poll.add(l.timer, unix.EPOLLIN)
}

func (l *openLoad) runUntil(until time.Time) error {
	for time.Now().Before(until) {
		events, err := l.poll.wait(patience)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if int(ev.Fd) == l.timer {
				err = l.sendDue()
			} else {
				err = l.ready(ev)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// drain takes the replies that are still out, and sends nothing more.
func (l *openLoad) drain() error {
	if err := l.poll.modify(l.timer, 0); err != nil {
		return err
	}
	for l.flying > 0 {
		events, err := l.poll.wait(patience)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return errStuck
		}
		for _, ev := range events {
			if err := l.ready(ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendDue sends every request whose moment has come.
func (l *openLoad) sendDue() error {
	var ticks [8]byte
	_, _ = readNow(l.timer, ticks[:]) // only to quiet it: the clock says what is due
	due := int64(time.Since(l.begin) / l.gap)
	for ; l.next < due; l.next++ {
		fd := l.fds[l.next%int64(len(l.fds))]
		c := l.conns[int32(fd)]
		if c.sent-c.got >= maxInFlight {
			return errBehind
		}
		c.due[c.sent%maxInFlight] = l.next
		putLine(c.line[:], c.id, c.sent)
		c.sent++
		l.flying++
		if err := l.send(fd, c); err != nil {
			return err
		}
	}
	return nil
}

// send writes c.line behind what is pending.
func (l *openLoad) send(fd int, c *openConn) error {
	rest := c.line[:]
	if len(c.pending) == 0 {
		n, errno := writeNow(fd, rest)
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		if rest = rest[n:]; len(rest) == 0 {
			return nil
		}
		if err := l.poll.modify(fd, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
			return err
		}
	}
	c.pending = append(c.pending, rest...)
	return nil
}

func (l *openLoad) ready(ev unix.EpollEvent) error {
	c := l.conns[ev.Fd]
	if len(c.pending) > 0 && ev.Events&unix.EPOLLOUT != 0 {
		n, errno := writeNow(int(ev.Fd), c.pending)
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		c.pending = append(c.pending[:0], c.pending[n:]...)
		if len(c.pending) == 0 {
			if err := l.poll.modify(int(ev.Fd), unix.EPOLLIN); err != nil {
				return err
			}
		}
	}
	if ev.Events&^unix.EPOLLOUT == 0 {
		return nil
	}
	return l.read(int(ev.Fd), c)
}

func (l *openLoad) read(fd int, c *openConn) error {
	var buffer [64 * lineSize]byte
	held := copy(buffer[:], c.reply)
	n, errno := readNow(fd, buffer[held:])
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	got := buffer[:held+n]
	now := time.Since(l.begin)
	for ; len(got) >= lineSize; got = got[lineSize:] {
		if err := checkLine(got[:lineSize], c.id, c.got); err != nil {
			return err
		}
		l.latency.add(now - time.Duration(c.due[c.got%maxInFlight]+1)*l.gap)
		c.got++
		l.flying--
	}
	c.reply = append(c.reply[:0], got...)
	return nil
}

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// origin is the server at the end of every chain: one thread, one epoll. A connection's first line says what it is for.
type origin struct {
	poll     *epoll
	listener int
	conns    map[int]*originConn
	buffer   []byte // shared by all reads: nothing stays in it between events
}

// originConn is one connection to the origin.
type originConn struct {
	fd      int
	serve   func(*originConn) bool // is called when the connection is ready; false: close it
	head    []byte                 // the first line, as far as it has come
	pending []byte                 // bytes to be written before anything else
	last    bool                   // close when pending is written
	events  uint32
	pos     int64 // position in the pattern
	start   int64 // pos at the beginning
	wrong   error // the first wrong bytes of an upload
}

// originMain is the origin process. It listens on the address and serves until it is killed.
func originMain(address string) error {
	o, err := newOrigin(address)
	if err != nil {
		return err
	}
	for {
		events, err := o.poll.wait(-1)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if int(ev.Fd) == o.listener {
				o.accept()
			} else if c := o.conns[int(ev.Fd)]; c != nil && !o.ready(c) {
				o.drop(c)
			}
		}
	}
}

func newOrigin(address string) (*origin, error) {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("the listener: %w", err)
	}
	poll, err := newEpoll()
	if err != nil {
		return nil, err
	}
	keepOpen = append(keepOpen, file)
	o := &origin{poll: poll, listener: fd, conns: map[int]*originConn{}, buffer: make([]byte, bulkChunk)}
	return o, poll.add(fd, unix.EPOLLIN)
}

// keepOpen holds files whose descriptors are used bare, so that no finalizer closes them.
var keepOpen []*os.File

func (o *origin) accept() {
	for {
		fd, _, err := unix.Accept4(o.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // EAGAIN; anything else is the loss of one connection, which its client will tell
		}
		setNoDelay(fd)
		c := &originConn{fd: fd, serve: o.serveHead, events: unix.EPOLLIN}
		o.conns[fd] = c
		if o.poll.add(fd, c.events) != nil {
			o.drop(c)
		}
	}
}

func (o *origin) drop(c *originConn) {
	delete(o.conns, c.fd)
	unix.Close(c.fd)
}

// ready serves one event; false means that the connection is over.
func (o *origin) ready(c *originConn) bool {
	if len(c.pending) > 0 {
		n, errno := writeNow(c.fd, c.pending)
		if errno != 0 && errno != unix.EAGAIN {
			return false
		}
		c.pending = c.pending[n:]
		if len(c.pending) > 0 {
			return true
		}
		if c.last {
			return false
		}
		o.want(c, unix.EPOLLIN)
	}
	return c.serve(c)
}

// want changes what c waits for; while bytes are pending it is room for them, and no reading.
func (o *origin) want(c *originConn, events uint32) {
	if len(c.pending) > 0 {
		events = unix.EPOLLOUT
	}
	if events != c.events {
		c.events = events
		_ = o.poll.modify(c.fd, events) // cannot fail: the descriptor is registered
	}
}

// send writes p or keeps what the socket does not take; p is the caller's again.
func (o *origin) send(c *originConn, p []byte) bool {
	if len(c.pending) > 0 {
		c.pending = append(c.pending, p...)
		return true
	}
	n, errno := writeNow(c.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		return false
	}
	if n < len(p) {
		c.pending = append(c.pending[:0], p[n:]...)
		o.want(c, unix.EPOLLOUT)
	}
	return true
}

// sendLast writes a line and ends the connection behind it.
func (o *origin) sendLast(c *originConn, line []byte) bool {
	c.last = true
	return o.send(c, line) && len(c.pending) > 0
}

// read fills the shared buffer; end is true when the client has finished, ok false when the connection failed.
func (o *origin) read(c *originConn) (got []byte, end, ok bool) {
	n, errno := readNow(c.fd, o.buffer)
	switch {
	case errno == unix.EAGAIN:
		return nil, false, true
	case errno != 0:
		return nil, false, false
	}
	return o.buffer[:n], n == 0, true
}

// serveHead reads until the first line is known, and gives the connection the service it asks for.
func (o *origin) serveHead(c *originConn) bool {
	got, end, ok := o.read(c)
	if !ok || end {
		return false
	}
	c.head = append(c.head, got...)
	if bytes.HasPrefix(c.head, []byte(wordEcho)) { // requests can be short, and checks are
		head := c.head
		c.head, c.serve = nil, o.serveEcho
		return o.send(c, head)
	}
	if bytes.HasPrefix(c.head, []byte(httpGetStart)) {
		c.serve = o.serveHTTP
		return o.answerHTTP(c)
	}
	if len(c.head) < lineSize {
		return true
	}
	head := c.head
	c.head = nil
	word, offset, err := parseTextLine(head[:lineSize])
	if err != nil || offset < 0 {
		return false
	}
	c.pos, c.start = offset, offset
	switch word {
	case wordDown:
		c.serve = o.serveDown
		o.want(c, unix.EPOLLIN|unix.EPOLLOUT)
		return true
	case wordUp:
		c.serve = o.serveUp
		o.checkUp(c, head[lineSize:])
		return true
	}
	return false
}

func (o *origin) serveEcho(c *originConn) bool {
	got, end, ok := o.read(c)
	if !ok || end {
		return false
	}
	return len(got) == 0 || o.send(c, got)
}

// serveDown sends the pattern until the client finishes, then says how much it was.
func (o *origin) serveDown(c *originConn) bool {
	_, end, ok := o.read(c)
	if !ok {
		return false
	}
	if end {
		return o.sendLast(c, textLine("sent", c.pos-c.start))
	}
	n, errno := writeNow(c.fd, patternAt(c.pos, bulkChunk))
	c.pos += int64(n)
	o.want(c, unix.EPOLLIN|unix.EPOLLOUT)
	return errno == 0 || errno == unix.EAGAIN
}

// serveUp checks the pattern until the client finishes, then says how much of it was right.
func (o *origin) serveUp(c *originConn) bool {
	got, end, ok := o.read(c)
	if !ok {
		return false
	}
	if !end {
		o.checkUp(c, got)
		return true
	}
	if c.wrong != nil {
		return o.sendLast(c, textLine("wrong", c.pos-c.start))
	}
	return o.sendLast(c, textLine("received", c.pos-c.start))
}

// checkUp stops counting at the first wrong byte.
func (o *origin) checkUp(c *originConn, got []byte) {
	if c.wrong == nil {
		if c.wrong = checkPattern(got, c.pos); c.wrong == nil {
			c.pos += int64(len(got))
		}
	}
}

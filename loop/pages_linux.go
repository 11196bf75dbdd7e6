package loop

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bounds of the pipes. 256 of them (limits.pipes) are half of what a user without privileges may have (pipe-user-pages-soft: 16384).
const (
	pipeSize   = 2 * LargeBuffer // bytes: a place for each of 32 fragments; bulk comes in pages of 4 KiB that are not all full
	sparePipes = time.Second     // how long a pipe is kept while nobody needs it
	pipesAgain = time.Second     // the pause after the system refused one
)

// pipes makes pipes and keeps those that are free.
type pipes struct {
	loop    *Epoll
	all     map[*pipe]bool
	spare   []*pipe
	null    int // /dev/null, into which is thrown what is not needed any more
	refused time.Time
	least   int   // spare pipes that nobody has needed since the timer was armed
	timer   Timer // closes those
}

// pipe is the pages of one Buffer.
type pipe struct {
	from *pipes
	r, w int // -1: closed
}

func newPipes(e *Epoll) *pipes {
	p := &pipes{loop: e, all: make(map[*pipe]bool), null: -1}
	p.timer.Func = p.shrink
	return p
}

// shrink closes the pipes that nobody has needed for a while.
func (p *pipes) shrink() {
	for range p.least {
		last := len(p.spare) - 1
		p.spare[last].close()
		p.spare = p.spare[:last]
	}
	if p.least = len(p.spare); len(p.all) > 0 {
		p.loop.Schedule(&p.timer, p.loop.now.Add(sparePipes))
	}
}

// get returns an empty pipe; see pageSource. A user's pipes beyond /proc/sys/fs/pipe-user-pages-soft have no room to speak of.
func (p *pipes) get() pages {
	if last := len(p.spare) - 1; last >= 0 {
		one := p.spare[last]
		p.spare = p.spare[:last]
		p.least = min(p.least, last)
		return one
	}
	if !p.refused.IsZero() && p.loop.now.Sub(p.refused) < pipesAgain {
		return nil
	}
	one := p.make()
	if one == nil {
		p.refused = p.loop.now
		return nil
	}
	p.all[one] = true
	if !p.timer.Armed() {
		p.loop.Schedule(&p.timer, p.loop.now.Add(sparePipes))
	}
	return one
}

func (p *pipes) make() *pipe {
	if p.null < 0 {
		null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		p.null = null
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil
	}
	one := &pipe{from: p, r: ends[0], w: ends[1]}
	if size, err := unix.FcntlInt(uintptr(one.r), unix.F_SETPIPE_SZ, pipeSize); err != nil || size < pipeSize {
		one.close()
		return nil
	}
	return one
}

// closeAll closes every pipe, also those that Buffers still have.
func (p *pipes) closeAll() {
	for one := range p.all {
		one.close()
	}
	p.spare = nil
	if p.null >= 0 {
		unix.Close(p.null)
		p.null = -1
	}
}

func (p *pipe) close() {
	delete(p.from.all, p)
	if p.r >= 0 {
		unix.Close(p.r)
		unix.Close(p.w)
		p.r, p.w = -1, -1
	}
}

// load reads everything. The pipe holds it, so a read that fails means that the loop is closed, when nobody looks at the bytes.
func (p *pipe) load(into []byte) {
	for len(into) > 0 {
		n, err := unix.Read(p.r, into)
		switch {
		case err == unix.EINTR:
		case p.r < 0:
			return
		case err != nil || n == 0:
			panic("loop: a pipe does not hold what was moved to it") // only its Buffer knows it
		default:
			into = into[n:]
		}
	}
}

// duplicate has another pipe, an empty one, hold the same n bytes.
func (p *pipe) duplicate(into pages, n int) bool {
	got, _, errno := unix.RawSyscall6(unix.SYS_TEE, uintptr(p.r), uintptr(into.(*pipe).w), uintptr(n), unix.SPLICE_F_NONBLOCK, 0, 0)
	if errno == 0 && int(got) == n {
		return true
	}
	into.(*pipe).close() // it may hold a part
	return false
}

// free empties the pipe and keeps it for the next Buffer, or closes it.
func (p *pipe) free(left int) {
	for left > 0 && p.r >= 0 {
		n, errno := splice(p.r, p.from.null, left, 0)
		if errno != 0 || n == 0 {
			p.close()
		}
		left -= n
	}
	if p.r >= 0 {
		p.from.spare = append(p.from.spare, p)
	}
}

// splice moves bytes from one descriptor to another, one of them being a pipe.
func splice(from, to, n int, flags uintptr) (int, unix.Errno) {
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|flags)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(got), 0
	}
}

// unsupported tells the errors that mean that bytes cannot be moved, but may be copied.
func unsupported(errno unix.Errno) bool {
	switch errno {
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.ENOMEM, unix.EBADF:
		return true
	}
	return false
}

var _ PageConn = (*epollConn)(nil)

// ReadPages moves what has arrived to a pipe; see PageConn.
func (c *epollConn) ReadPages(b *Buffer, n int) (int, error) {
	switch {
	case c.fd < 0:
		return 0, c.closedError()
	case c.connecting:
		return 0, ErrAgain
	case c.urgent:
		return 0, ErrNoPages
	}
	got, errno := splice(c.fd, b.pages.(*pipe).w, n, 0)
	if errno == unix.EAGAIN && b.from < b.to && c.waiting() {
		got, errno = splice(c.fd, b.pages.(*pipe).w, n, 0) // it may have come just now
	}
	switch {
	case errno == unix.EAGAIN && b.from < b.to && (c.ended || c.waiting()):
		return 0, ErrNoPages // it is the pipe that takes no more; an end behind that will not be told again
	case errno == unix.EAGAIN:
		c.told = false
		return 0, ErrAgain
	case unsupported(errno):
		return 0, ErrNoPages
	case errno != 0:
		c.fail("read from", errno)
		return 0, c.end()
	case got == 0:
		return 0, ErrNoPages // the end, or urgent data, at which splice stops: Read tells
	}
	b.to += got
	return got, nil
}

// waiting reports whether bytes have arrived that were not read (SIOCINQ). If it cannot be known, a Read will tell.
func (c *epollConn) waiting() bool {
	var n int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(c.fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	return errno != 0 || n > 0
}

// WritePages moves what a pipe holds to the socket; see PageConn.
func (c *epollConn) WritePages(b *Buffer, more bool) (int, error) {
	switch {
	case c.fd < 0:
		return 0, c.closedError()
	case c.shut:
		_, err := c.Write()
		return 0, err
	case c.connecting:
		c.blocked = true
		return 0, ErrAgain
	case c.err != nil:
		return 0, c.err
	}
	written, flags := 0, uintptr(0)
	if more {
		flags = unix.SPLICE_F_MORE
	}
	for b.from < b.to {
		n, errno := splice(b.pages.(*pipe).r, c.fd, b.to-b.from, flags)
		b.from += n
		written += n
		switch {
		case errno == unix.EAGAIN:
			c.blocked = true
			return written, ErrAgain
		case unsupported(errno) || errno == 0 && n == 0:
			return written, ErrNoPages
		case errno != 0:
			c.fail("write to", errno)
			return written, c.err
		}
	}
	return written, nil
}

// WriteMore is Write, with more to follow; see PageConn.
func (c *epollConn) WriteMore(bufs ...[]byte) (int, error) {
	c.loop.more = unix.MSG_MORE
	n, err := c.Write(bufs...)
	c.loop.more = 0
	return n, err
}

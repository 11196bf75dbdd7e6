package loop

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var _ Watcher = (*Epoll)(nil)

// file is the File of Epoll.
type file struct {
	loop    *Epoll
	handler Handler
	fd      int // -1: closed
	slot    int32
}

// Watch registers a descriptor; see Watcher.
func (e *Epoll) Watch(fd int, h Handler) (File, error) {
	if e.over {
		return nil, fmt.Errorf("loop: watch a descriptor: %w", ErrClosed)
	}
	f := &file{loop: e, handler: h, fd: fd}
	var err error
	if f.slot, err = e.register(f, fd, connBits); err != nil {
		return nil, err
	}
	return f, nil
}

// ready hands an event of the epoll over.
func (f *file) ready(bits uint32) {
	var ev Event
	if bits&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		ev |= Readable
	}
	if bits&unix.EPOLLOUT != 0 {
		ev |= Writable
	}
	if bits&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		ev |= Hangup
	}
	if ev != 0 {
		f.handler.Ready(ev)
	}
}

// FD is the descriptor; see File.
func (f *file) FD() int { return f.fd }

// Leave takes the descriptor off the loop; see File.
func (f *file) Leave() int {
	fd := f.fd
	if fd >= 0 {
		f.loop.forget(fd, f.slot)
		f.fd, f.handler = -1, nil
	}
	return fd
}

// Close closes the descriptor; see File.
func (f *file) Close() {
	if f.fd < 0 {
		return
	}
	f.loop.unregister(f.slot)
	unix.Close(f.fd)
	f.fd, f.handler = -1, nil
}

//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// epoll is the least that the origin and the request loads need: one thread, level-triggered, bare descriptors. Go's own net
// package would put its scheduler between every reply and the next request, and on two cores that would be what is measured.
type epoll struct {
	fd     int
	events [512]unix.EpollEvent
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &epoll{fd: fd}, nil
}

func (e *epoll) add(fd int, events uint32) error {
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (e *epoll) modify(fd int, events uint32) error {
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// wait returns what is ready, or nothing after the timeout; the slice is good until the next wait. A negative timeout is for ever.
func (e *epoll) wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	for {
		n, err := unix.EpollWait(e.fd, e.events[:], ms)
		if err == unix.EINTR {
			continue // Go's scheduler sends itself signals
		}
		if err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
		return e.events[:n], nil
	}
}

// connectTo begins to connect a non-blocking socket; it is writable when that is done, and socketError says how it went.
func connectTo(to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	setNoDelay(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("connecting to %v: %w", to, err)
	}
	return fd, nil
}

// connectAll connects n sockets and waits for all; it leaves them non-blocking and in no epoll.
func connectAll(to netip.AddrPort, n int) ([]int, error) {
	fds := make([]int, 0, n)
	for range n {
		fd, err := connectTo(to)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		ready, err := unix.Poll(poll, int(patience/time.Millisecond))
		for err == unix.EINTR {
			ready, err = unix.Poll(poll, int(patience/time.Millisecond))
		}
		if err != nil || ready == 0 {
			return fds, fmt.Errorf("connecting to %v: %d of %d connected, then nothing for %v (%v)", to, len(fds)-1, n, patience, err)
		}
		if err := socketError(fd); err != nil {
			return fds, fmt.Errorf("connecting to %v: %w", to, err)
		}
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func socketError(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// setNoDelay cannot fail on a TCP socket; on another there would be nothing to do.
func setNoDelay(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// readNow and writeNow are system calls without Go's scheduler: the descriptors never block.
func readNow(fd int, p []byte) (int, unix.Errno) { return rawCall(unix.SYS_READ, fd, p) }

func writeNow(fd int, p []byte) (int, unix.Errno) { return rawCall(unix.SYS_WRITE, fd, p) }

package loop

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// acceptBatch is how many connections are accepted at a time, so that a flood of new ones does not starve the old. The rest is told
// again in the next turn: a listener is registered level-triggered.
const acceptBatch = 64

// acceptPause is how long a listener rests when the process has no descriptors or memory left (ration). The connections wait in the
// kernel; asking for them again at once would only spin.
const acceptPause = 100 * time.Millisecond

// epollListener is the Listener of Epoll.
type epollListener struct {
	loop   *Epoll
	take   func(Accepted)
	how    Interception
	fd     int // -1: closed
	slot   int32
	addr   netip.AddrPort
	resume Timer

	resting bool // it has too few descriptors
	deep    bool // it uses the reserve, too
}

// Listen accepts connections at the address; see Loop. Of an IPv4 wildcard only IPv4 is accepted, of an IPv6 wildcard both.
func (e *Epoll) Listen(at netip.AddrPort, accept func(Conn) Handler) (Listener, error) {
	return e.ListenFor(at, func(a Accepted) { e.Adopt(a, accept) })
}

// ListenFor accepts connections for whichever loop; see Adopter.
func (e *Epoll) ListenFor(at netip.AddrPort, take func(Accepted)) (Listener, error) {
	return e.listen(at, Addressed, take)
}

func (e *Epoll) listen(at netip.AddrPort, how Interception, take func(Accepted)) (Listener, error) {
	if e.over {
		return nil, fmt.Errorf("listen %v: %w", at, ErrClosed)
	}
	fd, err := listenSocket(at, how)
	if err != nil {
		return nil, fmt.Errorf("listen %v: %w", at, err)
	}
	l := &epollListener{loop: e, take: take, how: how, fd: fd, addr: localAddr(fd)}
	l.resume.Func = l.rested
	if l.slot, err = e.register(l, fd, unix.EPOLLIN); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %v: %w", at, err)
	}
	return l, nil
}

// Addr is where it listens, with the port that the kernel chose if none was given.
func (l *epollListener) Addr() netip.AddrPort { return l.addr }

// Close stops accepting.
func (l *epollListener) Close() {
	if l.fd < 0 {
		return
	}
	l.loop.Cancel(&l.resume)
	// A child between fork and exec may still hold the socket, and a level-triggered event would then be told again and again.
	_ = unix.EpollCtl(l.loop.epfd, unix.EPOLL_CTL_DEL, l.fd, nil)
	l.loop.unregister(l.slot)
	unix.Close(l.fd)
	l.fd = -1
}

func (l *epollListener) ready(uint32) {
	for range acceptBatch {
		fd, from, err := accept(l.fd)
		switch err {
		case nil:
			if !l.addr.Addr().IsLoopback() { // else it has been inherited
				unpaced(fd, from.Addr())
			}
			l.loop.ration.last = fd
			l.take(Accepted{fd, from, l.how})
			if l.loop.ration.few(fd, l.deep) && l.fd >= 0 && l.loop.scarce(l.deep) {
				l.rest()
				return
			}
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.loop.ration.ask()
			l.loop.ration.last = l.loop.ration.most
			l.rest()
			return
		default: // the error is that connection's (accept(2), "Error handling"), or EINTR: on to the next
		}
		if l.fd < 0 { // closed by the one that takes
			return
		}
	}
}

// interest sets what the kernel tells of the listener.
func (l *epollListener) interest(bits uint32) {
	ev := unix.EpollEvent{Events: bits, Fd: l.slot, Pad: int32(l.loop.slots[l.slot].generation)}
	if err := unix.EpollCtl(l.loop.epfd, unix.EPOLL_CTL_MOD, l.fd, &ev); err != nil {
		panic(fmt.Sprintf("loop: epoll_ctl of listener %v: %v", l.addr, err)) // it is registered: nothing can fail
	}
}

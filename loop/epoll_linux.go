package loop

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Epoll is the Loop of Linux: one epoll and raw non-blocking sockets.
//
// System calls that cannot wait are made by RawSyscall: the Go scheduler does not hear of them, which for a 128-byte read is a
// good part of the whole cost. Only the wait for events, when nothing has come for a while (shortWait), is a Syscall and gives the
// processor away.
type Epoll struct {
	core
	epfd    int
	eventfd int
	events  []unix.EpollEvent // the batch being handled

	slots []slot
	free  []int32 // slots that hold nothing

	again, againNow []*epollConn // conns to be told of something in the next turn that epoll will not repeat

	iovecs [maxIovecs]unix.Iovec // for the Write in progress; empty between
	more   uintptr               // MSG_MORE while WriteMore is in progress
	pipes  *pipes
	ration ration
}

// batch is how many events are taken from the kernel at once.
const batch = 256

// late is how far behind the earliest timer a turn may begin before all sockets are asked once more (see catchUp), and
// catchUpBatches bounds how much is handled then: a flood must not keep timers from firing.
const (
	late           = 50 * time.Millisecond
	catchUpBatches = 64
)

// slot is where an event finds its source. The event carries the number of the slot and its generation, not the descriptor: a
// descriptor closed and opened again within one batch of events means another connection, and its old events must not reach that.
type slot struct {
	source     source
	generation uint32
}

// source is what is registered in the epoll: a conn or a listener.
type source interface {
	ready(bits uint32)
	Close()
}

var _ Runner = (*Epoll)(nil)

// NewEpoll makes an Epoll. It holds two descriptors until Stop. The error is the system's: no descriptors are left.
func NewEpoll() (*Epoll, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loop: epoll_create1: %w", err)
	}
	eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("loop: eventfd: %w", err)
	}
	e := &Epoll{epfd: epfd, eventfd: eventfd, events: make([]unix.EpollEvent, batch)}
	e.ration.ask()
	e.start(e.wake, e.closeAll)
	e.pipes = newPipes(e)
	e.pool.pages = e.pipes
	if _, err := e.register(mailSource{}, eventfd, unix.EPOLLIN|unix.EPOLLET); err != nil {
		unix.Close(epfd)
		unix.Close(eventfd)
		return nil, err
	}
	return e, nil
}

// Run turns the loop until Stop; see Runner. It raises GOMAXPROCS where Epolls would take all there is; see shortWait.
func (e *Epoll) Run() {
	processors.take()
	defer processors.leave()
	e.run(e.turn)
}

func (e *Epoll) turn() {
	n := e.wait()
	e.now = time.Now()
	e.handle(n)
	e.catchUp(n)
	e.tellAgain()
	e.finishTurn()
}

// handle hands the first n events to their sources.
func (e *Epoll) handle(n int) {
	for i := range e.events[:n] {
		ev := &e.events[i]
		s := &e.slots[ev.Fd]
		if s.source != nil && s.generation == uint32(ev.Pad) {
			s.source.ready(ev.Events)
		}
	}
}

// catchUp handles what else is ready before timers fire: a timer that is due means that something has not come, and it may lie in a
// socket that was not looked at. That is so when there were more events than a batch holds (n is how many came), and when the turn is
// late: a process that was stopped (SIGSTOP, a debugger, a host without time for it) may have been so since it asked. The time of the
// turn has been taken, so after this all that had come before that has been seen, unless it is more than catchUpBatches hold.
func (e *Epoll) catchUp(n int) {
	at, ok := e.timers.Next()
	if !ok || at.After(e.now) || n < batch && e.now.Sub(at) <= late {
		return
	}
	for range catchUpBatches {
		n := e.poll()
		e.handle(n)
		if n < batch {
			return
		}
	}
}

// wake ends the wait from another goroutine. The counter is never read: each write is a new edge, and 2^64 of them fit.
func (e *Epoll) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(e.eventfd, one[:]); err != nil && err != unix.EAGAIN {
		panic(fmt.Sprintf("loop: eventfd: %v", err))
	}
}

// mailSource stands for the eventfd: its event has done its work by ending the wait.
type mailSource struct{}

func (mailSource) ready(uint32) {}
func (mailSource) Close()       {}

// register adds a descriptor to the epoll and returns its slot.
func (e *Epoll) register(s source, fd int, bits uint32) (int32, error) {
	var i int32
	if last := len(e.free) - 1; last >= 0 {
		i, e.free = e.free[last], e.free[:last]
	} else {
		i = int32(len(e.slots))
		e.slots = append(e.slots, slot{})
	}
	ev := unix.EpollEvent{Events: bits, Fd: i, Pad: int32(e.slots[i].generation)}
	if err := unix.EpollCtl(e.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		e.free = append(e.free, i)
		return 0, fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	e.slots[i].source = s
	registered.Add(1)
	return i, nil
}

// unregister empties a slot. Closing the descriptor takes it out of the epoll; events of it that are still on the way, in
// this batch or because a child between fork and exec still holds the socket, are of an old generation.
func (e *Epoll) unregister(i int32) {
	registered.Add(-1)
	e.slots[i].source = nil
	e.slots[i].generation++
	e.free = append(e.free, i)
}

// tellAgain tells conns what epoll will not say to them.
func (e *Epoll) tellAgain() {
	e.againNow, e.again = e.again, e.againNow[:0]
	for i, c := range e.againNow {
		e.againNow[i] = nil
		c.queued = false
		if c.fd >= 0 && c.pending != 0 {
			c.tell(0)
		}
	}
}

func (e *Epoll) closeAll() {
	for i := range e.slots {
		if s := e.slots[i].source; s != nil {
			s.Close()
		}
	}
	e.pipes.closeAll()
	unix.Close(e.epfd)
	unix.Close(e.eventfd) // the mailbox is closed, so nobody writes to it any more
}

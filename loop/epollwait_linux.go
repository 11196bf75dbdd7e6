package loop

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shortWait is how long the loop waits for events by a RawSyscall before it does so by a Syscall, in milliseconds.
//
// A Syscall tells the Go scheduler. It takes the processor (its P) away after 20 us, for which it keeps a thread of its own awake
// (sysmon: 1,500 wake-ups a second beside a loop that waits often and briefly), and the loop then has to get one again.
// In a RawSyscall the P stays with the loop. That is safe because:
//
//   - Who needs the loop's goroutine to stop (the garbage collector, a profile) sends its thread a signal, again and again until it has
//     stopped, and any signal ends the wait with EINTR.
//   - Mail ends it by the eventfd, a process that was stopped goes on with EINTR.
//   - All other goroutines need a P, too, and those of loops come free only after 10 or 20 ms, when the scheduler takes them away. So there
//     is one P more than Epolls that run; see processors.
//   - A loop with nothing to do comes to the Syscall.
const shortWait = 5

// processors keeps GOMAXPROCS above the number of Epolls that run.
var processors loops

// loops counts the Epolls that run.
type loops struct {
	mu    sync.Mutex
	count int
}

// take counts one more. GOMAXPROCS is raised only where it must be, since that stops the world for a moment, and never lowered.
func (l *loops) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; runtime.GOMAXPROCS(0) <= l.count {
		runtime.GOMAXPROCS(l.count + 1)
	}
}

func (l *loops) leave() {
	l.mu.Lock()
	l.count--
	l.mu.Unlock()
}

// poll returns how many events there are in e.events, and never waits.
func (e *Epoll) poll() int {
	n, _ := e.rawWait(0)
	return n
}

// wait returns how many events there are in e.events. It waits if nothing else is to be done in the coming turn: at first the
// short way, and if nothing comes the long one.
func (e *Epoll) wait() int {
	if len(e.again) > 0 || len(e.later.next) > 0 || e.stopping.Load() {
		return e.poll()
	}
	short := e.patience(shortWait)
	if short == 0 || !e.mail.sleep() {
		return e.poll()
	}
	n, errno := e.rawWait(short)
	if n == 0 && errno == 0 && short == shortWait {
		n, errno = e.longWait()
	}
	e.mail.awake()
	if errno == unix.EINTR {
		// A process that was stopped (SIGSTOP) and goes on comes here: what has come meanwhile is read before timers fire.
		return e.poll()
	}
	if errno != 0 { // the descriptor is ours and the arguments are right: nothing else can fail
		panic(fmt.Sprintf("loop: epoll_wait: %v", errno))
	}
	return n
}

// patience is how long the loop may wait for events before a timer is due, at most limit, in milliseconds. It is rounded up: a wait
// that ends before the timer is due would only turn the loop for nothing. The clock is asked only if a timer may be that near.
func (e *Epoll) patience(limit int) int {
	at, ok := e.timers.Next()
	if !ok || limit == shortWait && at.Sub(e.now) > 2*shortWait*time.Millisecond {
		return limit
	}
	return int(min((max(0, time.Until(at))+time.Millisecond-1)/time.Millisecond, time.Duration(limit)))
}

// rawWait asks for events by a RawSyscall, for at most so many milliseconds.
func (e *Epoll) rawWait(milliseconds int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.epfd), uintptr(unsafe.Pointer(&e.events[0])), batch,
		uintptr(milliseconds), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// longWait waits until something comes, or a timer is due, as a Syscall.
func (e *Epoll) longWait() (int, unix.Errno) {
	timeout := -1
	if _, ok := e.timers.Next(); ok {
		timeout = e.patience(math.MaxInt32)
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.epfd), uintptr(unsafe.Pointer(&e.events[0])), batch,
		uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

package loop

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

var (
	_ Rationed = (*Epoll)(nil)
	_ Reserved = (*epollListener)(nil)
)

// The kernel gives each new descriptor the lowest number that is free. So the number of a new one tells how many there are at least, without
// asking: with one that is beyond the limit less the reserve, all but the reserve are in use.

// The part of the descriptors that is kept back, and its bounds.
const (
	reserveShare = 16
	leastReserve = 32
	mostReserve  = 1024
)

// ration is what a loop knows of the process's descriptors.
type ration struct {
	last int            // the number of the one that was made last
	from int            // where the reserve begins
	most int            // how many there may be
	told func(most int) // nil: nobody wants to know
}

// ask looks how many descriptors the process may have: that may be changed while it runs (prlimit(2)).
func (r *ration) ask() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		limit.Cur = 1 << 30
	}
	r.most = int(limit.Cur)
	r.from = r.most - min(max(r.most/reserveShare, leastReserve), mostReserve)
}

// claimed is what all loops of the process keep back beside the reserve.
var claimed atomic.Int64

// Claim keeps n more back; see Rationed.
func (e *Epoll) Claim(n int) { claimed.Add(int64(n)) }

// registered counts the descriptors that all loops of the process wait for: nearly all that it has.
var registered atomic.Int64

// few reports whether a new descriptor with that number is one of those that are kept back; deep: of that half of them which is kept back from
// listeners that use the reserve, too. Where many have just been closed that are claimed already, the lowest number says nothing; then those
// count that there are.
func (r *ration) few(fd int, deep bool) bool {
	from, claims := r.from, claimed.Load()
	if deep {
		from += (r.most - r.from) / 2
	}
	return fd >= from || claims > 0 && registered.Load()+claims+leastReserve/2 >= int64(from)
}

// OnScarce has told called when a listener rests; see Rationed.
func (e *Epoll) OnScarce(told func(most int)) { e.ration.told = told }

// Scarce reports whether only the reserve is left; see Rationed.
func (e *Epoll) Scarce() bool { return e.scarce(false) }

// scarce is Scarce; deep: it reports whether only that half of the reserve is left which is kept back from listeners that use it, too.
func (e *Epoll) scarce(deep bool) bool {
	if !e.ration.few(e.ration.last, deep) { // without asking
		return false
	}
	e.ration.ask()
	fd, err := unix.FcntlInt(uintptr(e.eventfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, unix.EMFILE)
	}
	unix.Close(fd)
	e.ration.last = fd
	return e.ration.few(fd, deep)
}

// UseReserve has it accept from the reserve, too; see Reserved.
func (l *epollListener) UseReserve(use bool) { l.deep = use }

// rest has a listener rest for a while, since there are no descriptors, or no memory, for more.
func (l *epollListener) rest() {
	l.interest(0)
	l.loop.Schedule(&l.resume, l.loop.now.Add(acceptPause))
	if r := &l.loop.ration; r.told != nil && !l.resting {
		r.told(r.most)
	}
	l.resting = true
}

// rested has it accept again, if there are descriptors.
func (l *epollListener) rested() {
	if l.loop.scarce(l.deep) {
		l.rest()
		return
	}
	l.resting = false
	l.interest(unix.EPOLLIN)
}

package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// owners knows the processes that hold a listening socket. A process that is being killed closes its sockets one by one, the
// newest first, and with many of them takes its time (180 ms were seen with 200): meanwhile its listening socket is still
// there, though nobody will ever accept from it. Whether its owners are on their way out is in /proc.
//
// Who they are the census finds out, once for each listening socket. The loop only asks how those are that were found, and looks through
// those processes that have begun since when all of them are gone. All probes that know a socket share what is known of it.
type owners struct {
	census *census // whose mu guards the rest
	socket listenerID

	probes    int       // that have not released it
	wanted    bool      // it is, or was, part of a pass
	urgent    bool      // somebody waits for that
	answers   []func()  // of those who are to be told
	found     bool      // whose it is was looked up, even if nobody could be seen
	missed    time.Time // when nobody could be seen while somebody waited for that: they may have been dying; zero: never
	processes []*process
	seen      []int // all processes that there were when they were found, in order; others have it, too
	gone      bool  // nobody holds it any more who could accept
}

// study has the processes found, if they are not, and calls answer when they are, on any goroutine.
func (o *owners) study(answer func()) {
	c := o.census
	c.mu.Lock()
	if o.found {
		c.mu.Unlock()
		answer()
		return
	}
	defer c.mu.Unlock()
	o.answers = append(o.answers, answer)
	if !o.wanted {
		o.wanted = true
		c.asked = append(c.asked, o)
	}
	c.start()
}

// hurry says that somebody waits for what study finds.
func (o *owners) hurry() {
	c := o.census
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.found && !o.urgent {
		o.urgent = true
		c.hurry.Store(true)
		c.start()
		c.signal()
	}
}

// learn takes what a pass has found, and tells those who asked.
func (o *owners) learn(f found) {
	c := o.census
	c.mu.Lock()
	o.found = true
	if o.probes > 0 {
		o.add(f)
	}
	if o.urgent && len(o.processes) == 0 {
		o.missed = time.Now()
	}
	answers := o.answers
	o.answers = nil
	c.mu.Unlock()
	for _, answer := range answers {
		answer()
	}
}

// release says that the probe does not need it any more.
func (o *owners) release() {
	if o == nil {
		return
	}
	c := o.census
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.probes--; o.probes == 0 {
		delete(c.sockets, o.socket)
		for _, p := range o.processes {
			c.release(p)
		}
		o.processes = nil
	}
}

// known reports whether the processes were looked up, even if none could be seen.
func (o *owners) known() bool {
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	return o.found
}

// unseen reports whether they were, and none could.
func (o *owners) unseen() bool {
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	return o.found && len(o.processes) == 0
}

// late reports whether the look for the processes was needed, came less than so long ago, and has found none: it may have come too late.
func (o *owners) late(within time.Duration) bool {
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	return !o.missed.IsZero() && time.Since(o.missed) < within
}

// survive reports whether a process that held the socket is there and not exiting, be that socket closed or not. False also where that is
// not known.
func (o *owners) survive() bool {
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	return o.anyAlive()
}

// life tells whether a process that is not exiting holds the socket: held or absent; present where that is not known, because
// nobody has looked yet, or its processes cannot be seen (another user's, another PID namespace).
func (o *owners) life() life {
	l, certain, seen := o.judge()
	if certain {
		return l
	}
	// Who else holds it now, with no process left that was seen to, has come since: a child of theirs.
	f, _ := holders([]listenerID{o.socket}, seen, nil)
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	o.add(f)
	l = o.best()
	switch {
	case l != absent:
		return l
	case f.blind:
		return present
	}
	o.gone = true
	return absent
}

// judge is life if that is certain without a look for more processes; else it returns those that need not be looked at.
func (o *owners) judge() (l life, certain bool, seen []int) {
	o.census.mu.Lock()
	defer o.census.mu.Unlock()
	switch {
	case len(o.processes) == 0:
		return present, true, nil
	case o.gone:
		return absent, true, nil
	}
	if l = o.best(); l != absent {
		return l, true, nil
	}
	return absent, false, o.seen
}

// add takes what was found. The caller holds mu, here and below.
func (o *owners) add(f found) {
	for _, pid := range f.holders[o.socket] {
		p := o.census.process(pid)
		if len(o.processes) < keepOpen && p.stat < 0 {
			p.dead = p.exiting()
		}
		o.processes = append(o.processes, p)
	}
	if o.seen == nil {
		o.seen = f.seen
	} else {
		o.seen = slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.seen, f.seen))))
	}
}

func (o *owners) anyAlive() bool { return o.best() != absent }

// best is held if a process is not exiting, else present if that is not known of one, else absent.
func (o *owners) best() life {
	best := absent
	for _, p := range o.processes {
		if best = max(best, p.life()); best == held {
			break
		}
	}
	return best
}

// keepOpen is of how many processes of a socket the stat is opened at once.
const keepOpen = 32

// process is one of the owners of sockets. Its stat, once open, is of that process only, also when another gets its number: so it is opened
// when the process has just been found.
type process struct {
	pid     int
	sockets int  // whose owner it is known to be
	stat    int  // descriptor of /proc/PID/stat; -1: not open
	dead    bool // it was gone when it was found
}

func (p *process) close() {
	if p.stat >= 0 {
		unix.Close(p.stat)
		p.stat = -1
	}
}

// exiting reports whether the process is gone for certain, or will be soon.
func (p *process) exiting() bool { return p.life() == absent }

// life is absent if the process is gone, or will be soon (PF_EXITING in the flags of proc_pid_stat(5)), else held; present if that cannot be
// told now, because this process has no descriptors or memory left.
func (p *process) life() life {
	if p.dead {
		return absent
	}
	if p.stat < 0 {
		fd, err := unix.Open("/proc/"+strconv.Itoa(p.pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case short(err):
			return present
		case err != nil:
			return absent
		}
		p.stat = fd
	}
	var stat [512]byte // the flags come early
	n, err := unix.Pread(p.stat, stat[:], 0)
	switch {
	case short(err):
		return present
	case err != nil || n <= 0 || leaving(stat[:n]):
		return absent
	}
	return held
}

// short reports whether a call failed because something is short here: it says nothing of what was asked for.
func short(err error) bool {
	return err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM || err == unix.EINTR
}

// leaving reports whether that is the stat of a process that is exiting.
func leaving(stat []byte) bool {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	const state, flags, pfExiting = 0, 6, 0x4
	if len(fields) <= flags {
		return true
	}
	bits, err := strconv.ParseUint(string(fields[flags]), 10, 64)
	return err != nil || bits&pfExiting != 0 || fields[state][0] == 'Z' || fields[state][0] == 'X'
}

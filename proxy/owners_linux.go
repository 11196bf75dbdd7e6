package proxy

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// owners knows the processes that hold a listening socket. A process that is being killed closes its sockets one by one, the
// newest first, and with many of them takes its time (180 ms were seen with 200): meanwhile its listening socket is still
// there, though nobody will ever accept from it. Whether its owners are on their way out is in /proc.
//
// To find them is to look through all descriptors of all processes: milliseconds, 2 with 80 processes of 400 descriptors. So that is
// done beside the loop, once for each listening socket, and slowly unless somebody waits for it: a process may hold thousands of connections.
// The loop only asks how those are that were found.
type owners struct {
	inode     uint32 // 0: nothing was found out yet
	processes []process
	seen      []int // all processes that there were when they were found, in order
	gone      bool  // nobody holds it any more who could accept
}

// found is what was found out of a listening socket.
type found struct {
	holders []int // processes with an open descriptor of it, as far as they can be seen
	seen    []int // all processes that there were, in order
}

// life tells whether a process that is not exiting holds the socket: held or absent; present where that is not known, because
// nobody has looked yet, or its processes cannot be seen (another user's, another PID namespace).
func (o *owners) life(inode uint32) life {
	switch {
	case inode != o.inode || len(o.processes) == 0:
		return present
	case o.gone:
		return absent
	case o.anyAlive():
		return held
	}
	// Who else holds it now, with no process left that was seen to, has come since: a child of theirs.
	o.add(holders(inode, o.seen, nil))
	o.gone = !o.anyAlive()
	if o.gone {
		return absent
	}
	return held
}

// learn takes what was found out.
func (o *owners) learn(inode uint32, f found) {
	o.forget()
	o.inode = inode
	o.add(f)
}

func (o *owners) add(f found) {
	for _, pid := range f.holders {
		p := process{pid: pid, stat: -1}
		if len(o.processes) < keepOpen {
			p.dead = p.exiting()
		}
		o.processes = append(o.processes, p)
	}
	o.seen = slices.Compact(slices.Sorted(slices.Values(append(o.seen, f.seen...))))
}

// forget closes what is open.
func (o *owners) forget() {
	for _, p := range o.processes {
		p.close()
	}
	*o = owners{}
}

func (o *owners) anyAlive() bool {
	for i := range o.processes {
		if !o.processes[i].exiting() {
			return true
		}
	}
	return false
}

// keepOpen is of how many processes the stat is opened at once.
const keepOpen = 32

// process is one of the owners. Its stat, once open, is of that process only, also when another gets its number: so it is opened when
// the process has just been found.
type process struct {
	pid  int
	stat int  // descriptor of /proc/PID/stat; -1: not open
	dead bool // it was gone when it was found
}

func (p *process) close() {
	if p.stat >= 0 {
		unix.Close(p.stat)
		p.stat = -1
	}
}

// exiting reports whether the process is gone, or will be soon (PF_EXITING in the flags of proc_pid_stat(5)).
func (p *process) exiting() bool {
	if p.dead {
		return true
	}
	if p.stat < 0 {
		fd, err := unix.Open("/proc/"+strconv.Itoa(p.pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return true
		}
		p.stat = fd
	}
	var stat [512]byte // the flags come early
	n, err := unix.Pread(p.stat, stat[:], 0)
	if err != nil || n <= 0 {
		return true
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat[:n], ')')+1 : n]) // the name before may hold anything
	const state, flags, pfExiting = 0, 6, 0x4
	if len(fields) <= flags {
		return true
	}
	bits, err := strconv.ParseUint(string(fields[flags]), 10, 64)
	return err != nil || bits&pfExiting != 0 || fields[state][0] == 'Z' || fields[state][0] == 'X'
}

// holders looks through all processes but those in except, which are in order. It may run on any goroutine. rest, which may be nil, is
// called again and again on the way, and may take its time.
func holders(inode uint32, except []int, rest func()) (f found) {
	pace := pace{rest: rest}
	want := fmt.Appendf(nil, "socket:[%d]", inode)
	for _, name := range list("/proc") {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if _, known := slices.BinarySearch(except, pid); known {
			continue
		}
		f.seen = append(f.seen, pid)
		if holds("/proc/"+name+"/fd", want, &pace) {
			f.holders = append(f.holders, pid)
		}
	}
	slices.Sort(f.seen)
	return f
}

// restEvery is how many links are read between two rests.
const restEvery = 256

// pace counts links.
type pace struct {
	rest func()
	read int
}

func (p *pace) step() {
	if p.read++; p.read%restEvery == 0 && p.rest != nil {
		p.rest()
	}
}

// holds reports whether one of the links in the directory leads to want. Most processes are not ours to see, or are gone.
func holds(dir string, want []byte, pace *pace) bool {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var link [64]byte
	for _, name := range names(fd) {
		pace.step()
		if n, err := unix.Readlinkat(fd, name, link[:]); err == nil && bytes.Equal(link[:n], want) {
			return true
		}
	}
	return false
}

func list(dir string) []string {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	return names(fd)
}

// names lists an open directory, as far as it can be read.
func names(fd int) (all []string) {
	var buf [8 << 10]byte
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		if err != nil || n <= 0 {
			return all
		}
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
	}
}

package proxy

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// owners knows the processes that hold a listening socket. A process that is being killed closes its sockets one by one, the
// newest first, and with many of them takes its time (180 ms were seen with 200): meanwhile its listening socket is still
// there, though nobody will ever accept from it. Whether its owners are on their way out is in /proc.
type owners struct {
	inode uint32
	pids  []int
	blind bool // its processes cannot be seen: looking again would cost as much and find as little
}

// alive reports whether a process that is not exiting holds the listening socket; known is false where the processes cannot be
// seen (another user's, another PID namespace).
func (o *owners) alive(inode uint32) (alive, known bool) {
	if inode == o.inode && o.blind {
		return false, false
	}
	if inode == o.inode && o.anyAlive() {
		return true, true
	}
	seen := inode == o.inode && len(o.pids) > 0
	o.inode, o.pids = inode, holders(inode)
	if o.anyAlive() {
		return true, true
	}
	known = seen || len(o.pids) > 0
	o.blind = !known
	return false, known
}

func (o *owners) anyAlive() bool {
	for _, pid := range o.pids {
		if !exiting(pid) {
			return true
		}
	}
	return false
}

// exiting reports whether the process is gone, or will be soon (PF_EXITING in the flags of proc_pid_stat(5)).
func exiting(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	const state, flags, pfExiting = 0, 6, 0x4
	if len(fields) <= flags {
		return true
	}
	bits, err := strconv.ParseUint(string(fields[flags]), 10, 64)
	return err != nil || bits&pfExiting != 0 || fields[state][0] == 'Z' || fields[state][0] == 'X'
}

// holders lists the processes with an open descriptor of the socket, as far as they can be seen.
func holders(inode uint32) (pids []int) {
	want := fmt.Sprintf("socket:[%d]", inode)
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // not ours to see, or gone
		}
		for _, fd := range fds {
			if link, err := os.Readlink(dir + "/" + fd.Name()); err == nil && link == want {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

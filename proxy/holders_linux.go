package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// found is what a look through the processes has found out.
type found struct {
	holders map[listenerID][]int // processes with an open descriptor of a socket, as far as they can be seen
	seen    []int                // all processes that there were, in order; it is not changed any more
	blind   bool                 // this process had no descriptors left to look at all of them
}

// holders looks through all processes, but those in except, which are in order, for those that hold the sockets. It may run on any
// goroutine. rest, which may be nil, is called again and again on the way, and may take its time; it ends the search with false: then
// it is not whole.
func holders(sockets []listenerID, except []int, rest func() (goOn bool)) (f found, whole bool) {
	w := walk{wanted: make(map[listenerID][]int, len(sockets)), rest: rest}
	for _, socket := range sockets {
		w.wanted[socket] = nil
	}
	f.holders = w.wanted
	f.seen = make([]int, 0, len(except))
	processes, err := list("/proc")
	w.blind = err != nil
	for _, name := range processes {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if _, known := slices.BinarySearch(except, pid); known {
			continue
		}
		f.seen = append(f.seen, pid)
		if !w.through(pid, "/proc/"+name+"/fd") {
			return f, false
		}
	}
	f.blind = w.blind
	slices.Sort(f.seen)
	return f, true
}

// walk is the way through the processes.
type walk struct {
	wanted map[listenerID][]int // sockets, and who holds them
	rest   func() bool
	read   int  // links
	blind  bool // not everything could be opened
}

// restEvery is how many links are read between two rests.
const restEvery = 256

// through looks at the links in the directory of a process's descriptors. Most processes are not ours to see, or are gone. False says that
// the search is to end.
func (w *walk) through(pid int, dir string) bool {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.blind = w.blind || short(err)
		return true
	}
	defer unix.Close(fd)
	var link [64]byte
	left := len(w.wanted) // that the process has not been seen to hold
	for _, name := range names(fd) {
		if w.read++; w.read%restEvery == 0 && w.rest != nil && !w.rest() {
			return false
		}
		n, err := unix.Readlinkat(fd, name, link[:])
		if err != nil {
			continue
		}
		socket, is := socketOf(link[:n])
		held, wanted := w.wanted[socket]
		if !is || !wanted || len(held) > 0 && held[len(held)-1] == pid {
			continue
		}
		w.wanted[socket] = append(held, pid)
		if left--; left == 0 {
			return true
		}
	}
	return true
}

// socketOf reads "socket:[4711]", what the link of a socket says.
func socketOf(link []byte) (socket listenerID, is bool) {
	number, is := bytes.CutPrefix(link, []byte("socket:["))
	if !is {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSuffix(number, []byte("]"))), 10, 32)
	return listenerID(n), err == nil
}

func list(dir string) ([]string, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return names(fd), nil
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

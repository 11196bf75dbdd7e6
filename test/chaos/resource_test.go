//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// processes are those of the host: its sidecar, if it has one, and the servers of the columns.
func (t *target) processes() (all []*process) {
	all = append(all, t.world.sidecar(t.at))
	for _, c := range t.columns {
		all = append(all, c.servers[t.at])
	}
	return all
}

// jumpClocks sets the calendars of the host's processes off, and that of the pool_user, the other way: by up to ten years.
func jumpClocks(t *target) (heal, error) {
	by := time.Duration(1+t.random.Int64N(10*365*24*3600)) * time.Second
	if t.random.IntN(2) == 0 {
		by = -by
	}
	all := []*process{t.world.sidecar(t.at)}
	for _, c := range t.columns {
		if c.dialect.kind != workload.Redis { // which asks another function than the one that can be replaced
			all = append(all, c.servers[t.at])
		}
	}
	set := func(by time.Duration) error {
		err := t.world.sidecar(-1).jumpClock(-by)
		for _, p := range all {
			if p.lives() {
				err = errors.Join(err, p.jumpClock(by))
			}
		}
		return err
	}
	t.world.say("clock jump", "of each process by itself, by up to ten years: its own copy of the vDSO's clock_gettime is written over; redis' is not")
	return func() error { return set(0) }, set(by)
}

// fillDisks fills the host's disk, where the servers' journals and the sidecar's access log are, and that of the pool_user's access log.
func fillDisks(t *target) (heal, error) {
	here, err := t.world.fillDisk(t.host())
	if err != nil {
		return nil, err
	}
	there, err := t.world.fillDisk(t.world.user)
	if err != nil {
		here()
		return nil, err
	}
	return func() error { here(); there(); return t.restartServers() }, nil
}

// takeDescriptors leaves the host's processes no more descriptors than they have, and sometimes the pool_user, too. A column is not struck if
// its server, or the sidecar before it, could open one all the same.
func takeDescriptors(t *target) (heal, error) {
	all := t.processes()
	if t.random.IntN(3) == 0 {
		all = append(all, t.world.sidecar(-1))
	}
	var give []func()
	var errs []error
	left := make(map[*process]bool)
	for _, p := range all {
		if !p.lives() {
			continue
		}
		undo, none, err := p.takeDescriptors()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			err = nil // it has ended meanwhile, as one does that is replaced
		}
		errs, left[p] = append(errs, err), !none
		if undo != nil {
			give = append(give, undo)
		}
	}
	sidecar, servers := left[t.world.sidecar(t.at)], make(map[*column]bool)
	for _, c := range t.columns {
		servers[c] = left[c.servers[t.at]]
	}
	t.proofs = append(t.proofs, func(c *column) string {
		if servers[c] || c.mapping != "none" && sidecar {
			return "a process could open one more descriptor"
		}
		return ""
	})
	return func() error {
		for _, undo := range give {
			undo()
		}
		return t.restartServers()
	}, errors.Join(errs...)
}

// takeDescriptors has the process's limit at the lowest number that is free: above it there may be others, and the limit is one of numbers, not
// of how many there are. none reports that it was seen to have no free number below the limit, when that held already.
func (p *process) takeDescriptors() (undo func(), none bool, err error) {
	pid := p.pid()
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nil, false, err
	}
	undo = func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) } // it may have ended
	for now := before; ; {
		free, err := lowestFree(pid)
		if err != nil || free >= now.Cur {
			return undo, err == nil, err
		}
		now.Cur = free // what it closes meanwhile is found the next time, until it has none: it gets no higher
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil); err != nil {
			return undo, false, err
		}
	}
}

// lowestFree is the number that the next descriptor of a process gets.
func lowestFree(pid int) (uint64, error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	taken := make(map[string]bool, len(fds))
	for _, fd := range fds {
		taken[fd.Name()] = true
	}
	free := uint64(0)
	for taken[strconv.FormatUint(free, 10)] {
		free++
	}
	return free, nil
}

// starveProcessors leaves all processes of the host together 2 % of one processor.
func starveProcessors(t *target) (heal, error) {
	g, err := newCgroup("cpu", fmt.Sprintf("%s-%s", t.world.plan.name, t.host().name))
	if err != nil {
		return nil, err
	}
	all := t.processes()
	errs := []error{g.set(2000)}
	for _, p := range all {
		if p.lives() {
			errs = append(errs, g.enter(p.pid()))
		}
	}
	t.world.say("processor starved", "a control group leaves all processes of the host together 2 % of one processor")
	return func() error {
		_ = g.set(-1) // so that they get out of it
		pids, _ := os.ReadFile(g.path + "/cgroup.procs")
		for _, pid := range strings.Fields(string(pids)) {
			n := 0
			if _, err := fmt.Sscan(pid, &n); err == nil {
				_ = g.leave(n) // it may have ended
			}
		}
		g.remove()
		return nil
	}, errors.Join(errs...)
}

//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"strings"
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

// takeDescriptors leaves the host's processes no more descriptors than they have, and sometimes the pool_user, too.
func takeDescriptors(t *target) (heal, error) {
	all := t.processes()
	if t.random.IntN(3) == 0 {
		all = append(all, t.world.sidecar(-1))
	}
	var give []func()
	var errs []error
	for _, p := range all {
		if !p.lives() {
			continue
		}
		undo, err := p.takeDescriptors()
		errs = append(errs, err)
		if undo != nil {
			give = append(give, undo)
		}
	}
	return func() error {
		for _, undo := range give {
			undo()
		}
		return t.restartServers()
	}, errors.Join(errs...)
}

// takeDescriptors has the process's limit where it stands.
func (p *process) takeDescriptors() (undo func(), err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		return nil, err
	}
	var before unix.Rlimit
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nil, err
	}
	now := unix.Rlimit{Cur: uint64(len(fds)), Max: before.Max}
	err = unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &now, nil)
	return func() { _ = unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &before, nil) }, err // it may have ended
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

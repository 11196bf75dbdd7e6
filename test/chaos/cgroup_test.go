//go:build linux

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cgroupPrefix begins the names of the groups that these tests make, the number of their process follows. They are what would be left
// behind by tests that are killed.
const cgroupPrefix = "poolproxy-chaos-"

// cgroup is a control group of one controller, of either version of the kernel's interface.
type cgroup struct {
	path  string
	limit string // the file in which its limit stands
	two   bool   // version 2
}

// newCgroup makes a group below the one that the tests are in. An error says that there can be none here.
func newCgroup(controller, name string) (*cgroup, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	name = fmt.Sprintf("%s%d-%s", cgroupPrefix, os.Getpid(), name)
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) < 3 || !strings.Contains(","+f[1]+",", ","+controller+",") {
			continue
		}
		g := &cgroup{path: filepath.Join("/sys/fs/cgroup", controller, f[2], name)}
		g.limit = map[string]string{"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us"}[controller]
		return g, os.Mkdir(g.path, 0o755)
	}
	g := &cgroup{path: filepath.Join("/sys/fs/cgroup", name), two: true}
	g.limit = map[string]string{"memory": "memory.max", "cpu": "cpu.max"}[controller]
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(g.path, g.limit)); err != nil {
		_ = os.Remove(g.path)
		return nil, fmt.Errorf("the controller %s is not to be had here: %w", controller, err)
	}
	return g, nil
}

// set sets the limit: bytes of memory, or microseconds of processor in each 100 milliseconds.
func (g *cgroup) set(limit int64) error {
	text := strconv.FormatInt(limit, 10)
	if g.two && g.limit == "cpu.max" {
		text += " 100000"
	}
	return os.WriteFile(filepath.Join(g.path, g.limit), []byte(text), 0o644)
}

// enter puts a process, with all its threads, into the group; leave takes it back to where the tests are.
func (g *cgroup) enter(pid int) error { return g.put(g.path, pid) }

func (g *cgroup) leave(pid int) error { return g.put(filepath.Dir(g.path), pid) }

func (g *cgroup) put(path string, pid int) error {
	return os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// remove removes the group, whose processes are gone or on their way.
func (g *cgroup) remove() {
	_ = eventually("the control group is empty", func() bool {
		err := os.Remove(g.path)
		return err == nil || os.IsNotExist(err)
	})
}

// sweepCgroups removes what tests have left behind that were killed.
func sweepCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*", "/sys/fs/cgroup/*/*/*/*"} {
		found, _ := filepath.Glob(filepath.Join(pattern, cgroupPrefix+"*"))
		for _, path := range found {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), cgroupPrefix), "-")
			if n, err := strconv.Atoi(pid); err == nil && syscall.Kill(n, 0) == syscall.ESRCH {
				_ = os.Remove(path)
			}
		}
	}
}

// outOfMemory has the kernel's OOM killer kill the process: it is put into a group with little memory, with one that eats. Where no
// group can be had it is kill -9, which is what the OOM killer sends; then how says so.
func (p *process) outOfMemory() (how string, err error) {
	g, err := newCgroup("memory", fmt.Sprintf("oom-%d", p.pid()))
	if err != nil {
		p.kill()
		return "kill -9 (no control group for memory can be had here: " + err.Error() + ")", nil
	}
	defer g.remove()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.pid()), []byte("1000"), 0o644); err != nil {
		return "", err
	}
	if err := g.set(16 << 20); err != nil {
		return "", err
	}
	if err := g.enter(p.pid()); err != nil {
		return "", err
	}
	eater, err := p.host.start("eater", p.log, []string{roleVariable + "=eat"}, os.Args[0])
	if err != nil {
		return "", err
	}
	defer eater.kill()
	if err := g.enter(eater.pid()); err != nil && eater.lives() {
		return "", err
	}
	// Now it eats.
	return "the OOM killer, in a control group", eventually(p.name+" is killed for want of memory", func() bool { return !p.lives() })
}

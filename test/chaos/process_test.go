//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/internal/threads"
)

// patience bounds every wait for something that should happen soon. It is long, because machines can be busy, and no test passes
// because of it: each waits for an event.
const patience = 45 * time.Second

// process is one process on a host, or after an upgrade the one that has taken its place, in a group of its own. It is killed with its
// host, or with the tests.
type process struct {
	name    string
	host    *host
	cmd     *exec.Cmd
	log     string
	gone    chan struct{} // closed when the first one has ended
	current atomic.Int64  // its number, or that of the one in its place
}

// runVariable marks all that these tests start, with the number of their own process: so what is left of tests that were killed is found.
const runVariable = "POOLPROXY_CHAOS_RUN"

// start starts a process on the host; what it writes goes to the file log, which is appended to.
func (h *host) start(name, log string, env []string, args ...string) (*process, error) {
	p := &process{name: name, host: h, log: log, gone: make(chan struct{})}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = append(append(os.Environ(), env...), fmt.Sprintf("%s=%d", runVariable, os.Getpid()))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	h.do(func() { err = p.cmd.Start() })
	if err != nil {
		return nil, fmt.Errorf("starting %s on %s: %w", name, h.name, err)
	}
	p.current.Store(int64(p.cmd.Process.Pid))
	go p.reap()
	return p, nil
}

// reap ends with the process; who ends it waits for gone.
func (p *process) reap() {
	_ = p.cmd.Wait() // the tests end processes by signals: the error is the signal
	close(p.gone)
}

// pid is the number of the one that lives.
func (p *process) pid() int { return int(p.current.Load()) }

// kill is kill -9 of the process and all that it has started, and returns when they are gone, and their ports free.
func (p *process) kill() {
	var all []int
	if p.lives() {
		all = append(p.children(), p.pid())
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that they have ended by themselves
	for _, pid := range all {                             // who is about to take a process's place is in a group of its own
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.gone
	_ = eventually(p.name+" is gone", func() bool { return !slices.ContainsFunc(all, threads.Live) })
}

// signal sends it one, if it still lives.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(p.pid(), s) }

// lives reports whether it has not ended yet, nor is waiting for somebody to take note of that.
func (p *process) lives() bool {
	if p.pid() == p.cmd.Process.Pid {
		select {
		case <-p.gone:
			return false
		default:
			return true
		}
	}
	return threads.Live(p.pid())
}

// freeze is SIGSTOP; all its threads have stopped when it returns. thaw is SIGCONT.
func (p *process) freeze() error {
	p.signal(syscall.SIGSTOP)
	return eventually(p.name+" stops", func() bool { return threads.Stopped(p.pid()) || !p.lives() })
}

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// listens reports whether a socket of the host listens on the port. It does not connect: that would be a session.
func (h *host) listens(port uint16) bool {
	want := fmt.Sprintf(":%04X ", port)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/net/%s", h.tid, table))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1]+" ", want) {
				return true
			}
		}
	}
	return false
}

// eventually polls until it is so, and is an error after patience.
func eventually(what string, so func() bool) error { return every(time.Millisecond, what, so) }

// every is eventually for what costs something to look at: a look each pause.
func every(pause time.Duration, what string, so func() bool) error {
	for deadline := time.Now().Add(patience); !so(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			return fmt.Errorf("in %s not seen: %s", patience, what)
		}
	}
	return nil
}

// sweep ends what tests have left behind that were killed: processes that had taken the place of others, and control groups.
func sweep() {
	found, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, of, marked := strings.Cut(string(text), runVariable+"=")
		of, _, _ = strings.Cut(of, "\x00")
		run, err := strconv.Atoi(of)
		if pid, wrong := strconv.Atoi(filepath.Base(filepath.Dir(path))); marked && err == nil && wrong == nil && syscall.Kill(run, 0) == syscall.ESRCH {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	sweepCgroups()
}

// up waits until the process listens on its port, or is gone.
func (p *process) up(port uint16) error {
	err := eventually(fmt.Sprintf("%s on %s listens on %d", p.name, p.host.name, port), func() bool {
		return !p.lives() || p.host.listens(port)
	})
	if err == nil && !p.lives() {
		err = fmt.Errorf("%s on %s has ended: %s (its output: %s)", p.name, p.host.name, p.cmd.ProcessState, p.log)
	}
	return err
}

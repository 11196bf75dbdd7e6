//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// process is one program that this run has started and will end.
type process struct {
	name string
	cmd  *exec.Cmd
	said tail
	done chan struct{} // closed when it has ended
	asks bool          // it is asked to end first, because it has processes of its own to end and wait for
}

// processes is every process started and not ended, so that none is left behind.
type processes struct {
	mu  sync.Mutex
	all map[*process]bool
}

var running = processes{all: map[*process]bool{}}

// child prepares a command that dies with this process, even when this process is killed -9 (PR_SET_PDEATHSIG). The signal
// comes when the *thread* ends that started the child: start children only from the main goroutine, which main locks to the
// main thread.
func child(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd
}

// again is this program, started with a role of its own.
func again(ctx context.Context, role string, args ...string) *exec.Cmd {
	return child(ctx, ownBinary(), append([]string{childFlag, role}, args...)...)
}

// ownBinary is the file that this program was started from.
func ownBinary() string {
	path, err := os.Executable()
	if err != nil {
		return "/proc/self/exe" // the same, but process lists show it as "exe"
	}
	return path
}

// startProcess starts cmd. What it writes is kept, the end of it, for error messages.
func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.said, &p.said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	running.mu.Lock()
	running.all[p] = true
	running.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended does not matter: that it ended is what ended reports
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended is an error when the process is gone, with its last words.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.cmd.ProcessState, oneLine(p.said.String()))
	default:
		return nil
	}
}

// kill ends the process and its group, and waits for it.
func (p *process) kill() {
	if p.asks {
		_ = syscall.Kill(p.pid(), syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(time.Second):
		}
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // ESRCH: it is gone already
	<-p.done
	running.mu.Lock()
	delete(running.all, p)
	running.mu.Unlock()
}

// killAll ends everything that was started and is still there.
func (r *processes) killAll() {
	r.mu.Lock()
	var all []*process
	for p := range r.all {
		all = append(all, p)
	}
	r.mu.Unlock()
	for _, p := range all {
		p.kill()
	}
}

// onSignal cleans up and ends this process when the user, or a supervisor, asks for it.
func onSignal(cleanUp func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		s := <-signals
		cleanUp()
		fmt.Fprintln(os.Stderr, "bench: ended by", s)
		os.Exit(1)
	}()
}

// capture runs a short command and returns what it printed; the error holds what it said.
func capture(ctx context.Context, name string, args ...string) (string, error) {
	cmd := child(ctx, name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", name, errors.Join(err, ctx.Err()), oneLine(said.String()))
	}
	return string(out), nil
}

// tail keeps the last bytes written to it. It may be used by several goroutines.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - tailSize; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}

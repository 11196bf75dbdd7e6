//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// process is one process of the deployment, which can be killed and started again. Its output is in a file.
type process struct {
	name string
	args []string
	log  string

	mu   sync.Mutex
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

func newProcess(logs, name string, args ...string) *process {
	return &process{name: name, args: args, log: filepath.Join(logs, name+".log")}
}

// starts carries work to one thread, which lives as long as this process: the kernel ends the children with the thread that has started
// them (PR_SET_PDEATHSIG), so that nothing is left when this process is killed.
var starts = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() { // ends with the process
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// start starts it, or starts it again.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	done := make(chan struct{})
	starts() <- func() {
		err = cmd.Start()
		close(done)
	}
	<-done
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.cmd, p.gone = cmd, make(chan struct{})
	go p.reap(cmd, p.gone)
	return nil
}

// reap waits for the end of one life; kill waits for it.
func (p *process) reap(cmd *exec.Cmd, gone chan struct{}) {
	_ = cmd.Wait() // it is ended by a signal
	close(gone)
}

// kill is kill -9, and returns when it is gone.
func (p *process) kill() {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended by itself
	<-gone
}

// lives reports whether it runs.
func (p *process) lives() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

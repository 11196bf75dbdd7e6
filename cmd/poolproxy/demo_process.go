package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// demoProcess is one process of the demo, which may die and be started again. One goroutine uses it.
type demoProcess struct {
	name   string
	binary string
	args   []string
	log    string // a file; what the process writes is appended

	cmd *exec.Cmd // nil while it does not run
}

// start starts the process. It is tied to the calling thread, see tie.
func (p *demoProcess) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(p.binary, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	tie(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.cmd = cmd
	return nil
}

// kill is kill -9, and returns when the process is gone. Killing what does not run does nothing.
func (p *demoProcess) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill() // an error means that it has died by itself
	p.cmd.Wait()         // the error is the signal
	p.cmd = nil
}

// pid is 0 while the process does not run.
func (p *demoProcess) pid() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// lastWords is the end of what the process has written, nil if that is nothing.
func (p *demoProcess) lastWords() error {
	text, err := os.ReadFile(p.log)
	text = bytes.TrimSpace(text)
	if err != nil || len(text) == 0 {
		return nil
	}
	lines := bytes.Split(text, []byte("\n"))
	lines = lines[max(0, len(lines)-8):]
	return fmt.Errorf("%s said last:\n  %s", p.name, bytes.Join(lines, []byte("\n  ")))
}

// answering returns when something accepts connections at the address.
func answering(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing has begun to listen on %s: %w", address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

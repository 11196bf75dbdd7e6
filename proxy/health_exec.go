package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/poolproxy/poolproxy/internal/progroup"
)

const (
	// shownOutput is how much of a program's output is kept for the reason of a failure, in bytes.
	shownOutput = 200

	// outputDelay is how long a program that has ended may have left its output open, in a child of its own.
	outputDelay = 100 * time.Millisecond

	// killDelay is how long closing waits for a killed program. One that the kernel holds is left to it.
	killDelay = time.Second
)

// program is one run of the program of a check.
type program struct {
	health *health
	kill   context.CancelFunc
	ended  bool          // known to the loop
	done   chan struct{} // closed when run has ended
}

// runProgram begins to run the program of a check.
func runProgram(h *health) *program {
	ctx, kill := context.WithCancel(context.Background())
	p := &program{health: h, kill: kill, done: make(chan struct{})}
	go p.run(ctx)
	return p
}

// run is the goroutine of one run: it ends when the program has ended, which stop sees to, and health.close waits for it.
func (p *program) run(ctx context.Context) {
	defer close(p.done)
	defer p.kill()
	err := execute(ctx, p.health.check.Exec)
	p.health.shard.loop.Post(func() {
		p.ended = true
		if p.health.attempt == p {
			p.health.ended(err)
		}
	})
}

// running reports whether there is a run that has not ended.
func (p *program) running() bool { return p != nil && !p.ended }

// late says that it has not ended (attempt).
func (p *program) late() error {
	return fmt.Errorf("it has not ended within %v", p.health.check.Timeout)
}

// stop kills the program and all that it has started in its process group (attempt).
func (p *program) stop() { p.kill() }

// wait returns when nothing of the last run is left, if there was one.
func (p *program) wait() {
	if p == nil {
		return
	}
	select {
	case <-p.done:
	case <-time.After(killDelay):
	}
}

// execute runs a program to its end, or until ctx is done. An exit status that is not 0 is an error, with the beginning of what the
// program wrote.
func execute(ctx context.Context, words []string) error {
	output := &bounded{limit: shownOutput}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env, c.Stdout, c.Stderr, c.WaitDelay = programEnv, output, output, outputDelay
	progroup.Own(c)
	err := c.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // the latter is a success that left a child behind
		return nil
	}
	if text := bytes.TrimSpace(output.bytes); len(text) > 0 {
		return fmt.Errorf("%w: %q", err, text)
	}
	return err
}

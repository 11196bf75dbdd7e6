package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/internal/progroup"
	"github.com/poolproxy/poolproxy/loop"
)

// job is one run of a program: no shell, what it is told on its standard input, and a limit of time.
type job struct {
	args    []string // the program and its arguments
	input   []byte
	timeout time.Duration // from when it was asked for, waiting for its turn included
}

// Bounds of the programs of one owner, and of what one of them may say.
const (
	maxPrograms = 16       // run at once; more wait for their turn
	maxInput    = 64 << 20 // bytes of all inputs, of those that wait, too
	maxOutput   = 64 << 10 // bytes of standard output
	maxComplain = 4 << 10  // bytes of standard error that are read; of these
	maxLines    = 10       // lines go to the log
)

// programEnv is all of a program's environment: nothing of ours, which may hold secrets.
var programEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

var (
	errOutput  = fmt.Errorf("it wrote more than %d KiB to its standard output", maxOutput>>10)
	errWaiting = fmt.Errorf("too many programs wait for their turn: %d MiB of input", maxInput>>20)
)

// runner runs programs for an owner on a loop. It belongs to the loop's goroutine, but for execute and what that calls.
type runner struct {
	loop    loop.Loop
	log     hclog.Logger
	context context.Context // done when the owner closes
	cancel  context.CancelFunc
	running sync.WaitGroup
	slots   chan struct{}
	input   int // bytes, of programs that run or wait
	closed  bool
}

// newRunner makes a runner. As many programs run at once as slots holds, which others may share.
func newRunner(l loop.Loop, log hclog.Logger, slots chan struct{}) *runner {
	r := &runner{loop: l, log: log, slots: slots}
	r.context, r.cancel = context.WithCancel(context.Background())
	return r
}

// run starts a program, or has it wait for its turn. done is told in a later turn, on the loop, what it has written to its standard
// output; the error is a program that could not be started, has failed, took too long, or said too much.
func (r *runner) run(j job, done func(output []byte, err error)) {
	if r.input+len(j.input) > maxInput {
		r.loop.Post(func() { r.done(0, func() { done(nil, fmt.Errorf("program %s: %w", j.args[0], errWaiting)) }) })
		return
	}
	r.input += len(j.input)
	r.running.Add(1)
	go r.execute(j, done)
}

// done frees what a run has held. Once the owner has closed nobody is told.
func (r *runner) done(input int, tell func()) {
	r.input -= input
	if !r.closed {
		tell()
	}
}

// close kills the programs that run and waits until they are gone; one that the kernel holds is left to it. Nothing is told
// afterwards. Twice is harmless, and so is none.
func (r *runner) close() {
	if r == nil {
		return
	}
	r.closed = true
	r.cancel()
	gone := make(chan struct{})
	go r.wait(gone)
	select {
	case <-gone:
	case <-time.After(killDelay):
	}
}

// wait is a goroutine of close. It ends with the last program, which close waits for, but not for ever.
func (r *runner) wait(gone chan struct{}) {
	r.running.Wait()
	close(gone)
}

// execute is the goroutine of one program. It ends with the program, which its limit of time or close ends; close waits for it.
func (r *runner) execute(j job, done func(output []byte, err error)) {
	defer r.running.Done()
	ctx, cancel := context.WithTimeout(r.context, j.timeout)
	defer cancel()
	var output []byte
	var err error
	select {
	case r.slots <- struct{}{}:
		if err = r.context.Err(); err == nil { // a close is known there before it is to ctx: the slot may be that of a program it has killed
			output, err = r.carryOut(ctx, cancel, j)
		}
		<-r.slots
	case <-ctx.Done():
		err = fmt.Errorf("program %s: not begun within %v: %d others run", j.args[0], j.timeout, maxPrograms)
	}
	r.loop.Post(func() { r.done(len(j.input), func() { done(output, err) }) })
}

// carryOut runs the program to its end. Its process group is killed when ctx is done or it says too much.
func (r *runner) carryOut(ctx context.Context, kill func(), j job) ([]byte, error) {
	output := &bounded{limit: maxOutput, full: kill}
	complaint := &bounded{limit: maxComplain}
	c := exec.CommandContext(ctx, j.args[0], j.args[1:]...)
	c.Env, c.WaitDelay = programEnv, outputDelay
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(j.input), output, complaint
	progroup.Own(c)
	err := c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and left somebody behind who could still write
	}
	first := r.complain(j.args[0], complaint.bytes, err != nil || output.over)
	switch {
	case output.over:
		err = errOutput
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("killed: it has not ended within %v", j.timeout)
	case err != nil && first != "":
		err = fmt.Errorf("%w: %s", err, first)
	}
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", j.args[0], err)
	}
	return output.bytes, nil
}

// complain logs the first lines that a program has written to its standard error, and returns the first one.
func (r *runner) complain(name string, text []byte, failed bool) (first string) {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "\n")
	if lines[0] == "" {
		return ""
	}
	level := hclog.Info
	if failed {
		level = hclog.Warn
	}
	for _, line := range lines[:min(len(lines), maxLines)] {
		r.log.Log(level, "a program says", "program", name, "line", line)
	}
	return lines[0]
}

// bounded keeps the first bytes that are written to it. Where there is something to call when it is full, writing more is an
// error; else the rest is dropped.
type bounded struct {
	bytes []byte
	limit int
	over  bool
	full  func()
}

func (b *bounded) Write(p []byte) (int, error) {
	taken := min(len(p), b.limit-len(b.bytes))
	b.bytes = append(b.bytes, p[:taken]...)
	if taken < len(p) && b.full != nil {
		b.over = true
		b.full()
		return taken, errOutput
	}
	return len(p), nil
}

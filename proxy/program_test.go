//go:build unix

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
)

// owner is a loop with a runner on it.
type owner struct {
	*testing.T
	loop   loop.Runner
	runner *runner
	log    logged
}

// logged is what was written to a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newOwner(t *testing.T) *owner {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{T: t, loop: l}
	o.runner = newRunner(l, hclog.New(&hclog.LoggerOptions{Output: &o.log, Level: hclog.Info}), make(chan struct{}, maxPrograms))
	var running sync.WaitGroup
	running.Go(l.Run)
	t.Cleanup(func() { o.do(o.runner.close); l.Stop(); running.Wait() })
	return o
}

// do runs f on the loop, and waits for it.
func (o *owner) do(f func()) {
	o.Helper()
	done := make(chan struct{})
	if !o.loop.Post(func() { f(); close(done) }) {
		o.Fatal("the loop has ended")
	}
	<-done
}

// result is what a program came to.
type result struct {
	output string
	err    error
}

// start starts a shell script.
func (o *owner) start(script, input string, timeout time.Duration) <-chan result {
	return o.startJob(job{args: []string{"/bin/sh", "-c", script}, input: []byte(input), timeout: timeout})
}

func (o *owner) startJob(j job) <-chan result {
	results := make(chan result, 1)
	o.do(func() { o.runner.run(j, func(output []byte, err error) { results <- result{string(output), err} }) })
	return results
}

func (o *owner) wait(results <-chan result) result {
	o.Helper()
	select {
	case r := <-results:
		return r
	case <-time.After(limitPatience):
		o.Fatal("the program has no result")
		return result{}
	}
}

// A program gets its arguments as they are, its input, and next to nothing of our environment.
func TestProgram(t *testing.T) {
	t.Setenv("POOLPROXY_TEST_SECRET", "x")
	o := newOwner(t)
	r := o.wait(o.startJob(job{args: []string{"/bin/sh", "-c", `cat; printf '|%s' "$0" "$@"`, "$HOME", "a  b", "`id`"},
		input: []byte("in\x00put"), timeout: limitPatience}))
	if want := "in\x00put|$HOME|a  b|`id`"; r.output != want || r.err != nil {
		t.Errorf("%q, %v; expected %q", r.output, r.err, want)
	}
	r = o.wait(o.startJob(job{args: []string{"/usr/bin/env"}, timeout: limitPatience}))
	if got := strings.Fields(r.output); !slices.Equal(got, programEnv) {
		t.Errorf("the environment is %q", got)
	}
	big := strings.Repeat("x", maxOutput)
	if r := o.wait(o.start("cat", big, limitPatience)); r.output != big || r.err != nil {
		t.Errorf("%d bytes, %v", len(r.output), r.err)
	}
	if r := o.wait(o.start("exit 0", big+big, limitPatience)); r.output != "" || r.err != nil { // it does not read its input
		t.Errorf("%q, %v", r.output, r.err)
	}
	if log := o.log.String(); log != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestProgramFails(t *testing.T) {
	o := newOwner(t)
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		want    []string // in the error
	}{
		"exit status":           {"echo out; echo one >&2; echo two >&2; exit 3", limitPatience, []string{"/bin/sh", "exit status 3", "one"}},
		"nothing said":          {"exit 1", limitPatience, []string{"exit status 1"}},
		"killed by itself":      {"kill -9 $$", limitPatience, []string{"signal: killed"}},
		"too slow":              {"sleep 1000", 50 * time.Millisecond, []string{"not ended within 50ms"}},
		"too slow, and ignores": {"trap '' TERM INT HUP; sleep 1000", 50 * time.Millisecond, []string{"not ended within 50ms"}},
		"too much output":       {"while :; do echo xxxxxxxxxxxxxxxxxxxxxxxx; done", limitPatience, []string{"more than 64 KiB"}},
		"too much by one":       {"head -c 65537 /dev/zero", limitPatience, []string{"more than 64 KiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := o.wait(o.start(c.script, "", c.timeout))
			if r.err == nil || r.output != "" {
				t.Fatalf("%q, %v", r.output, r.err)
			}
			for _, want := range c.want {
				if !strings.Contains(r.err.Error(), want) {
					t.Errorf("%q does not say %q", r.err, want)
				}
			}
		})
	}
	if r := o.wait(o.startJob(job{args: []string{"/no/such/program"}, timeout: limitPatience})); !errors.Is(r.err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", r.err)
	}
}

// The first lines of what a program complains of are logged; the rest is read and dropped.
func TestProgramComplains(t *testing.T) {
	o := newOwner(t)
	r := o.wait(o.start(`i=0; while [ $i -lt 5000 ]; do i=$((i+1)); printf 'line %s \377.\n' $i >&2; done; echo good`, "", limitPatience))
	if r.output != "good\n" || r.err != nil {
		t.Fatalf("%q, %v", r.output, r.err)
	}
	log := o.log.String()
	if n := strings.Count(log, "a program says"); n != maxLines || !strings.Contains(log, "[INFO]") {
		t.Errorf("%d lines are logged:\n%s", n, log)
	}
	if !strings.Contains(log, "line 10 ?.") || strings.Contains(log, "line 11") {
		t.Errorf("logged:\n%s", log)
	}
	o.wait(o.start("echo bad >&2; exit 1", "", limitPatience))
	if log := o.log.String(); !strings.Contains(log, "[WARN]") {
		t.Errorf("a failure is not logged as a warning:\n%s", log)
	}
}

// pidFrom waits for a file with the number of a process in it.
func pidFrom(t *testing.T, path string) int {
	t.Helper()
	eventually(t, "a process says its number", func() bool { return len(numbers(path)) > 0 })
	return numbers(path)[0]
}

// gone reports whether a process is dead, be it that nobody has waited for it.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }

// A program that takes too long is killed with all its children.
func TestProgramIsKilled(t *testing.T) {
	o := newOwner(t)
	file := filepath.Join(t.TempDir(), "child")
	for limit := 500 * time.Millisecond; len(numbers(file)) == 0; limit *= 2 { // it has to come so far as to begin the child
		if r := o.wait(o.start("sh -c 'echo $$ > "+file+"; sleep 1000' & wait", "", limit)); r.err == nil || limit > limitPatience {
			t.Fatalf("no error, or no child, in %v: %v", limit, r.err)
		}
	}
	child := pidFrom(t, file)
	eventually(t, "the program's child to die", func() bool { return gone(child) })
}

// What a program leaves behind when it ends well goes on, and is not waited for.
func TestProgramLeavesAChild(t *testing.T) {
	o := newOwner(t)
	file := filepath.Join(t.TempDir(), "child")
	r := o.wait(o.start("sh -c 'echo $$ > "+file+"; exec sleep 1000' & while [ ! -s "+file+" ]; do :; done; echo done", "", time.Minute))
	if r.output != "done\n" || r.err != nil {
		t.Errorf("%q, %v", r.output, r.err)
	}
	child := pidFrom(t, file)
	if gone(child) {
		t.Error("the child is dead")
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// close kills what runs and what waits, waits for it, and nothing is told afterwards.
func TestProgramOwnerCloses(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	var results []<-chan result
	for i := range maxPrograms + 4 {
		results = append(results, o.start(fmt.Sprintf("echo $$ > %s/%d; sleep 1000", dir, i), "", time.Minute))
	}
	var pids []int
	eventually(t, "the programs to run", func() bool {
		files, _ := filepath.Glob(dir + "/*")
		return len(files) == maxPrograms
	})
	files, _ := filepath.Glob(dir + "/*")
	for _, file := range files {
		pids = append(pids, pidFrom(t, file))
	}
	o.do(o.runner.close)
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
	o.do(func() {}) // what they have posted has run
	for _, r := range results {
		select {
		case r := <-r:
			t.Errorf("told after close: %v", r)
		default:
		}
	}
	if files, _ := filepath.Glob(dir + "/*"); len(files) != maxPrograms {
		t.Errorf("%d programs were begun", len(files))
	}
}

// So many run at once; others wait for their turn, as long as their time allows.
func TestProgramsWait(t *testing.T) {
	o := newOwner(t)
	dir := t.TempDir()
	var results []<-chan result
	for range maxPrograms {
		results = append(results, o.start("while [ ! -e "+dir+"/go ]; do sleep 0.01; done; echo ran", "", time.Minute))
	}
	eventually(t, "all slots to be taken", func() bool { return len(o.runner.slots) == maxPrograms })
	impatient := o.start("echo ran", "", time.Millisecond)
	for range 2 * maxPrograms {
		results = append(results, o.start("echo ran", "", time.Minute))
	}
	if r := o.wait(impatient); r.err == nil || !strings.Contains(r.err.Error(), "not begun within 1ms") {
		t.Errorf("%v", r)
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r := o.wait(r); r.output != "ran\n" || r.err != nil {
			t.Errorf("%v", r)
		}
	}
	o.do(func() { o.runner.input = maxInput - 1 })
	if r := o.wait(o.start("cat", "xx", time.Minute)); !errors.Is(r.err, errWaiting) {
		t.Errorf("beyond the limit of memory: %v", r.err)
	}
	if r := o.wait(o.start("cat", "x", time.Minute)); r.err != nil {
		t.Error(r.err)
	}
	o.do(func() {
		if o.runner.input != maxInput-1 {
			t.Errorf("%d bytes are counted still", o.runner.input-maxInput+1)
		}
	})
}

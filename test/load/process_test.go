//go:build linux

package load

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that should happen soon. It is long: machines can be busy.
const patience = time.Minute

// process is one process of a test. Its output is in a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	gone chan struct{} // closed when it has ended
}

// start starts a process: args is a command line, or with a role that part of this binary with args as its arguments. It is killed when the
// test ends.
func start(t *testing.T, name, role string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(logDir(t), name+".log"), gone: make(chan struct{})}
	if role != "" {
		args = append([]string{os.Args[0]}, args...)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if role != "" {
		p.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	}
	onMainThread(func() { err = p.cmd.Start() })
	if err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go p.await()
	t.Cleanup(p.kill)
	return p
}

// await ends when the process has.
func (p *process) await() {
	_ = p.cmd.Wait() // the tests end processes by signals: the error is the signal
	close(p.gone)
}

// kill is kill -9 of the process and all that it has started, and returns when it is gone.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended by itself
	<-p.gone
}

// output is what the process has written so far.
func (p *process) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// resident is the most memory that the process has had, and what it has now, in bytes (VmHWM, VmRSS of proc_pid_status(5)).
func (p *process) resident() (peak, now int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(string(line), ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmHWM":
			peak = kib << 10
		case "VmRSS":
			now = kib << 10
		}
	}
	return peak, now
}

// descriptors counts those that the process has.
func (p *process) descriptors() int {
	names, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	return len(names)
}

// waitFor polls for a condition until patience ends.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
}

// logDir is the folder for what the test's processes write. When the test fails its logs are shown.
func logDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(workdir, strings.ReplaceAll(t.Name(), "/", "_"))
	if os.Mkdir(dir, 0o755) != nil {
		return dir // it exists: this is not the first process
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, dir)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// showLogs prints the end of every log.
func showLogs(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		n := len(lines)
		t.Logf("---- %s, %d lines\n%s", filepath.Base(f), n, bytes.Join(lines[max(0, n-25):], []byte("\n")))
	}
}

// nextPort counts the addresses that were given out. All ports are the namespace's own; those from 1024 to 1999 are not given to clients
// where somebody listens.
var nextPort atomic.Int32

// freeAddress is a loopback address that no other test gets.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 100+nextPort.Add(1)) // below all that clients are given: the tests are root
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		return address
	}
	t.Fatal("no free port on 127.0.0.1 below 1024")
	return ""
}

//go:build linux

package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/threads"
)

// patience bounds every wait for something that should happen soon. It is long, because machines can be busy, and no test passes
// because of it: each waits for an event.
const patience = time.Minute

// process is one process of a test. Its output is in a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	gone chan struct{} // closed when it has ended
}

// command is what to start: in the network namespace netns, if that is not empty.
type command struct {
	name  string // of the log, unique in the test
	netns string
	role  string // this binary in a role, with args as the role's arguments; else args is a command line
	args  []string
}

// startProcess starts a process in a group of its own. It is killed, with its group, when the test ends, or when the tests are
// killed.
func startProcess(t *testing.T, c command) *process {
	t.Helper()
	p := &process{name: c.name, log: filepath.Join(logDir(t), c.name+".log"), gone: make(chan struct{})}
	args := c.args
	if c.role != "" {
		args = append([]string{os.Args[0]}, args...)
	}
	if c.netns != "" {
		args = append([]string{"ip", "netns", "exec", c.netns}, args...)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.role != "" {
		p.cmd.Env = append(os.Environ(), roleVariable+"="+c.role)
	}
	onMainThread(func() { err = p.cmd.Start() })
	if err != nil {
		t.Fatalf("starting %s: %v", c.name, err)
	}
	go func() {
		p.cmd.Wait() // the tests end processes by signals: the error is the signal
		close(p.gone)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill is kill -9 of the process and all that it has started, and returns when it is gone.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended by itself
	<-p.gone
}

// freeze is SIGSTOP, thaw SIGCONT. The process has stopped when freeze returns: on a busy machine it may go on for a while.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	waitFor(t, p.name+" to freeze", func() bool { return threads.Stopped(p.cmd.Process.Pid) })
}

func (p *process) thaw(t *testing.T) { p.signal(t, syscall.SIGCONT) }

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

// wait returns the exit status when the process has ended by itself.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.gone:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s has not ended within %s", p.name, limit)
		return 0
	}
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

// said waits until the process has written text, n times.
func (p *process) said(t *testing.T, text string, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s to write %q (%d times)", p.name, text, n), func() bool {
		return strings.Count(p.output(t), text) >= n
	})
}

// waitFor polls for a condition until patience ends.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	waitWithin(t, patience, what, condition)
}

// waitWithin is waitFor with another limit.
func waitWithin(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", limit, what)
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
		os.RemoveAll(dir) // so that the test can be run again (-count)
	})
	return dir
}

// showLogs prints the end of every log.
func showLogs(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		lines = lines[max(0, len(lines)-30):]
		t.Logf("---- %s\n%s", filepath.Base(f), bytes.Join(lines, []byte("\n")))
	}
}

// waitListening returns when a socket listens on the address in the process's network namespace. It does not connect: that
// would be a session.
func (p *process) waitListening(t *testing.T, address string) {
	t.Helper()
	want := fmt.Sprintf(" %s 00000000:0000 0A ", hexAddress(address))
	table := "tcp"
	if netip.MustParseAddrPort(address).Addr().Is6() {
		want, table = fmt.Sprintf(" %s %032d:0000 0A ", hexAddress(address), 0), "tcp6"
	}
	waitFor(t, p.name+" to listen on "+address, func() bool {
		select {
		case <-p.gone:
			t.Fatalf("%s has ended: %s", p.name, p.cmd.ProcessState)
		default:
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, table))
		return err == nil && strings.Contains(string(text), want)
	})
}

// hexAddress is an address as it stands in /proc/PID/net/tcp or tcp6 (proc(5)): words of 32 bits in the machine's order.
func hexAddress(address string) string {
	at := netip.MustParseAddrPort(address)
	ip, text := at.Addr().AsSlice(), ""
	for i := 0; i < len(ip); i += 4 {
		text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(ip[i:]))
	}
	return fmt.Sprintf("%s:%04X", text, at.Port())
}

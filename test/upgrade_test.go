//go:build linux

package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/upgrade"
)

// upgradeClients is how many clients are at work while sidecars are replaced.
const upgradeClients = 200

// upgrade has the sidecar with this admin API replace itself.
func (f *fleet) upgrade(at string, args ...string) (done admin.Upgraded, err error) {
	f.t.Helper()
	text, err := exec.Command(builtBinary(f.t), append([]string{"upgrade", "-json", "-admin", at}, args...)...).CombinedOutput()
	if err != nil {
		return done, fmt.Errorf("%w: %s", err, text)
	}
	if err := json.Unmarshal(text, &done); err != nil {
		f.t.Fatalf("%v: %s", err, text)
	}
	return done, nil
}

// upgraded is upgrade that has to do its work.
func (f *fleet) upgraded(at, what string, args ...string) admin.Upgraded {
	f.t.Helper()
	done, err := f.upgrade(at, args...)
	if err != nil {
		f.t.Fatalf("upgrading %s: %v", what, err)
	}
	f.t.Logf("%s: process %d was ready after %d ms; %d pieces handed over, a pause of %d ms", what, done.PID, done.Ready, done.Items, done.Pause)
	return done
}

// TestUpgrade: all sidecars are replaced, the pool user's five times, while clients are at work that never connect again. Nobody sees
// anything of it, and no session is moved.
func TestUpgrade(t *testing.T) {
	for _, mapping := range []string{"tcp", "none"} {
		t.Run(mapping, func(t *testing.T) {
			f := launch(t, plan{mapping: mapping, protocol: `  protocol "line" { safe = ["."] }`, admins: true, servers: []string{"line", "line"}})
			underLines(t, f, func(further func()) {
				for i := range 5 {
					f.upgraded(f.admin, fmt.Sprintf("pool user, time %d", i+1))
					further()
				}
				if mapping == "none" {
					return
				}
				for _, e := range f.elements {
					f.upgraded(e.admin, "pool element "+e.name)
					further()
				}
			})
			f.untouched()
		})
	}
}

// underLines runs what is done while clients of protocol line are at work. further waits until each of them has come further.
func underLines(t *testing.T, f *fleet, do func(further func())) {
	t.Helper()
	var killed atomic.Bool
	clients := make([]*lineClient, upgradeClients)
	for i := range clients {
		clients[i] = &lineClient{number: i, conn: f.dial(), killed: &killed}
	}
	stop := make(chan struct{})
	failed := make(chan error, len(clients))
	var running sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); running.Wait() })
	t.Cleanup(end)
	for _, c := range clients {
		running.Go(func() {
			if err := c.run(stop); err != nil {
				failed <- err
			}
		})
	}
	further := func() { t.Helper(); advance(t, clients, 10, failed) }
	further()
	killed.Store(true)
	do(further)
	if n := len(f.status().Sessions); n != len(clients) {
		t.Errorf("%d sessions of %d clients", n, len(clients))
	}
	end()
	select {
	case err := <-failed:
		t.Error(err)
	default:
	}
	report(t, clients, 0)
}

// untouched checks that no session has failed over.
func (f *fleet) untouched() {
	f.t.Helper()
	for _, r := range f.status().Failovers {
		if r.Kind != "resumed" {
			f.t.Errorf("a session was moved: %+v", r)
			return
		}
	}
}

// successorRole is a new process that dies in the middle.
func successorRole(args []string) error {
	old, err := upgrade.Follow()
	if old == nil || err != nil {
		return fmt.Errorf("it takes nobody's place: %w", err)
	}
	if err := old.Ready(); err != nil {
		return err
	}
	for range 3 {
		if _, ok, err := old.Next(); !ok || err != nil {
			return errors.Join(err, errors.New("so little is handed over"))
		}
	}
	if len(args) > 0 && args[0] == "hangs" {
		select {}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestUpgradeFails is issue 7, must-show 2: whatever becomes of the new process, the old one goes on with all its sessions, and the command says
// what was wrong.
func TestUpgradeFails(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line"}})
	script := func(name, text string) string {
		path := filepath.Join(logDir(t), name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := filepath.Join(logDir(t), "bad.hcl")
	if err := os.WriteFile(bad, []byte("pool \"test\" {\n  polizy = \"round_robin\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	elsewhere := strings.Replace(f.userConfig(), fmt.Sprintf("listen = %q\n  pool", f.listen), fmt.Sprintf("listen = %q\n  pool", taken.Addr()), 1)
	writable := script("writable", "exit 0")
	if err := os.Chmod(writable, 0o777); err != nil {
		t.Fatal(err)
	}
	underLines(t, f, func(further func()) {
		for _, c := range []struct {
			what, want string
			args       []string
		}{
			{"crashes at start", "exit status 1", []string{"-binary", "/bin/false"}},
			{"is no poolproxy", "is it a poolproxy", []string{"-binary", "/bin/true"}},
			{"does not exist", "no such file", []string{"-binary", "/nowhere/poolproxy"}},
			{"hangs", "did not answer in time", []string{"-timeout", "1s", "-binary", script("hangs", "exec sleep 1000")}},
			{"bad configuration", "bad.hcl:2", []string{"-config", bad}},
			{"address taken", "address already in use", []string{"-config", writeConfig(t, "elsewhere", elsewhere)}},
			{"killed while it is handed the sessions", "signal: killed", []string{"-binary",
				script("killed", roleVariable+"=successor exec "+os.Args[0]+" dies")}},
			{"somebody else's", "can be written to by others", []string{"-binary", writable}},
			{"hangs while it is handed the sessions", "did not answer in time", []string{"-binary",
				script("stuck", roleVariable+"=successor exec "+os.Args[0]+" hangs")}},
		} {
			if n := len(f.status().Failovers); n > 0 {
				t.Errorf("before it %s: %d sessions have not gone on as if nothing had been", c.what, n)
			}
			done, err := f.upgrade(f.admin, c.args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %+v, %v; want %q", c.what, done, err, c.want)
			}
			further()
		}
		select {
		case <-f.user.gone:
			t.Error("the old process has ended")
		default:
		}
		f.untouched()                  // this process stood still for longer than these heartbeats allow: legs have been resumed
		f.upgraded(f.admin, "at last") // nothing of all that stands in its way
		further()
	})
	if status := f.user.wait(t, patience); status != 0 {
		t.Errorf("the old process has ended with status %d", status)
	}
}

// TestUpgradeIdle: a client that says nothing for the time of an upgrade, with its request half said, and one whose end is half closed.
func TestUpgradeIdle(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, admins: true, servers: []string{"line"}})
	half, closed := f.dial(), f.dial()
	for _, c := range []*net.TCPConn{half, closed} {
		if _, err := io.WriteString(c, "first\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "did first\n" || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	if _, err := io.WriteString(half, "sec"); err != nil {
		t.Fatal(err)
	}
	f.upgraded(f.admin, "pool user")
	f.upgraded(f.elements[0].admin, "pool element")
	if _, err := io.WriteString(half, "ond\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(half).ReadString('\n'); line != "did second\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	if err := closed.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(closed); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestUpgradeFirstProcess: where the sidecar is the first process of its container, that does not end when it is replaced, twice; a SIGTERM to it stops
// the one that serves, and its exit status is that one's.
func TestUpgradeFirstProcess(t *testing.T) {
	needs(t, true, "unshare")
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line"}})
	f.user.kill()
	f.user = startProcess(t, command{name: "container", args: []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", builtBinary(t), "run", "-config",
		writeConfig(t, "container", f.userConfig())}})
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	client := f.dial()
	in := bufio.NewReader(client)
	ask := func(what string) {
		t.Helper()
		if _, err := fmt.Fprintln(client, what); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); line != "did "+what+"\n" || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	ask("before")
	for i := range 2 {
		f.upgraded(f.admin, "the first process")
		ask(fmt.Sprint("behind ", i))
	}
	client.Close()
	f.sessionsEnd()
	first := f.first()
	waitFor(t, "the first process to have given up all sockets", func() bool { return sockets(t, first) == 0 })
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := f.user.wait(t, patience); status != 0 {
		t.Errorf("it has ended with status %d", status)
	}
	if n := strings.Count(f.user.output(t), "poolproxy: stopped"); n != 1 {
		t.Errorf("%d processes have stopped in order", n)
	}
}

// first is the number of the first process of the container.
func (f *fleet) first() (pid int) {
	f.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", f.user.cmd.Process.Pid))
	if err == nil {
		_, err = fmt.Sscan(string(text), &pid)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return pid
}

// sockets is how many a process has.
func sockets(t *testing.T, pid int) (n int) {
	t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(all) == 0 {
		t.Fatalf("the descriptors of process %d cannot be seen: %v", pid, err)
	}
	for _, at := range all {
		if to, err := os.Readlink(at); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

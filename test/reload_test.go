//go:build linux

package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/poolproxy/poolproxy/proxy"
)

// reloading is a fleet whose pool_user reads its configuration again and again.
type reloading struct {
	*fleet
	file, whole string // its configuration, with all elements
}

func launchReloading(t *testing.T, mapping string) *reloading {
	f := launch(t, plan{mapping: mapping, protocol: `  protocol "line" { safe = ["."] }`, servers: []string{"line", "line", "line"},
		failover: `    replay   = "unacked"
    deadline = "30s"`})
	r := &reloading{fleet: f, file: filepath.Join(logDir(t), "user.hcl")}
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.whole = string(text)
	return r
}

var elementLine = regexp.MustCompile(`(?m)^  element "(.)" .*\n`)

// keeping is the configuration with these elements.
func (r *reloading) keeping(names string) string {
	return elementLine.ReplaceAllStringFunc(r.whole, func(line string) string {
		if strings.Contains(names, elementLine.FindStringSubmatch(line)[1]) {
			return line
		}
		return ""
	})
}

func (r *reloading) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// reload writes the configuration, has it read, and waits until the pool has these elements.
func (r *reloading) reload(names string) {
	r.t.Helper()
	r.write(r.keeping(names))
	r.user.signal(r.t, syscall.SIGHUP)
	waitFor(r.t, "the pool to have the elements "+names, func() bool { return r.inPool() == names })
}

// inPool are the names of the pool's elements.
func (r *reloading) inPool() string {
	var names []string
	for _, e := range r.status().Pools[0].Elements {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

// caller is a session.
type caller struct {
	*net.TCPConn
	in *bufio.Reader
	n  int
}

func (r *reloading) call() *caller {
	c := &caller{TCPConn: r.dial()}
	c.in = bufio.NewReader(c)
	c.ask(r.t)
	return c
}

func (c *caller) ask(t *testing.T) {
	t.Helper()
	c.n++
	ask(t, c.TCPConn, c.in, c.n)
}

// at is the name of the element that serves the session.
func (r *reloading) at(c *caller) string {
	for _, s := range r.status().Sessions {
		if s.Client == c.LocalAddr().String() {
			return s.Element
		}
	}
	return ""
}

// TestReload edits the configuration of a running process: a new element takes new sessions, one that is gone gets none,
// and its sessions leave it for the new one while its server lives.
func TestReload(t *testing.T) {
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			r := launchReloading(t, mapping)
			r.reload("a")
			first, idle := r.call(), r.call()
			r.reload("ab")
			found := map[string]bool{}
			for range 2 {
				found[r.at(r.call())] = true
			}
			if !found["a"] || !found["b"] {
				t.Errorf("with a new element sessions go to %v", found)
			}
			r.reload("b")
			for range 3 {
				if at := r.at(r.call()); at != "b" {
					t.Errorf("a new session is at %q", at)
				}
			}
			first.ask(t)
			waitFor(t, "the sessions at the element that is gone to leave it", func() bool { return r.at(first) == "b" && r.at(idle) == "b" })
			r.elements[0].server.kill()
			for _, c := range []*caller{first, idle} {
				c.ask(t)
				if at := r.at(c); at != "b" {
					t.Errorf("behind the death of the element that is gone a session that it had is at %q", at)
				}
			}
			if rec := r.recorded("moved"); len(rec) < 2 || rec[0].From != "a" || rec[0].To != "b" || rec[0].Detector != "drain" {
				t.Errorf("%+v", rec)
			}
			if s := r.status().Reload; s == nil || s.Done == nil || s.Failed != nil || s.Error != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestReloadRefused gives a running process what it cannot use: it says what and where, and nothing changes.
func TestReloadRefused(t *testing.T) {
	r := launchReloading(t, "tcp")
	r.reload("ab")
	c := r.call()
	refused := func(text, log, why string) {
		t.Helper()
		r.write(text)
		r.user.signal(t, syscall.SIGHUP)
		var s *proxy.ReloadStatus
		waitFor(t, "a reload to fail: "+why, func() bool {
			s = r.status().Reload
			return s != nil && strings.Contains(s.Error, why)
		})
		if s.Done == nil || s.Failed == nil || s.Failed.Before(*s.Done) {
			t.Errorf("%+v", s)
		}
		r.user.said(t, log, 1)
		c.ask(t)
		if in := r.inPool(); in != "ab" {
			t.Errorf("the pool has %q", in)
		}
	}
	line := 1 + strings.Count(r.keeping("c")[:strings.Index(r.keeping("c"), "policy  =")], "\n")
	at := fmt.Sprintf("%s:%d:", r.file, line)
	refused(strings.Replace(r.keeping("c"), `"round_robin"`, `"at_will"`, 1), "at="+at, at)
	refused(r.keeping("c")+"}", "at="+r.file, r.file)
	refused("", "There is nothing to run", "nothing to run")
	restart := `log.format changed from text to json`
	refused(strings.Replace(r.keeping("c"), `log { level = "debug" }`, "log {\n  level  = \"debug\"\n  format = \"json\"\n}", 1), "needs a restart: "+restart, restart)
	r.reload("bc")
	if s := r.status().Reload; s.Error != "" || s.Failed == nil || s.Done.Before(*s.Failed) {
		t.Errorf("%+v", s)
	}
	c.ask(t)
}

// TestReloadStorm has a process read its configuration 50 times in a row while that is being written, half of it at a time, with
// sessions that go on and others that come. It stops when it is told to.
func TestReloadStorm(t *testing.T) {
	r := launchReloading(t, "tcp")
	r.reload("a")
	stays := r.call()
	stop, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		for i := 0; ; i++ {
			text := r.keeping([]string{"ab", "bc", "abc", "c"}[i%4])
			for _, part := range []string{text[:len(text)/2], text, text[:len(text)-3], text} {
				select {
				case <-stop:
					return
				default:
					if err := os.WriteFile(r.file, []byte(part), 0o644); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}()
	for i := range 50 {
		r.user.signal(t, syscall.SIGHUP)
		stays.ask(t)
		if i%5 == 0 {
			r.call().Close()
		}
	}
	close(stop)
	<-written
	r.reload("c")
	stays.ask(t)
	if at := r.at(stays); at != "a" {
		t.Errorf("the session was moved to %q", at)
	}
	last := r.call()
	if at := r.at(last); at != "c" {
		t.Errorf("a new session is at %q", at)
	}
	last.Close()
	if n := strings.Count(r.user.output(t), "the configuration was "); n < 3 {
		t.Errorf("the log tells of %d reloads", n)
	}
	stays.Close()
	waitFor(t, "the associations with who is gone to end", func() bool {
		for _, a := range r.status().Associations {
			if a.Remote == r.elements[0].listen || a.Remote == r.elements[1].listen {
				return false
			}
		}
		return true
	})
	for range 20 {
		r.user.signal(t, syscall.SIGHUP)
	}
	r.user.signal(t, syscall.SIGTERM)
	for range 20 {
		_ = r.user.cmd.Process.Signal(syscall.SIGHUP) // it may have ended
	}
	if status := r.user.wait(t, 2*patience); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

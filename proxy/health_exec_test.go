//go:build unix

package proxy

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
)

// checkedByProgram runs checks by a shell script on a real loop. What they find comes out of the channel; end closes the shard.
func checkedByProgram(t *testing.T, script string, timeout time.Duration) (told chan error, end func()) {
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	told = make(chan error, 1000)
	var h *health
	var running sync.WaitGroup
	running.Go(l.Run)
	l.Post(func() {
		s, _ := NewVirtualShard(l, Config{}, hclog.NewNullLogger(), nil, nil)
		h = newHealth(s, "a", HealthCheck{Kind: HealthExec, Exec: []string{"/bin/sh", "-c", script}, Interval: 100 * time.Millisecond, Timeout: timeout,
			Rise: 1, Fall: 1}, func(err error) { told <- err })
	})
	end = sync.OnceFunc(func() {
		closed := make(chan bool)
		l.Post(func() { h.close(); close(closed) })
		<-closed
		l.Stop()
		running.Wait()
	})
	t.Cleanup(end)
	return told, end
}

// hear waits for what a check says.
func hear(t *testing.T, told chan error) error {
	t.Helper()
	select {
	case err := <-told:
		return err
	case <-time.After(limitPatience):
		t.Fatal("the check says nothing")
		return nil
	}
}

// A check's program gets nothing of our environment, as other programs: there may be secrets in it, and what the program writes stands
// in the reason of its failure.
func TestHealthProgramEnvironment(t *testing.T) {
	t.Setenv("POOLPROXY_TEST_SECRET", "hunter2")
	told, _ := checkedByProgram(t, "env; exit 1", limitPatience)
	if err := hear(t, told); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "LC_ALL=C") {
		t.Error(err)
	}
}

func TestHealthByProgram(t *testing.T) {
	sick := filepath.Join(t.TempDir(), "sick")
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told, _ := checkedByProgram(t, `if test -e `+sick+`; then echo "the disk is full" >&2; yes | head -c 1000000; exit 3; fi`, limitPatience)
	err := hear(t, told)
	if err == nil || !strings.Contains(err.Error(), `exec /bin/sh: exit status 3: "the disk is full\ny`) || len(err.Error()) > 2*shownOutput+100 {
		t.Errorf("%v", err)
	}
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	for hear(t, told) != nil { // a check that had begun may find it still
	}
}

// A program that takes too long is killed with what it has started, and so is one that runs when checking ends.
func TestHealthProgramIsKilled(t *testing.T) {
	for name, limit := range map[string]time.Duration{"at the limit": 300 * time.Millisecond, "at the end": limitPatience} {
		t.Run(name, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			told, end := checkedByProgram(t, `sleep 1000 & echo $! >>`+pids+`; wait`, limit)
			if limit < time.Second {
				if err := hear(t, told); err == nil || !strings.Contains(err.Error(), "it has not ended within 300ms") {
					t.Errorf("%v", err)
				}
			}
			eventually(t, "the program to run", func() bool { return len(numbers(pids)) > 0 }) // the first one may have been killed before it came to that
			end()
			left := numbers(pids)
			if len(left) == 0 {
				t.Fatal("the program has not run")
			}
			for _, pid := range left { // init reaps it, in its own time
				eventually(t, "the program's child to be gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
			}
		})
	}
}

// numbers reads the whole lines of a file.
func numbers(path string) (found []int) {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && strings.HasSuffix(line, "\n") {
			found = append(found, n)
		}
	}
	return found
}

// zombie reports whether a dead process only waits for its parent to notice.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

// A program that cannot be run is a failure that says so.
func TestHealthProgramIsMissing(t *testing.T) {
	if err := execute(t.Context(), []string{"/nonexistent/check"}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
}

// A child that keeps the program's output open does not keep the check from its result.
func TestHealthProgramLeavesAChild(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	if err := execute(t.Context(), []string{"/bin/sh", "-c", "sleep 1000 & echo $! >" + pids}); err != nil {
		t.Errorf("%v", err)
	}
	for _, pid := range numbers(pids) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

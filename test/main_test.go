//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// roleVariable makes this binary, started again, play a part instead of running tests.
const roleVariable = "POOLPROXY_TEST_ROLE"

// shardsVariable has every sidecar run as many shards as it says, and spread its sessions over them.
const shardsVariable = "POOLPROXY_TEST_SHARDS"

// checking reports whether everything has to run, and a missing program is a failure.
func checking() bool { return os.Getenv("POOLPROXY_CHECK") == "1" }

// workdir is removed when all tests have run.
var workdir string

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	// The kernel kills the processes that a test starts together with the thread that started them (see startProcess): all
	// of them are started from one thread, this one, which lives as long as the tests.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "poolproxy-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	workdir = dir
	status := make(chan int)
	go func() { status <- m.Run() }()
	for {
		select {
		case start := <-starts:
			start()
		case code := <-status:
			os.RemoveAll(dir)
			os.Exit(code)
		}
	}
}

// starts carries work to the thread of TestMain.
var starts = make(chan func())

// onMainThread runs f on the thread that lives as long as the tests.
func onMainThread(f func()) {
	done := make(chan struct{})
	starts <- func() {
		defer close(done)
		f()
	}
	<-done
}

// builtBinary builds poolproxy once, with the race detector if the tests have it, and returns its path.
func builtBinary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workdir, "poolproxy")
	args := []string{"build", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/poolproxy")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building poolproxy: %w\n%s", err, out)
	}
	return path, nil
})

// needs skips the test, or fails it in make check, unless it may run and the programs and rights that it needs are there.
func needs(t *testing.T, root bool, programs ...string) {
	t.Helper()
	if !checking() {
		t.Skipf("%s is one of the long tests: make check runs it (or POOLPROXY_CHECK=1)", t.Name())
	}
	var missing []string
	if root && os.Geteuid() != 0 {
		missing = append(missing, "root (network namespaces)")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		t.Fatalf("%s needs %s; make check installs programs", t.Name(), strings.Join(missing, ", "))
	}
}

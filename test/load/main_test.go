//go:build linux

package load

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

const (
	roleVariable  = "POOLPROXY_LOAD_ROLE"  // makes this binary, started again, play a part instead of running tests
	apartVariable = "POOLPROXY_LOAD_APART" // it runs in a network namespace of its own already
)

// checking reports whether everything has to run.
func checking() bool { return os.Getenv("POOLPROXY_CHECK") == "1" }

// workdir is removed when all tests have run.
var workdir string

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(roleVariable) != "":
		os.Exit(play(os.Getenv(roleVariable), os.Args[1:]))
	case os.Getenv(apartVariable) == "" && os.Geteuid() == 0 && checking():
		os.Exit(runApart())
	}
	// The kernel kills the processes that a test starts together with the thread that started them: it is this one for all of them.
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "poolproxy-load-")
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
			if err := save(); err != nil {
				fmt.Fprintln(os.Stderr, "writing results.json:", err)
				code = 1
			}
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

// runApart runs the tests in a network namespace of their own, with all its ports.
func runApart() int {
	const setUp = `ip link set lo up && echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range && exec "$0" "$@"`
	cmd := exec.Command("sh", append([]string{"-c", setUp, os.Args[0]}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), apartVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "the tests of load, in a network namespace of their own:", err)
		return 1
	}
	return 0
}

// needs skips the test unless everything has to run; then it fails without what it needs.
func needs(t *testing.T) {
	t.Helper()
	if !checking() {
		t.Skipf("%s is one of the long tests: make check runs it (or POOLPROXY_CHECK=1)", t.Name())
	}
	if os.Getenv(apartVariable) == "" {
		t.Fatalf("%s needs root (a network namespace of its own)", t.Name())
	}
}

// builtBinary builds poolproxy once and returns its path. It is never built with the race detector: it is figures that are wanted.
func builtBinary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("POOLPROXY_LOAD_BINARY"); path != "" { // another one, to compare
		return path, nil
	}
	path := filepath.Join(workdir, "poolproxy")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/poolproxy").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building poolproxy: %w\n%s", err, out)
	}
	return path, nil
})

//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// checking reports whether everything has to run, and a missing program is a failure.
func checking() bool { return os.Getenv("POOLPROXY_CHECK") == "1" }

// roleVariable makes this binary, started again, play a part instead of running tests.
const roleVariable = "POOLPROXY_CHAOS_ROLE"

// cellVariable names the one cell that is to be played: failure/state/protocol/mapping, any of them a part of its name, or empty.
const cellVariable = "POOLPROXY_CELL"

// workdir has what is built, and what the processes of all worlds write. It is removed when all tests have passed.
var workdir string

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	dir, err := os.MkdirTemp("", "poolproxy-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	workdir = dir
	sweep()
	status := m.Run()
	if status == 0 {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// binaries are built once: poolproxy, and the server of the tests, which starts faster than the whole program would.
var binaries = sync.OnceValues(func() (struct{ proxy, server string }, error) {
	b := struct{ proxy, server string }{filepath.Join(workdir, "poolproxy"), filepath.Join(workdir, "server")}
	for path, source := range map[string]string{b.proxy: "../../cmd/poolproxy", b.server: "./server"} {
		if out, err := exec.Command("go", "build", "-o", path, source).CombinedOutput(); err != nil {
			return b, fmt.Errorf("building %s: %w\n%s", source, err, out)
		}
	}
	return b, nil
})

// needs skips the test, or fails it in make check, unless the programs and rights that it needs are there.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if !checking() && os.Getenv(cellVariable) == "" {
		t.Skipf("%s is one of the long tests: make check runs it (or POOLPROXY_CHECK=1)", t.Name())
	}
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root (network namespaces)")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, "/dev/net/tun")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	switch text := strings.Join(missing, ", "); {
	case text == "":
	case checking():
		t.Fatalf("%s needs %s; make check installs programs", t.Name(), text)
	default:
		t.Skipf("%s SKIPPED: it needs %s. No plug was pulled", t.Name(), text)
	}
}

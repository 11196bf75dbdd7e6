//go:build linux

package packages

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// essential are the packages of a Debian that can boot and install others: what is essential to Debian, and systemd. perl-base is, so clients
// and servers can be in perl.
var essential = []string{"base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep", "gzip",
	"init-system-helpers", "libc-bin", "login", "mawk", "passwd", "perl-base", "procps", "sed", "sysvinit-utils", "tar", "util-linux", "systemd-sysv"}

// needs fails the test, or skips it outside of make check, where it cannot run.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("POOLPROXY_CHECK") != "1" {
		t.Skipf("%s is one of the long tests, in a container with a Debian of its own: make check runs it (or POOLPROXY_CHECK=1)", t.Name())
	}
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root (namespaces)")
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

// debian returns a tar with the root of a Debian of this machine's release. It is made once, and kept in the cache folder.
func debian(t *testing.T) string {
	t.Helper()
	release := releaseHere(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no home, as in some containers
	}
	root := filepath.Join(cache, "poolproxy", "package", release+"-1.tar")
	if _, err := os.Stat(root); err == nil {
		return root
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	making, err := os.MkdirTemp(filepath.Dir(root), "making-") // two may do so at once
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(making)
	run(t, "mmdebstrap", "--variant=custom", "--format=tar", "--dpkgopt=force-unsafe-io", "--include="+strings.Join(essential, ","),
		`--customize-hook=rm -rf "$1"/usr/share/locale "$1"/usr/share/zoneinfo`, release, filepath.Join(making, "root.tar"))
	if err := os.Rename(filepath.Join(making, "root.tar"), root); err != nil {
		t.Fatal(err)
	}
	t.Logf("a Debian %s was made in %v: %s", release, time.Since(begin).Round(time.Second), root)
	return root
}

// releaseHere is the name of this machine's Debian. On other systems the test is skipped.
func releaseHere(t *testing.T) string {
	t.Helper()
	f, err := os.Open("/etc/os-release")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	defer f.Close()
	found := map[string]string{}
	for lines := bufio.NewScanner(f); err == nil && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		found[name] = strings.Trim(value, `"`)
	}
	if found["ID"] != "debian" {
		t.Skipf("%s needs Debian, whose packages are tested: this is %q", t.Name(), found["ID"])
	}
	return found["VERSION_CODENAME"]
}

// run runs a program and returns what it prints; the test fails with that if it fails.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// bootTime bounds a container's life. It is long, because machines can be busy: on a quiet one it takes 10 s.
const bootTime = 8 * time.Minute

// boot boots a Debian in a container, which has lab at /lab, runs its scenario.sh, and returns the folder with what that has left.
func boot(t *testing.T, debian, lab string) (out string) {
	t.Helper()
	out, root := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--net", "--cgroup",
		"sh", "container.sh", debian, lab, out, root)
	// It dies with the tests, however they end. That is tied to this thread, which therefore waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the container: %v\n%s", err, text)
	}
	return out
}

// left is a file that the scenario has left, or "".
func left(t *testing.T, out, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

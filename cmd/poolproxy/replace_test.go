package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/internal/porttest"
)

func TestWithoutConfig(t *testing.T) {
	for _, c := range [][2]string{
		{"run -config a.hcl", "run"},
		{"run --config=a.hcl -x -config b", "run -x"},
		{"run -configure a -config", "run -configure a"},
		{"run config -config=a config", "run config config"},
	} {
		if got := withoutConfig(strings.Fields(c[0])); !slices.Equal(got, strings.Fields(c[1])) {
			t.Errorf("%s: %q, want %q", c[0], got, c[1])
		}
	}
}

// The new process is started as the old one was, but for what is asked.
func TestReplacementsCommand(t *testing.T) {
	r := newReplacer(nil)
	r.args = []string{"run", "-config", "old.hcl"}
	c, err := r.command(admin.Upgrade{})
	if self, _ := os.Executable(); err != nil || c.Path != self || strings.Join(c.Args[1:], " ") != "run -config old.hcl" {
		t.Errorf("%+v, %v", c, err)
	}
	a, b := ownFile(t, "a.hcl"), ownFile(t, "b.hcl")
	c, err = r.command(admin.Upgrade{Config: []string{a, b}})
	if err != nil || strings.Join(c.Args[1:], " ") != "run -config "+a+" -config "+b {
		t.Errorf("%+v, %v", c, err)
	}
	r.program = ""
	if _, err := r.command(admin.Upgrade{}); err == nil || !strings.Contains(err.Error(), "-binary") {
		t.Errorf("%v", err)
	}
}

// Programs that others than the proxy's user could have written are not started.
func TestTrustworthy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is replaced there")
	}
	path := filepath.Join(t.TempDir(), "program")
	for _, c := range []struct {
		mode os.FileMode
		want string // "": it is started
	}{{0o755, ""}, {0o700, ""}, {0o644, "can be executed"}, {0o775, "by others"}, {0o757, "by others"}} {
		if err := os.WriteFile(path, nil, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
		if err := trustworthy(path); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.mode, err)
		}
	}
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nowhere")} {
		if trustworthy(path) == nil {
			t.Errorf("%s is a program", path)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 4711, 4711); err != nil {
			t.Fatal(err)
		}
		if err := trustworthy(path); err == nil || !strings.Contains(err.Error(), "belongs to user 4711") {
			t.Errorf("%v", err)
		}
	}
}

// ownFile is a file of this user.
func ownFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A configuration names programs, too: whoever may ask for an upgrade is not to bring one of his own, nor to exchange one behind the look at it.
func TestTrustworthyConfiguration(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of others")
	}
	change := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	his, mine := ownFile(t, "a.hcl"), ownFile(t, "a.hcl")
	change(os.Chown(his, 4711, 4711))
	open := t.TempDir() // everybody's, without the sticky bit
	change(os.WriteFile(filepath.Join(open, "a.hcl"), nil, 0o600))
	change(os.Chmod(open, 0o777))
	sticky := t.TempDir() // as /tmp
	change(os.Chmod(sticky, 0o777|os.ModeSticky))
	change(os.Symlink(mine, filepath.Join(sticky, "his")))
	change(os.Lchown(filepath.Join(sticky, "his"), 4711, 4711))
	change(os.Symlink(filepath.Dir(mine), filepath.Join(sticky, "mine")))
	r := newReplacer(nil)
	for _, c := range []struct{ path, want string }{
		{mine, ""},
		{filepath.Dir(mine), ""},
		{filepath.Join(sticky, "mine", "a.hcl"), ""},
		{his, "belongs to user 4711"},
		{filepath.Dir(his), "belongs to user 4711"},
		{filepath.Join(open, "a.hcl"), "by others"},
		{open, "by others"},
		{sticky, "by others"},
		{filepath.Join(sticky, "his"), "belongs to user 4711"},
		{filepath.Join(sticky, "nowhere"), "no such file"},
	} {
		if _, err := r.command(admin.Upgrade{Config: []string{c.path}}); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	program := filepath.Join(sticky, "program") // a link that he can turn elsewhere
	change(os.Symlink("/bin/true", program))
	change(os.Lchown(program, 4711, 4711))
	if _, err := r.command(admin.Upgrade{Binary: program}); err == nil || !strings.Contains(err.Error(), "belongs to user 4711") {
		t.Errorf("%v", err)
	}
}

// A process that stops has no upgrade begin.
func TestNoUpgradeOfAStoppingProcess(t *testing.T) {
	r := newReplacer(nil)
	for range 2 { // twice is harmless
		if r.abort() {
			t.Error("it has been replaced")
		}
	}
	if _, err := r.upgrade(t.Context(), admin.Upgrade{}); err == nil {
		t.Error("it is replaced")
	}
	var none *replacer
	if none.abort() || none.succeeds() || none.gone() != nil {
		t.Error("where there is none something is replaced")
	}
}

func TestUpgradeUsage(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-timeout", "0s"}, {"-timeout", "1h"}, {"-timeout", "x"}, {"-nonsense"}} {
		if status := upgradeCommand(args, io.Discard, io.Discard); status != exitUsage {
			t.Errorf("%q: status %d", args, status)
		}
	}
	if status := upgradeCommand([]string{"-admin", porttest.Free(t).String()}, io.Discard, io.Discard); status != exitFailed {
		t.Errorf("nobody listens: status %d", status)
	}
}

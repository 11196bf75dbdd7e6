//go:build linux

package sctplab

import (
	"archive/tar"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed init
var initScript []byte

//go:embed scenarios/*.sh
var scenarios embed.FS

// always are the programs of this machine that every lab has. busybox's own ip and tc know neither veth nor netem.
var always = []string{"busybox", "ip", "tc"}

// Rsplib names the programs of RSerPool's reference implementation, and what running them needs.
var Rsplib = []string{"rspregistrar", "rspserver", "rspterminal", "pingpongclient", "hsdump", "stdbuf", "tcpdump"}

// Scenario is what one machine is booted for.
type Scenario struct {
	Name     string            // of its folder among the test's artifacts
	Script   string            // for busybox's sh, in /out, as root, after scenarios/common.sh; its exit status is the verdict
	Programs []string          // names or paths of programs here; they go to /bin, their libraries where they look for them
	Files    map[string]string // path there, without the first slash: path of a file or folder here
	Limit    time.Duration     // for the script; 0 means six minutes: a machine that others load is slow
	Memory   int               // MB; 0 means 1024
}

// Result is what came back from a machine.
type Result struct {
	Status int           // of the script; 143 when its limit ended it
	Dir    string        // holds what the script left in /out, and console.log
	Took   time.Duration // with boot and power-off
}

// Named returns a scenario of the folder scenarios.
func Named(name string) Scenario {
	script, err := scenarios.ReadFile("scenarios/" + name + ".sh")
	if err != nil {
		panic(err) // the name is a constant of a test
	}
	return Scenario{Name: name, Script: string(script)}
}

// defaultLimit is far beyond what any scenario takes: it ends one that hangs, and none on a slow machine.
const defaultLimit = 6 * time.Minute

// Run boots a machine for the scenario. It fails the test if the scenario leaves no exit status, and only then: the caller
// judges the status.
func (l *Lab) Run(t testing.TB, s Scenario) Result {
	t.Helper()
	if s.Limit == 0 {
		s.Limit = defaultLimit
	}
	if s.Memory == 0 {
		s.Memory = 1024
	}
	begin := time.Now()
	r := Result{Dir: outputDir(t, s.Name)}
	scratch := t.TempDir()
	initrd, archive := filepath.Join(scratch, "initrd"), filepath.Join(scratch, "out.tar")
	if err := l.writeImage(t, s, initrd); err != nil {
		t.Fatal(err)
	}
	console := filepath.Join(r.Dir, "console.log")
	err := l.boot(t, s, initrd, console, archive)
	if err == nil {
		err = unpack(archive, r.Dir)
	}
	if err == nil {
		r.Status, err = strconv.Atoi(strings.TrimSpace(r.File(t, "exit-status")))
	}
	if err != nil {
		t.Fatalf("the scenario %s left no verdict: %v\nconsole:\n%s", s.Name, err, r.console(t))
	}
	r.Took = time.Since(begin)
	return r
}

// Check fails the test, with the console, unless the scenario passed.
func (r Result) Check(t testing.TB) {
	t.Helper()
	console := r.console(t)
	if r.Status != 0 {
		t.Fatalf("exit status %d after %v; files in %s; console:\n%s", r.Status, r.Took.Round(time.Millisecond), r.Dir, console)
	}
	t.Logf("passed in %v\n%s", r.Took.Round(time.Millisecond), console)
}

// console returns the end of what the machine printed: enough to see why, not what a loop printed all the time.
func (r Result) console(t testing.TB) string {
	t.Helper()
	lines := strings.SplitAfter(r.File(t, "console.log"), "\n")
	return strings.Join(lines[max(0, len(lines)-100):], "")
}

// File returns a file that came back, and "" if it did not.
func (r Result) File(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.Dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(content), "\r\n", "\n") // a console ends its lines so
}

// outputDir is a fresh folder for what comes back: below $POOLPROXY_LAB_OUT if that is set, to look at, else removed with the test.
func outputDir(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	if keep := os.Getenv("POOLPROXY_LAB_OUT"); keep != "" {
		dir = filepath.Join(keep, name)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeImage makes the machine's file system.
func (l *Lab) writeImage(t testing.TB, s Scenario, path string) error {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() // what could fail has been written by then
	to := newImage(f)
	if err := l.addSystem(t, to); err != nil {
		return err
	}
	for _, program := range s.Programs {
		if err := to.program("bin", locate(t, program)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		if err := to.copy(name, s.Files[name]); err != nil {
			return err
		}
	}
	common, err := scenarios.ReadFile("scenarios/common.sh")
	if err != nil {
		return err
	}
	if err := to.add("scenario.sh", 0o644, append(common, s.Script...)); err != nil {
		return err
	}
	return to.finish()
}

// addSystem writes what every machine has.
func (l *Lab) addSystem(t testing.TB, to *image) error {
	t.Helper()
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run", "out", "root", "sbin", "usr/bin"} {
		if err := to.folder(dir); err != nil {
			return err
		}
	}
	for _, program := range always {
		if err := to.program("bin", locate(t, program)); err != nil {
			return err
		}
	}
	if err := to.applets(locate(t, "busybox")); err != nil {
		return err
	}
	const stdbuf = "usr/libexec/coreutils/libstdbuf.so" // stdbuf preloads it
	if _, err := os.Stat("/" + stdbuf); err == nil {
		if err := to.copy(stdbuf, "/"+stdbuf); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\n",
		"etc/group":         "root:x:0:\n",
		"etc/hosts":         "127.0.0.1 localhost\n",
		"etc/nsswitch.conf": "hosts: files\n",
	} {
		if err := to.add(name, 0o644, []byte(content)); err != nil {
			return err
		}
	}
	if err := to.add("init", 0o755, initScript); err != nil {
		return err
	}
	return l.kernel.addModules(to, modules)
}

// unpack reads what the machine sent. Names and sizes are the machine's: nothing may leave the folder, or fill the disk.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	const limit = 256 << 20
	for r := tar.NewReader(io.LimitReader(f, limit)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the lab's output (at most %d bytes): %w", limit, err)
		}
		if err := unpackEntry(root, header, r); err != nil {
			return fmt.Errorf("the lab's output: %w", err)
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := filepath.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		f, err := root.Create(name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, content); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	}
	return nil // sockets and the like mean nothing here
}

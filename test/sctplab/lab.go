//go:build linux

package sctplab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Lab can boot machines.
type Lab struct {
	kernel kernel
}

// Open returns the lab, whose kernel is downloaded at first use. It skips the test, and says why, unless POOLPROXY_CHECK=1 is set;
// then what could have been installed (make tools does) fails it. A system that cannot have the lab skips it even then.
func Open(t testing.TB) *Lab {
	t.Helper()
	if !checking() {
		t.Skipf("%s is one of the long tests, in an emulated machine: make check runs it (or POOLPROXY_CHECK=1)", t.Name())
	}
	if runtime.GOARCH != "amd64" {
		t.Skipf("%s needs the lab, which emulates amd64 with programs of this machine; this is %s", t.Name(), runtime.GOARCH)
	}
	for _, program := range append([]string{"qemu-system-x86_64", "dpkg-deb"}, always...) {
		locate(t, program)
	}
	k, err := findKernelOnce()
	if errors.Is(err, errNoKernel) {
		t.Skipf("%s: %v", t.Name(), err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Lab{kernel: k}
}

// Kernel is the version of the lab's kernel, as of uname -r.
func (l *Lab) Kernel() string { return l.kernel.version }

// checking reports whether everything has to run, and a missing program is a failure.
func checking() bool { return os.Getenv("POOLPROXY_CHECK") == "1" }

var findKernelOnce = sync.OnceValues(findKernel)

// locate finds a program by its name or path, also where administrators' programs are. Without it the test fails.
func locate(t testing.TB, program string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	t.Fatalf("%s needs %s; make check installs programs", t.Name(), program)
	return ""
}

// bootTime bounds what a machine takes beside its scenario: 3 s, where others do not load the one that emulates it.
const bootTime = 2 * time.Minute

// A machine whose kernel says nothing for so long (it takes 2 s) has stopped before it began. That is the emulator's, or its host's, and
// seldom: it is started again, mostBoots times in all.
const (
	silence   = 90 * time.Second
	mostBoots = 3
)

var errSilent = errors.New("the machine has said nothing since its start")

// boot starts qemu and returns when the machine is off. An error does not mean that the scenario failed, but that there is no verdict.
func (l *Lab) boot(t testing.TB, s Scenario, initrd, console, result string) error {
	t.Helper()
	for boots := 1; ; boots++ {
		err := l.emulate(t, s, initrd, console, result)
		if !errors.Is(err, errSilent) || boots == mostBoots {
			return err
		}
		t.Logf("%v, %v ago: it is started again", err, silence)
	}
}

// emulate starts qemu once. It always emulates: that works everywhere, and where tests run /dev/kvm is often there and broken.
func (l *Lab) emulate(t testing.TB, s Scenario, initrd, console, result string) error {
	t.Helper()
	// The machine itself ends the scenario, this a hung machine. The kernel's check whether its timer works (no_timer_check) fails
	// where this machine is so busy that the emulated one is late; then it panics.
	limit := s.Limit + bootTime
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ctx, hung := context.WithCancelCause(ctx)
	defer hung(nil)
	defer time.AfterFunc(silence, func() {
		if said, err := os.Stat(console); err != nil || said.Size() == 0 {
			hung(errSilent)
		}
	}).Stop()
	cmd := exec.CommandContext(ctx, locate(t, "qemu-system-x86_64"), "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
		"-m", fmt.Sprint(s.Memory), "-nodefaults", "-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot",
		"-kernel", l.kernel.image(), "-initrd", initrd, "-serial", "file:"+console, "-serial", "file:"+result,
		"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 no_timer_check sctplab.limit=%d", int(s.Limit.Seconds())))
	// The machine dies with the tests, however they end. That is tied to this thread, which therefore waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the machine was still running %v after the start: %w", limit, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("qemu: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

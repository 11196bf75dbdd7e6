//go:build linux

package chaos

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// victim is this binary in a role in which it answers lines.
type victim struct {
	*process
	in  io.Writer
	out *bufio.Reader
}

// startVictim starts one, which ends with the test.
func startVictim(t *testing.T, role string) *victim {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &victim{process: &process{name: role, cmd: cmd, gone: make(chan struct{})}, in: in, out: bufio.NewReader(out)}
	v.current.Store(int64(cmd.Process.Pid))
	t.Cleanup(func() {
		_ = in.Close()
		v.reap()
	})
	if said, err := v.out.ReadString('\n'); err != nil || said != "ready\n" {
		t.Fatalf("%s said %q: %v", role, said, err)
	}
	return v
}

// ask says a line, and returns the answer.
func (v *victim) ask(t *testing.T) string {
	t.Helper()
	if _, err := fmt.Fprintln(v.in); err != nil {
		t.Fatal(err)
	}
	said, err := v.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(said)
}

// A process whose descriptors are taken cannot open one more, also where their numbers have holes; afterwards it can.
func TestDescriptorsAreTaken(t *testing.T) {
	v := startVictim(t, "holes")
	if said := v.ask(t); said != "opened "+os.DevNull {
		t.Fatalf("before: %s", said)
	}
	undo, none, err := v.takeDescriptors()
	if err != nil || !none {
		t.Fatalf("none %v: %v", none, err)
	}
	if said := v.ask(t); !strings.Contains(said, "too many open files") {
		t.Errorf("it has no descriptor left: %s", said)
	}
	undo()
	if said := v.ask(t); said != "opened "+os.DevNull {
		t.Errorf("behind it: %s", said)
	}
}

// A process whose clock jumps sees it, and sees it come back; nobody else does.
func TestClockIsSeenToJump(t *testing.T) {
	v := startVictim(t, "clock")
	for _, by := range []time.Duration{1000 * time.Hour, -1000 * time.Hour, 0} {
		if err := v.jumpClock(by); err != nil {
			t.Fatal(err)
		}
		said, err := strconv.ParseInt(v.ask(t), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(time.Unix(said, 0)) - by; off.Abs() > time.Hour {
			t.Errorf("set off by %v it is %v besides that", by, off)
		}
	}
}

//go:build linux

package dashboard_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pty is a terminal, seen from its keyboard's and screen's side.
type pty struct {
	t      *testing.T
	master *os.File
	mu     sync.Mutex
	screen strings.Builder // guarded by mu: all that was ever written
	from   int             // guarded by mu: what was written before is not looked at
}

// newPTY makes a terminal; the file is the program's side.
func newPTY(t *testing.T, width, height int) (*pty, *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there are no terminals here: ", err)
	}
	p := &pty{t: t, master: master}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.size(width, height)
	read := make(chan struct{})
	go p.read(read)
	t.Cleanup(func() {
		slave.Close() // with the last of these the reading ends
		<-read
		master.Close()
	})
	return p, slave
}

func (p *pty) size(width, height int) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		p.t.Fatal(err)
	}
}

// read takes what is written until nobody has the terminal any more.
func (p *pty) read(done chan<- struct{}) {
	defer close(done)
	for b := make([]byte, 64<<10); ; {
		n, err := p.master.Read(b)
		p.mu.Lock()
		p.screen.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// last is the last whole screen that was drawn since press.
func (p *pty) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	frames := strings.Split(p.screen.String()[p.from:], "\x1b[?2026h")
	for i := len(frames) - 1; i > 0; i-- {
		if f, _, whole := strings.Cut(frames[i], "\x1b[?2026l"); whole {
			return f
		}
	}
	return ""
}

func (p *pty) shows(texts ...string) {
	p.t.Helper()
	waitFor(p.t, fmt.Sprintf("%q on the screen", texts), func() bool {
		last := p.last()
		for _, x := range texts {
			if !strings.Contains(last, x) {
				return false
			}
		}
		return true
	})
}

func (p *pty) press(keys string) {
	p.t.Helper()
	p.mu.Lock()
	p.from = p.screen.Len()
	p.mu.Unlock()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// poolproxy status -watch on a terminal: views, keys, another size, a sidecar that is gone and comes again; and the terminal is
// left as it was.
func TestWatch(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server")
	}
	f := newFleet(t)
	p, slave := newPTY(t, 140, 40)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(f.binary, "status", "-watch", "-admin", f.admin)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	t.Cleanup(func() { cmd.Process.Kill() })
	p.shows("● live", "Elements alive ", "3 / 3", "20")
	p.press("3")
	p.shows("CLIENT", "protected", "cache")
	f.carry("kill a")
	p.press("4")
	p.shows("moved", "a → b")
	p.size(100, 24)
	waitFor(t, "a screen of that size", func() bool { return strings.Count(p.last(), "\r\n") == 23 })
	p.press("1")
	p.shows("2 / 3")
	f.sidecar.kill()
	p.shows("no answer for", "shown is what was", "2 / 3")
	f.begin()
	p.shows("it was started anew")
	p.press("q")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	waitFor(t, "the terminal's own screen is back", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.HasSuffix(p.screen.String(), "\x1b[?25h\x1b[?1049l")
	})
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as it was: %v", err)
	}
}

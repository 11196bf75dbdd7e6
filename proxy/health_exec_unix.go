//go:build unix

package proxy

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the program a process group of its own, which is killed as a whole.
func ownGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) { // it has ended by itself just now: that is not a failure
			err = os.ErrProcessDone
		}
		return err
	}
}

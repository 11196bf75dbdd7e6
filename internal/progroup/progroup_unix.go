//go:build unix

// Package progroup has programs run in process groups of their own.
package progroup

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// Own gives a command a process group of its own, so that what is typed at the terminal is not for it, and has all of it killed when its
// context is over. It is called before the command is started.
func Own(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) { // it has ended by itself just now: that is not a failure
			err = os.ErrProcessDone
		}
		return err
	}
}

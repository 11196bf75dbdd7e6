package main

import (
	"os/exec"
	"syscall"
)

// tie makes sure that the process does not outlive the demo, even if the demo itself is killed -9: the kernel kills it when the
// thread that started it ends. Its own process group keeps the terminal's Ctrl-C from it: the demo ends its children in its own
// order.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

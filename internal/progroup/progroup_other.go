//go:build !unix

package progroup

import "os/exec"

// Own does nothing where there are no process groups: the program alone is killed.
func Own(*exec.Cmd) {}

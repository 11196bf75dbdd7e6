//go:build unix

package main

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// groupOf finds the process group of a process that says its number.
type groupOf struct{ group int }

func (g *groupOf) Write(p []byte) (int, error) {
	pid, err := strconv.Atoi(strings.TrimSpace(string(p)))
	if err != nil {
		return 0, err
	}
	g.group, err = syscall.Getpgid(pid)
	return len(p), err
}

// Ctrl-C goes to the whole process group of the terminal: what the client runs is in another one, or each run that is interrupted would be lost.
func TestChaosClientRunsAreNotInterrupted(t *testing.T) {
	c := &chaosClient{command: []string{"/bin/sh", "-c", "echo $$; exec sleep 60"}, timeout: 2 * time.Second}
	var g groupOf
	c.once(context.Background(), 1, &g) // it is killed, as it hangs
	if g.group == 0 || g.group == syscall.Getpgrp() {
		t.Errorf("it is in group %d", g.group)
	}
}

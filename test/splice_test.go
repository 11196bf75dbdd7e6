//go:build linux

package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKilledWhileSplicing kills either sidecar in the middle of bulk that moves as pages: the client has only right bytes, and, where its own
// sidecar lives, a reset behind them; then the next session is served.
func TestKilledWhileSplicing(t *testing.T) {
	const size, part = 4 << 30, 64 << 20
	for _, side := range []string{"element", "user"} {
		t.Run(side, func(t *testing.T) {
			server := fmt.Sprintf("deliver -size %d -rate %d", int64(size), int64(1)<<40)
			f := launch(t, plan{mapping: "tcp", protocol: `  protocol "stream" {}`, servers: []string{server, server}})
			d := startDelivery(t, f)
			victim := f.elements[f.serving()].sidecar
			waitFor(t, "bulk as pages at both sidecars", func() bool {
				s := f.status().Sessions
				return len(s) == 1 && s[0].ToClient >= part && pipesOf(t, victim) > 8 && pipesOf(t, f.user) > 0
			})
			if side == "user" {
				victim = f.user
			}
			victim.kill()
			// A killed process's own connections end as the system ends them: with FIN, where it had read all.
			if err := <-d.result; !errors.Is(err, syscall.ECONNRESET) && (side == "element" || err != nil) {
				t.Errorf("after %d bytes the client saw %v, not a reset", d.got, err)
			}
			if d.got < part/2 { // what the client had not read yet is lost with the reset
				t.Errorf("%d bytes came, of the %d that its sidecar had passed on", d.got, part)
			}
			if side == "user" {
				return
			}
			next := startDelivery(t, f)
			waitFor(t, "the next session's bytes", func() bool {
				for _, s := range f.status().Sessions {
					if s.ToClient > part/8 {
						return true
					}
				}
				return false
			})
			next.client.Close()
			<-next.result
		})
	}
}

// pipesOf counts the descriptors of a process that are pipes.
func pipesOf(t *testing.T, p *process) (n int) {
	t.Helper()
	list, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range list {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

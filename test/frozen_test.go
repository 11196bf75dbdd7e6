//go:build linux

package test

import (
	"bufio"
	"testing"
	"time"
)

// TestFrozenServer freezes the server that serves (SIGSTOP): its connections live and its port listens, only its silence tells.
// The client goes on at the other server, and what the frozen one says when it wakes reaches nobody.
func TestFrozenServer(t *testing.T) {
	const timeout = 300 * time.Millisecond
	for _, mapping := range []string{"tcp", "none"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launch(t, plan{
				mapping:  mapping,
				protocol: `  protocol "line" { safe = ["."] }`,
				failover: `    reply_timeout = "300ms"`,
				servers:  []string{"line", "line"},
			})
			client := f.dial()
			in := bufio.NewReader(client)
			for i := range 10 {
				ask(t, client, in, i)
			}
			frozen := f.elements[f.serving()].server
			frozen.freeze(t)
			began := time.Now()
			ask(t, client, in, 10)
			waited := time.Since(began)
			frozen.thaw(t)
			for i := 11; i < 100; i++ {
				ask(t, client, in, i)
			}
			r := f.records("moved", 1)[0]
			t.Logf("answered after %s: %s", waited, r.Cause)
			if waited < timeout {
				t.Errorf("answered after %s, before the server had been silent for %s", waited, timeout)
			}
			if len(f.recorded("moved")) != 1 {
				t.Errorf("moved more than once: %+v", f.recorded("moved"))
			}
		})
	}
}

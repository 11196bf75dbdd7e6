//go:build linux

package test

import (
	"bufio"
	"net"
	"testing"
)

// TestRestartedUnseen kills the server of idle clients and starts it again while its sidecar is stopped. When the sidecar looks, a
// server listens, and the clients' connections have ended; still it was a death, and all clients go on.
func TestRestartedUnseen(t *testing.T) {
	const clients, rounds = 50, 3
	f := launch(t, plan{
		mapping:  "tcp",
		protocol: `  protocol "line" { safe = ["."] }`,
		servers:  []string{"line"},
	})
	var conns [clients]net.Conn
	var ins [clients]*bufio.Reader
	for i := range conns {
		conns[i] = f.dial()
		ins[i] = bufio.NewReader(conns[i])
		ask(t, conns[i], ins[i], 0)
	}
	e := f.elements[0]
	for round := 1; round <= rounds; round++ {
		e.sidecar.freeze(t)
		e.server.kill()
		f.startServer(0)
		e.sidecar.thaw(t)
		f.records("moved", min(round*clients, 100)) // so many are kept
		for i := range conns {
			ask(t, conns[i], ins[i], round)
		}
	}
}

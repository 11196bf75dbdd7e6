//go:build linux

package test

import (
	"net"
	"syscall"
	"testing"
)

// TestStop sends SIGTERM to the pool_user's sidecar in the middle of a transfer: new clients are refused at once, the transfer
// ends as it should, and only then the process, with exit status 0.
func TestStop(t *testing.T) {
	f := launch(t, plan{mapping: "tcp", protocol: `  protocol "stream" {}`, servers: deliverers()})
	d := startDelivery(t, f)
	waitFor(t, "a quarter of the delivery", func() bool {
		s := f.status().Sessions
		return len(s) == 1 && s[0].ToClient >= deliverSize/4
	})
	address := d.client.RemoteAddr().String()
	f.user.signal(t, syscall.SIGTERM)
	waitFor(t, "new clients to be refused", func() bool {
		c, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := <-d.result; err != nil || d.got != deliverSize {
		t.Errorf("the client got %d bytes of %d, error %v", d.got, deliverSize, err)
	}
	d.client.Close()
	if status := f.user.wait(t, patience); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

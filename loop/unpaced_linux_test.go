package loop

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnpaced: where the system paces, connections within the host do not.
func TestUnpaced(t *testing.T) {
	_, conn, _, do := pagesRig(t, 0)
	system, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		t.Fatal(err)
	}
	want := string(bytes.TrimSpace(system))
	if paces() {
		want = "reno"
	}
	do(func() {
		if got, err := unix.GetsockoptString(conn.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); got != want || err != nil {
			t.Errorf("congestion control %q, %v; not %q", got, err, want)
		}
	})
}

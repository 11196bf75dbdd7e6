package loop

import (
	"net/netip"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// paces reports whether the system's congestion control paces what it sends (BBR). It is asked once.
var paces = sync.OnceValue(func() bool {
	name, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return err == nil && strings.HasPrefix(string(name), "bbr")
})

// unpaced spares a socket whose other end is on this host the pacing of BBR: on the loopback there is no path to be gentle to, and
// it costs a third of the throughput (docs/performance.md). Every kernel has reno and lets everybody choose it; where one does not,
// the socket works as it is.
func unpaced(fd int, peer netip.Addr) {
	if peer.IsLoopback() && paces() {
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	}
}

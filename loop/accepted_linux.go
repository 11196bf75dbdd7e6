package loop

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Accepted is a connection that belongs to no loop: it must be adopted by one (Adopter), or dropped. Until then it may be passed
// from goroutine to goroutine.
type Accepted struct {
	fd     int
	remote netip.AddrPort
	how    Interception // how it has come to the listener
}

// Remote is the address of the peer's end.
func (a Accepted) Remote() netip.AddrPort { return a.remote }

// Drop closes a connection that no loop has adopted; the peer sees a reset.
func (a Accepted) Drop() {
	// It cannot fail on a socket; if it did, closing would still end the connection.
	_ = unix.SetsockoptLinger(a.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(a.fd)
}

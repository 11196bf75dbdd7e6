//go:build !linux

package loop

import (
	"fmt"
	"net/netip"
	"runtime"
)

// CanIntercept says why connections cannot be taken that way by this process.
func CanIntercept(how Interception) error {
	if how == Addressed {
		return nil
	}
	return fmt.Errorf("%w: that needs Linux, this is %s", ErrIntercept, runtime.GOOS)
}

// Dialed is the address that the peer has connected to. On this system there is no Accepted.
func (a Accepted) Dialed() (netip.AddrPort, error) { return netip.AddrPort{}, ErrIntercept }

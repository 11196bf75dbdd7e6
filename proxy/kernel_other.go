//go:build !linux

package proxy

import (
	"errors"
	"net/netip"
)

// kernel asks the kernel about sockets; on this system it cannot be asked.
type kernel struct{}

func openKernel() *kernel { return nil }

func (*kernel) listens(netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported }

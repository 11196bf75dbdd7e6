//go:build !linux

package proxy

import (
	"errors"
	"net/netip"
)

// kernel asks the kernel about sockets; on this system it cannot be asked.
type kernel struct{}

func openKernel() *kernel { return nil }

// life is what the kernel knows of a listening socket.
type life uint8

const (
	absent life = iota
	present
	held
)

func (*kernel) close() {}

// found is what was found out of a listening socket.
type found struct{ holders []int }

func holders(uint32, []int, func()) found { return found{} }

func (*kernel) life(netip.AddrPort, uint32) life { return present }

func (*kernel) known(netip.AddrPort, uint32) bool { return false }

func (*kernel) learn(netip.AddrPort, uint32, found) {}

func (*kernel) listener(netip.AddrPort) (uint32, error) { return 0, errors.ErrUnsupported }

func (*kernel) survives(netip.AddrPort, uint32) bool { return false }

func (*kernel) queued(local, remote netip.AddrPort) (n int, ok bool, err error) { return 0, false, nil }

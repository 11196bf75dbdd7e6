//go:build !linux

package proxy

import (
	"errors"
	"net/netip"
	"time"
)

// kernel asks the kernel about sockets; on this system it cannot be asked.
type kernel struct{ census *census }

func openKernel(*census) *kernel { return nil }

// life is what the kernel knows of a listening socket.
type life uint8

const (
	absent life = iota
	present
	held
)

func (*kernel) close() {}

// census would find the processes that hold listening sockets.
type census struct{}

func newCensus() *census { return &census{} }

func (*census) begin() {}

func (*census) close() {}

func (*census) owners(uint32) *owners { return nil }

// owners would know those of a socket.
type owners struct{}

func (*owners) study(func()) {}

func (*owners) hurry() {}

func (*owners) release() {}

func (*owners) known() bool { return false }

func (*owners) unseen() bool { return true }

func (*owners) late(time.Duration) bool { return false }

func (*owners) survive() bool { return false }

func (*owners) life() life { return present }

func (*kernel) listener(netip.AddrPort) (uint32, error) { return 0, errors.ErrUnsupported }

func (*kernel) queued(local, remote netip.AddrPort) (n int, ok bool, err error) { return 0, false, nil }

func (*kernel) backlog(netip.AddrPort) (waiting, most int, err error) {
	return 0, 0, errors.ErrUnsupported
}

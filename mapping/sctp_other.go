//go:build !linux

package mapping

import (
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
)

// Supported tells that SCTP cannot be used here.
func (SCTPMapping) Supported() error { return fmt.Errorf("%w: it needs Linux", ErrNoSCTP) }

// Dial tells the Handler that SCTP cannot be used here; see Dialer.
func (s SCTPMapping) Dial(l loop.Loop, to netip.AddrPort, c Config, h Handler) Association {
	a := &noAssociation{to: to}
	l.Post(func() {
		if !a.ended {
			a.ended = true
			h.Down(fmt.Errorf("mapping: association with %v: %w", to, s.Supported()))
		}
	})
	return a
}

// SCTPAddresses returns nil: there is no such socket here.
func SCTPAddresses(int) []netip.AddrPort { return nil }

// Listen fails; see Acceptor.
func (s SCTPMapping) Listen(_ loop.Loop, at netip.AddrPort, _ Config, _ func(Association) Handler) (loop.Listener, error) {
	return nil, fmt.Errorf("listen %v (sctp): %w", at, s.Supported())
}

// SCTPMoved is an association between two loops: here there are none.
type SCTPMoved struct{}

// Leave takes an association off its loop.
func (SCTPMapping) Leave(Association, Message) (SCTPMoved, bool) { return SCTPMoved{}, false }

// Drop ends it.
func (SCTPMoved) Drop() {}

// Adopt makes it another loop's.
func (SCTPMapping) Adopt(loop.Loop, SCTPMoved, Config, func(Association) Handler) {}

// noAssociation is one that goes down at once.
type noAssociation struct {
	to    netip.AddrPort
	ended bool
	left  Retrieved
}

func (a *noAssociation) Send(m Message, _ *loop.Buffer) error {
	if a.ended {
		return ErrDown
	}
	a.left.Unsent = append(a.left.Unsent, m.Context)
	return nil
}

func (a *noAssociation) Queued() int                { return 0 }
func (a *noAssociation) Retrieve() Retrieved        { return a.left }
func (a *noAssociation) Capabilities() Capabilities { return Capabilities{} }
func (a *noAssociation) Status() (Status, error)    { return Status{}, ErrStatus }
func (a *noAssociation) Remote() netip.AddrPort     { return a.to }
func (a *noAssociation) Local() netip.AddrPort      { return netip.AddrPort{} }
func (a *noAssociation) Close()                     { a.ended = true }
func (a *noAssociation) Abort()                     { a.ended = true }

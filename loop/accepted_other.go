//go:build !linux

package loop

import "net/netip"

// Accepted is a connection that belongs to no loop. On this system no loop is an Adopter, so there is none.
type Accepted struct{}

// Remote is the address of the peer's end.
func (a Accepted) Remote() netip.AddrPort { return netip.AddrPort{} }

// Drop closes a connection that no loop has adopted.
func (a Accepted) Drop() {}

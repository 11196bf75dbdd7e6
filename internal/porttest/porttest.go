// Package porttest finds ports for the servers of tests, which are told where to listen before they do.
package porttest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
)

// first and last are below the ports that the kernel gives to clients and to who binds port 0: one that is free now may be given to one of
// these before its server is there, or while it is started again.
const first, last = 12000, 32000

// given counts what this process gave out. It begins anywhere: the tests of several packages run at once.
var given atomic.Int64

func init() { given.Store(rand.Int64N(last - first)) }

// Free is an address of 127.0.0.1 at which nobody listens, neither over TCP nor over UDP, and which this process gets once.
func Free(t testing.TB) netip.AddrPort {
	t.Helper()
	for range last - first {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(first+given.Add(1)%(last-first)))
		if free(at) {
			return at
		}
	}
	t.Fatalf("no port of 127.0.0.1 between %d and %d is free", first, last)
	return netip.AddrPort{}
}

func free(at netip.AddrPort) bool {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	return u.Close() == nil
}

// FreeString is Free, written out.
func FreeString(t testing.TB) string { t.Helper(); return Free(t).String() }

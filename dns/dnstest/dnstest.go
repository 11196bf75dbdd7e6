// Package dnstest runs real name servers for tests.
package dnstest

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// FreePort is a port at which nobody listens, neither over UDP nor over TCP.
func FreePort(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		l.Close()
		if err == nil {
			u.Close()
			return at
		}
	}
	t.Fatal("no port is free")
	return netip.AddrPort{}
}

// WaitFor polls until it is so, with a deadline.
func WaitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 30 s not seen: %s", what)
		}
	}
}

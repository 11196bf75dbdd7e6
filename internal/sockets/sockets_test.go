package sockets

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// listening returns the socket of a listener that is closed: what stays is the descriptor, as in a process that was given it.
func listening(t *testing.T, network, address string) (*os.File, netip.AddrPort) {
	t.Helper()
	var held interface {
		File() (*os.File, error)
		Close() error
	}
	var at netip.AddrPort
	switch network {
	case "udp":
		p, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		held, at = p.(*net.UDPConn), p.LocalAddr().(*net.UDPAddr).AddrPort()
	default:
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		if unix, is := l.(*net.UnixListener); is {
			held = unix
		} else {
			held, at = l.(*net.TCPListener), l.Addr().(*net.TCPAddr).AddrPort()
		}
	}
	defer held.Close()
	f, err := held.File()
	if err != nil {
		t.Skip("no descriptors of sockets here: ", err) // Windows
	}
	t.Cleanup(func() { f.Close() }) // again, where it was taken
	return f, at
}

func TestSet(t *testing.T) {
	var s Set
	tcp, at := listening(t, "tcp", "127.0.0.1:0")
	udp, other := listening(t, "udp", "127.0.0.1:0")
	for _, f := range []*os.File{tcp, udp} {
		if err := s.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(tcp); err == nil || !strings.Contains(err.Error(), "two at "+at.String()) {
		t.Errorf("twice: %v", err)
	}
	want := []string{at.String() + "/tcp", other.String() + "/udp"}
	slices.Sort(want)
	if left := s.Left(); !slices.Equal(left, want) {
		t.Errorf("%v, want %v", left, want)
	}
	if s.UDP(at) != nil || s.TCP(other) != nil {
		t.Error("one protocol's socket is the other's")
	}
	clothed := netip.AddrPortFrom(netip.AddrFrom16(at.Addr().As16()), at.Port())
	l, err := s.Listen(clothed)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().(*net.TCPAddr).AddrPort(); got != at {
		t.Errorf("it listens at %v, not at %v", got, at)
	}
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if from, err := l.Accept(); err != nil || from.RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("%v, %v", from, err)
	}
	p, err := s.ListenPacket(other)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if left := s.Left(); p.LocalAddr().String() != other.String() || left != nil {
		t.Errorf("it is at %v; left: %v", p.LocalAddr(), left)
	}
	if _, err := s.Listen(at); err == nil {
		t.Error("the socket was given twice")
	}
}

func TestNotOurs(t *testing.T) {
	var s Set
	unix, _ := listening(t, "unix", t.TempDir()+"/s")
	file, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for want, f := range map[string]*os.File{"no address of TCP": unix, "neither": file} {
		if err := s.Add(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if left := s.Left(); left != nil {
		t.Errorf("left: %v", left)
	}
}

// A socket of SCTP is had by any of its addresses, once.
func TestSCTPAddresses(t *testing.T) {
	var s Set
	f, _ := listening(t, "tcp", "127.0.0.1:0") // what it is does not matter here
	one, two := netip.MustParseAddrPort("10.0.0.1:7001"), netip.MustParseAddrPort("10.0.1.1:7001")
	s.AddSCTP(f, one, two)
	if s.SCTP(one) != f || s.SCTP(two) != nil || len(s.Left()) > 0 {
		t.Errorf("left: %v", s.Left())
	}
}

// What listens at every address is found again under the address by which it was asked for, so that it can be handed over to another process.
func TestEveryAddress(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "::", "127.0.0.1"} {
		var s Set
		at := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
		l, err := s.Listen(at)
		if err != nil {
			if host == "::" {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		defer l.Close()
		p, err := s.ListenPacket(at)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for network, held := range map[string]any{"tcp": l, "udp": p} {
			f, err := held.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Skip("no descriptors of sockets here: ", err) // Windows
			}
			k, err := keyOf(f)
			f.Close()
			if err != nil || k.network != network || k.at.Addr().String() != host {
				t.Errorf("%s, %s: it is at %s, %v", host, network, k, err)
			}
		}
	}
}

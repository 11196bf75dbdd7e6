// Package sockets keeps the listening sockets that this process was given by who started it, until that asks for them which would
// otherwise make its own: systemd's socket activation (sd_listen_fds(3)) hands them over. So a port below 1024 needs no right of this
// process's, and a socket is there before the process is, and while it is restarted.
package sockets

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
)

// key is what a socket is found by: "tcp", "udp" or "sctp", and where it is bound.
type key struct {
	network string
	at      netip.AddrPort
}

func (k key) String() string { return k.at.String() + "/" + k.network }

// Set is a set of sockets. Its methods may be called from any goroutine. The zero Set is empty.
type Set struct {
	mu    sync.Mutex
	files map[key]*os.File // guarded by mu
}

// Given are the sockets that this process was given: a process has one environment.
var Given Set

// Add takes over a socket, which may be a TCP socket that listens, or a UDP socket. The error says what else it is; then the file is still
// the caller's.
func (s *Set) Add(f *os.File) error {
	k, err := keyOf(f)
	if err != nil {
		return fmt.Errorf("the socket %s: %w", f.Name(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.files[k]; twice {
		return fmt.Errorf("the socket %s: there are two at %s", f.Name(), k)
	}
	if s.files == nil {
		s.files = make(map[key]*os.File)
	}
	s.files[k] = f
	return nil
}

// AddSCTP takes over a socket of SCTP that listens at these addresses, for whoever asks for one of them: package net does not know this protocol.
func (s *Set) AddSCTP(f *os.File, at ...netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = make(map[key]*os.File)
	}
	for _, a := range at {
		s.files[key{"sctp", plain(a)}] = f
	}
}

// SCTP returns the socket that listens at the address, once; the caller closes it. nil: there is none.
func (s *Set) SCTP(at netip.AddrPort) *os.File { return s.take(key{"sctp", plain(at)}) }

// keyOf finds out what a socket is, on a copy of the descriptor, since package net puts what it is given to its own use.
func keyOf(f *os.File) (key, error) {
	if l, err := net.FileListener(f); err == nil {
		defer l.Close()
		if a, is := l.Addr().(*net.TCPAddr); is {
			return key{"tcp", plain(a.AddrPort())}, nil
		}
		return key{}, fmt.Errorf("it listens at %s, which is no address of TCP", l.Addr())
	}
	p, err := net.FilePacketConn(f)
	if err != nil {
		return key{}, fmt.Errorf("it is neither one that listens for TCP, nor one for UDP: %w", err)
	}
	defer p.Close()
	if a, is := p.LocalAddr().(*net.UDPAddr); is {
		return key{"udp", plain(a.AddrPort())}, nil
	}
	return key{}, fmt.Errorf("it is at %s, which is no address of UDP", p.LocalAddr())
}

// plain is an address as a configuration has it: one of IPv4 in the clothes of IPv6 is one of IPv4.
func plain(at netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) }

// network is what package net is to be asked for. To it 0.0.0.0 is every address, those of IPv6, too, and the socket is [::]; here, as for sessions, it is
// every address of IPv4. Who takes the socket over looks for it by that.
func network(name string, at netip.AddrPort) string {
	if at.Addr() == netip.IPv4Unspecified() {
		return name + "4"
	}
	return name
}

// TCP returns the socket that listens at the address, once; the caller closes it. nil: there is none.
func (s *Set) TCP(at netip.AddrPort) *os.File { return s.take(key{"tcp", plain(at)}) }

// UDP returns the socket at the address, once; the caller closes it. nil: there is none.
func (s *Set) UDP(at netip.AddrPort) *os.File { return s.take(key{"udp", plain(at)}) }

func (s *Set) take(k key) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[k]
	if delete(s.files, k); f != nil {
		maps.DeleteFunc(s.files, func(_ key, other *os.File) bool { return other == f })
	}
	return f
}

// Left says where the sockets are that nobody has asked for, as "127.0.0.1:80/tcp", in order.
func (s *Set) Left() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for k := range s.files {
		left = append(left, k.String())
	}
	slices.Sort(left)
	return left
}

// Listen is net.Listen for TCP, with the socket that was given for the address if there is one.
func (s *Set) Listen(at netip.AddrPort) (net.Listener, error) {
	f := s.TCP(at)
	if f == nil {
		return net.Listen(network("tcp", at), at.String())
	}
	defer f.Close() // the listener has its own
	return net.FileListener(f)
}

// ListenPacket is net.ListenPacket for UDP, with the socket that was given for the address if there is one.
func (s *Set) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	f := s.UDP(at)
	if f == nil {
		return net.ListenPacket(network("udp", at), at.String())
	}
	defer f.Close()
	return net.FilePacketConn(f)
}

// Prepare sees to it that there is a TCP socket for the address: it makes one if none was given. So who will ask for it later is sure to get it.
func (s *Set) Prepare(at netip.AddrPort) error {
	return s.prepare(key{"tcp", plain(at)}, func() (filer, error) { return net.Listen(network("tcp", at), at.String()) })
}

// PreparePacket is Prepare for UDP.
func (s *Set) PreparePacket(at netip.AddrPort) error {
	return s.prepare(key{"udp", plain(at)}, func() (filer, error) { return net.ListenPacket(network("udp", at), at.String()) })
}

// filer is a socket of package net.
type filer interface{ Close() error }

func (s *Set) prepare(k key, listen func() (filer, error)) error {
	s.mu.Lock()
	_, given := s.files[k]
	s.mu.Unlock()
	if given {
		return nil
	}
	made, err := listen()
	if err != nil {
		return err
	}
	defer made.Close() // the file has its own
	held, is := made.(interface{ File() (*os.File, error) })
	if !is {
		return fmt.Errorf("the socket at %s has no file", k)
	}
	f, err := held.File()
	if err != nil {
		return err
	}
	return s.Add(f)
}

// Drop closes the sockets that nobody has asked for, and says where they were.
func (s *Set) Drop() []string {
	left := s.Left()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.Close()
	}
	s.files = nil
	return left
}

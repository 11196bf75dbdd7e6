package upgrade

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Open lists the sockets on which this process waits for others: those that listen, and those of UDP that have an address and no peer.
// They are looked up among all descriptors of the process, so that whoever has made one need not tell. They stay who they belong
// to: the caller may pass them on, and must not close them, and must see to it that nobody else does meanwhile.
func Open() ([]Socket, error) {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("upgrade: cannot list the sockets of this process: %w", err)
	}
	var open []Socket
	for _, entry := range dir {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if s, ok := waiting(fd); ok {
			open = append(open, s)
		}
	}
	return open, nil
}

// waiting tells whether a descriptor is such a socket. Most are not, and some of the list are closed by now.
func waiting(fd int) (s Socket, ok bool) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return Socket{}, false
	}
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return Socket{}, false
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return Socket{}, false
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	listening := err == nil && listens != 0
	s = Socket{FD: fd}
	switch at := name.(type) {
	case *unix.SockaddrInet4:
		s.Address = netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	case *unix.SockaddrInet6:
		s.Address = netip.AddrPortFrom(netip.AddrFrom16(at.Addr).Unmap(), uint16(at.Port))
	}
	switch {
	case (protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_MPTCP) && listening: // package net listens for both
		s.Network = TCP
	case protocol == unix.IPPROTO_SCTP && listening:
		s.Network = SCTP
	case kind == unix.SOCK_DGRAM && protocol == unix.IPPROTO_UDP && s.Address.Port() != 0:
		if _, err := unix.Getpeername(fd); err == nil {
			return Socket{}, false
		}
		s.Network = UDP
	default:
		return Socket{}, false
	}
	return s, true
}

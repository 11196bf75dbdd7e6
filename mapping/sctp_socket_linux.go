package mapping

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// sctpSupported tells whether the kernel has SCTP, and SCTP over UDP if udpPort is not 0; the error wraps ErrNoSCTP and says what it
// answered.
func sctpSupported(udpPort uint16) error {
	fd, err := openSCTP(unix.AF_INET)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return encapsulate(fd, udpPort)
}

// openSCTP makes a one-to-one socket (RFC 6458 §4) that never waits.
func openSCTP(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	switch {
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ESOCKTNOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return -1, fmt.Errorf("%w (socket: %w): load its module (modprobe sctp), or use the mapping tcp", ErrNoSCTP, err)
	case err != nil:
		return -1, fmt.Errorf("mapping: make an SCTP socket: %w", err)
	}
	return fd, nil
}

// familyOf is what a socket for these addresses needs.
func familyOf(all []netip.AddrPort) int {
	for _, a := range all {
		if !a.Addr().Unmap().Is4() {
			return unix.AF_INET6
		}
	}
	return unix.AF_INET
}

// packed lays addresses out one behind the other, as bindx and connectx want them (RFC 6458 §9.1). All have the port of the first.
func packed(all []netip.AddrPort) string {
	list := sctp.SCTPAddr{Port: int(all[0].Port())}
	for _, a := range all {
		ip := a.Addr().Unmap()
		list.IPAddrs = append(list.IPAddrs, net.IPAddr{IP: net.IP(ip.WithZone("").AsSlice()), Zone: ip.Zone()})
	}
	return string(list.ToRawSockAddrBuf())
}

// bindAll binds a socket to addresses of this host; all have the port of the first.
func bindAll(fd int, all []netip.AddrPort) error {
	return unix.SetsockoptString(fd, unix.IPPROTO_SCTP, sctp.SCTP_SOCKOPT_BINDX_ADD, packed(all))
}

// share has other sockets of this user bind to the port of this one.
func share(fd int, on bool) error {
	if !on {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return fmt.Errorf("share a port: %w", err)
	}
	return nil
}

// connectAll begins an association with the peer that has these addresses.
func connectAll(fd int, all []netip.AddrPort) error {
	err := unix.SetsockoptString(fd, unix.IPPROTO_SCTP, sctp.SCTP_SOCKOPT_CONNECTX, packed(all))
	if errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	return err
}

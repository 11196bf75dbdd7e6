package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

var _ Interceptor = (*Epoll)(nil)

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST of netfilter_ipv6/ip6_tables.h.
const soOriginalDst = 80

// CanIntercept says why connections cannot be taken that way by this process; nil: they can, as far as that can be known without rules.
func CanIntercept(how Interception) error {
	if how != TProxy {
		return nil
	}
	fd, err := newSocket(netip.IPv4Unspecified())
	if err != nil {
		return err
	}
	defer closeSocket(fd)
	return transparent(fd, netip.IPv4Unspecified())
}

// transparent lets a listening socket take connections to any address (IP_TRANSPARENT).
func transparent(fd int, at netip.Addr) error {
	level, option := unix.IPPROTO_IP, unix.IP_TRANSPARENT
	if at.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT
	}
	err := setInt(fd, level, option, 1)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: IP_TRANSPARENT needs CAP_NET_ADMIN or CAP_NET_RAW", ErrIntercept)
	}
	if err != nil {
		return fmt.Errorf("%w: IP_TRANSPARENT: %w", ErrIntercept, err)
	}
	return nil
}

// Intercept takes connections that were addressed to others; see Interceptor.
func (e *Epoll) Intercept(at netip.AddrPort, how Interception, take func(Accepted)) (Listener, error) {
	return e.listen(at, how, take)
}

// Dialed is the address that the peer has connected to. The error says that the system does not know it: the connection was not
// redirected, or its record is gone.
func (a Accepted) Dialed() (netip.AddrPort, error) {
	local := localAddr(a.fd)
	if a.how != Redirect {
		return local, nil
	}
	var sa sockaddr
	sa.size = unix.SizeofSockaddrInet6
	level := unix.IPPROTO_IP
	if local.Addr().Is6() {
		level = unix.IPPROTO_IPV6
	} else {
		sa.size = unix.SizeofSockaddrInet4
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(a.fd), uintptr(level), soOriginalDst, uintptr(unsafe.Pointer(&sa.raw)),
		uintptr(unsafe.Pointer(&sa.size)), 0)
	if errno != 0 {
		return netip.AddrPort{}, fmt.Errorf("the original destination of the connection from %v (SO_ORIGINAL_DST): %w", a.remote, errno)
	}
	return sa.get(), nil
}

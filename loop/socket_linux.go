package loop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/internal/sockets"
)

// backlog is how many connections may wait to be accepted; the kernel cuts it down to net.core.somaxconn.
const backlog = 1 << 14

// Keep-alives find a peer that vanished without a word on a connection that is idle and has no heartbeats: after a minute of
// silence six probes, ten seconds apart. A peer on this host cannot vanish so, be it frozen: our own kernel answers for it. To a loopback
// address, which a sidecar's server mostly has, they are not asked for, which saves four system calls of each connection.
const (
	keepAliveIdle     = 60 // seconds
	keepAliveInterval = 10 // seconds
	keepAliveProbes   = 6
)

// newSocket makes a TCP socket for the family of the address, non-blocking and closed on exec.
func newSocket(at netip.Addr) (int, error) {
	family := unix.AF_INET
	if at.Is6() {
		family = unix.AF_INET6
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, fmt.Errorf("socket: %w", errno)
	}
	return int(fd), nil
}

// prepare sets what all connections have. What is set on the socket of a listener, the accepted ones inherit.
func prepare(fd int, alive bool) error {
	if err := setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil || !alive {
		return err
	}
	return errors.Join(setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle),
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval),
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes))
}

func setInt(fd, level, name int, value int32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&value)), 4, 0)
	if errno != 0 {
		return fmt.Errorf("setsockopt: %w", errno)
	}
	return nil
}

// listenSocket makes a listening socket, unless this process was given one for the address. The wildcard of IPv6 accepts IPv4 as well, as
// Go's net package has it.
func listenSocket(at netip.AddrPort, how Interception) (int, error) {
	if f := sockets.Given.TCP(at); f != nil {
		return takeOver(f, how)
	}
	fd, err := newSocket(at.Addr())
	if err != nil {
		return -1, err
	}
	if how == TProxy {
		err = transparent(fd, at.Addr())
	}
	if err := errors.Join(err, prepare(fd, true), listenOn(fd, at)); err != nil {
		closeSocket(fd)
		return -1, err
	}
	return fd, nil
}

// takeOver has a socket that listens already do so as our own would. It closes the file.
func takeOver(f *os.File, how Interception) (int, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("the socket that this process was given: dup: %w", err)
	}
	err = errors.Join(unix.SetNonblock(fd, true), prepare(fd, true))
	if err == nil && how == TProxy {
		err = transparent(fd, localAddr(fd).Addr())
	}
	if err == nil {
		err = unix.Listen(fd, backlog) // it listens: this only sets how many may wait
	}
	if err != nil {
		closeSocket(fd)
		return -1, fmt.Errorf("the socket that this process was given: %w", err)
	}
	return fd, nil
}

func listenOn(fd int, at netip.AddrPort) error {
	if err := setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if at.Addr() == netip.IPv6Unspecified() {
		if err := setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return err
		}
	}
	unpaced(fd, at.Addr())
	var to sockaddr
	if err := to.set(at); err != nil {
		return err
	}
	if err := to.call(unix.SYS_BIND, fd); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// sockaddr is an address in the kernel's form: room for either family, and how much of it is used. With the one of package unix the
// kernel would be asked for the socket's protocol each time, and each address be allocated.
type sockaddr struct {
	raw  unix.RawSockaddrInet6 // begins like RawSockaddrInet4
	size uint32
}

// set takes an address. A zone is a number or the name of an interface.
func (sa *sockaddr) set(ap netip.AddrPort) error {
	addr := ap.Addr()
	switch {
	case addr.Is4():
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa.raw))
		four.Family, four.Addr, sa.size = unix.AF_INET, addr.As4(), unix.SizeofSockaddrInet4
	case !addr.IsValid():
		return fmt.Errorf("no address: %w", unix.EINVAL)
	default:
		zone, err := zoneNumber(addr.Zone())
		if err != nil {
			return err
		}
		sa.raw.Family, sa.raw.Addr, sa.raw.Scope_id, sa.size = unix.AF_INET6, addr.As16(), zone, unix.SizeofSockaddrInet6
	}
	sa.raw.Port = swapped(ap.Port())
	return nil
}

func zoneNumber(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	in, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(in.Index), nil
}

// get is the opposite of set. An IPv4 address in IPv6 clothes is shown as IPv4.
func (sa *sockaddr) get() netip.AddrPort {
	switch sa.raw.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), swapped(four.Port))
	case unix.AF_INET6:
		addr := netip.AddrFrom16(sa.raw.Addr).Unmap()
		if sa.raw.Scope_id != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(sa.raw.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, swapped(sa.raw.Port))
	}
	return netip.AddrPort{}
}

// swapped turns a port from our order of bytes into the network's, or back.
func swapped(port uint16) uint16 {
	var p [2]byte
	binary.NativeEndian.PutUint16(p[:], port)
	return binary.BigEndian.Uint16(p[:])
}

// call makes a system call of a socket and an address that the caller gives: connect or bind.
func (sa *sockaddr) call(number uintptr, fd int) error {
	if _, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.size)); errno != 0 {
		return errno
	}
	return nil
}

// accept takes a connection that waits at a listening socket; the error is a unix.Errno.
func accept(listener int) (fd int, from netip.AddrPort, err error) {
	var sa sockaddr
	sa.size = unix.SizeofSockaddrInet6
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&sa.raw)),
		uintptr(unsafe.Pointer(&sa.size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(n), sa.get(), nil
}

// localAddr asks the kernel for our end's address; the zero AddrPort if it has none.
func localAddr(fd int) netip.AddrPort {
	var sa sockaddr
	sa.size = unix.SizeofSockaddrInet6
	if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa.raw)),
		uintptr(unsafe.Pointer(&sa.size))); errno != 0 {
		return netip.AddrPort{}
	}
	return sa.get()
}

// closeSocket cannot wait: the socket is non-blocking.
func closeSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

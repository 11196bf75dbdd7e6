//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of linux/sctp.h that are used here.
const (
	optRTOInfo         = 0
	optAssocInfo       = 1
	optInitMsg         = 2
	optNoDelay         = 3
	optPeerAddrParams  = 9
	optEvents          = 11
	optStatus          = 14
	optPeerAddrInfo    = 15
	optBindxAdd        = 100
	optGetPeerAddrs    = 108
	optGetLocalAddrs   = 109
	optConnectx        = 110
	optConnectx3       = 111
	optEvent           = 127
	cmsgSndInfo        = 2
	msgNotification    = 0x8000
	eventBytes         = 14 // of SCTP_EVENTS
	eventSendFailed    = 3  // index in them: the deprecated SCTP_SEND_FAILED
	eventSendFailedNew = 13 // SCTP_SEND_FAILED_EVENT
	storage            = 128
)

var native = binary.NativeEndian

// socket opens an SCTP socket for one association, which reports every event.
func socket(family, flags int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, fmt.Errorf("this kernel has no SCTP: %w", err)
	}
	events := make([]byte, eventBytes)
	for i := range events {
		events[i] = 1
	}
	events[0] = 0               // no control messages with data
	events[eventSendFailed] = 0 // its successor says the same
	events[8] = 0               // authentication is off
	events[9] = 0               // sender dry: one for every message here
	return fd, setOption(fd, optEvents, events)
}

func setOption(fd, option int, value []byte) error {
	if err := unix.SetsockoptString(fd, unix.IPPROTO_SCTP, option, string(value)); err != nil {
		return fmt.Errorf("setsockopt %d (%d bytes): %w", option, len(value), err)
	}
	return nil
}

// getOption reads an option into value, whose content the kernel may read first, and returns what it filled.
func getOption(fd, option int, value []byte) ([]byte, error) {
	length := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, uintptr(option),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("getsockopt %d (%d bytes): %w", option, len(value), errno)
	}
	return value[:length], nil
}

// packed is the form in which bindx and connectx take addresses: one behind the other, each with its own size.
func packed(list []netip.AddrPort) []byte {
	var b []byte
	for _, a := range list {
		if a.Addr().Is4() {
			b = native.AppendUint16(b, unix.AF_INET)
			b = binary.BigEndian.AppendUint16(b, a.Port())
			b = append(b, a.Addr().AsSlice()...)
			b = append(b, make([]byte, 8)...)
			continue
		}
		b = native.AppendUint16(b, unix.AF_INET6)
		b = binary.BigEndian.AppendUint16(b, a.Port())
		b = append(b, 0, 0, 0, 0) // flow
		b = append(b, a.Addr().AsSlice()...)
		b = append(b, 0, 0, 0, 0) // scope
	}
	return b
}

// unpacked reads one address; size is how long it is, 0 if it is none.
func unpacked(b []byte) (a netip.AddrPort, size int) {
	if len(b) < 16 {
		return a, 0
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := native.Uint16(b); {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), 16
	case family == unix.AF_INET6 && len(b) >= 28:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port), 28
	}
	return a, 0
}

// listAddresses is getpaddrs or getladdrs.
func listAddresses(fd, option int) ([]netip.AddrPort, error) {
	got := make([]byte, 8+16*storage)
	if _, err := getOption(fd, option, got); err != nil { // the length that SCTP_GET_LOCAL_ADDRS reports lacks the first 8 bytes
		return nil, err
	}
	var list []netip.AddrPort
	rest := got[8:]
	for range native.Uint32(got[4:]) {
		a, size := unpacked(rest)
		if size == 0 {
			return nil, fmt.Errorf("%d bytes that are no address: %x", len(rest), rest)
		}
		list, rest = append(list, a), rest[size:]
	}
	return list, nil
}

// connectx begins an association with any of the addresses. The kernel tells its number even with EINPROGRESS.
func connectx(fd int, remote []netip.AddrPort) (association int32, err error) {
	list := packed(remote)
	argument := struct {
		association int32
		length      int32
		addresses   unsafe.Pointer // so that the list stays where it is
	}{length: int32(len(list)), addresses: unsafe.Pointer(&list[0])}
	length := uint32(unsafe.Sizeof(argument))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, optConnectx3,
		uintptr(unsafe.Pointer(&argument)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return argument.association, fmt.Errorf("connectx %v: %w", remote, errno)
	}
	return argument.association, nil
}

// send sends one message.
func send(fd int, stream uint16, context uint32, message []byte) error {
	oob := make([]byte, unix.CmsgSpace(16))
	header := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	header.Level, header.Type = unix.IPPROTO_SCTP, cmsgSndInfo
	header.SetLen(unix.CmsgLen(16))
	info := oob[unix.CmsgLen(0):]
	native.PutUint16(info, stream)
	binary.BigEndian.PutUint32(info[4:], 33) // PPID: the kernel sends it as it is
	native.PutUint32(info[8:], context)
	n, err := unix.SendmsgN(fd, message, oob, nil, unix.MSG_NOSIGNAL)
	if err == nil && n != len(message) {
		err = fmt.Errorf("only %d of %d bytes", n, len(message))
	}
	return err
}

// receive waits for a message, or a notification; none and no error mean the end of the association.
func receive(fd int) (message []byte, notification bool, err error) {
	b := make([]byte, 64<<10)
	for n := 0; ; {
		if n == len(b) {
			b = append(b, make([]byte, len(b))...) // a probe's peer is a probe: nobody sends without end
		}
		more, _, flags, _, err := unix.Recvmsg(fd, b[n:], nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		n += more
		if more == 0 || flags&unix.MSG_EOR != 0 {
			return b[:n], flags&msgNotification != 0, nil
		}
	}
}

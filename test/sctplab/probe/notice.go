//go:build linux

package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Types of notifications, and the words for what they report. Numbers as in linux/sctp.h.
const (
	assocChange     = 0x8001
	peerAddrChange  = 0x8002
	shutdownEvent   = 0x8005
	senderDry       = 0x8009
	sendFailedEvent = 0x800d
)

var (
	assocStates = []string{"COMM_UP", "COMM_LOST", "RESTART", "SHUTDOWN_COMP", "CANT_STR_ASSOC"}
	addrStates  = []string{"AVAILABLE", "UNREACHABLE", "REMOVED", "ADDED", "MADE_PRIM", "CONFIRMED", "POTENTIALLY_FAILED"}
)

// describe puts a notification into words. Lengths are the kernel's own; a shorter one is an error of this program's layout.
func describe(b []byte) string {
	if len(b) < 8 || int(native.Uint32(b[4:])) != len(b) {
		return fmt.Sprintf("notification of %d bytes that says another length: %x", len(b), b[:min(len(b), 8)])
	}
	kind, flags := native.Uint16(b), native.Uint16(b[2:])
	switch {
	case kind == assocChange && len(b) >= 20:
		return fmt.Sprintf("ASSOC_CHANGE %s error %d streams %d out %d in, %d bytes", word(assocStates, uint32(native.Uint16(b[8:]))),
			native.Uint16(b[10:]), native.Uint16(b[12:]), native.Uint16(b[14:]), len(b))
	case kind == peerAddrChange && len(b) == 148:
		a, _ := unpacked(b[8:])
		return fmt.Sprintf("PEER_ADDR_CHANGE %s %s error %d", a.Addr(), word(addrStates, native.Uint32(b[136:])), native.Uint32(b[140:]))
	case kind == sendFailedEvent && len(b) >= 32:
		info := b[12:]
		return fmt.Sprintf("SEND_FAILED_EVENT %s error %d stream %d chunk-flags %#x ppid %d context %d, %d bytes of data",
			[]string{"unsent", "sent"}[flags&1], native.Uint32(b[8:]), native.Uint16(info), native.Uint16(info[2:]),
			binary.BigEndian.Uint32(info[4:]), native.Uint32(info[8:]), len(b)-32)
	case kind == shutdownEvent:
		return fmt.Sprintf("SHUTDOWN_EVENT, %d bytes", len(b))
	case kind == senderDry:
		return fmt.Sprintf("SENDER_DRY_EVENT, %d bytes", len(b))
	}
	return fmt.Sprintf("notification %#x flags %#x, %d bytes", kind, flags, len(b))
}

func word(words []string, n uint32) string {
	if n < uint32(len(words)) {
		return words[n]
	}
	return fmt.Sprint("state ", n)
}

// outcome puts what receive returned into words.
func outcome(message []byte, notification bool, err error) string {
	switch {
	case err != nil:
		return "error " + unix.ErrnoName(errno(err))
	case notification:
		return describe(message)
	case len(message) == 0:
		return "end"
	}
	return fmt.Sprintf("message of %d bytes", len(message))
}

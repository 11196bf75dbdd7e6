package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Notifications of an SCTP socket (RFC 6458 §6.1), as Linux numbers and lays them out: in the byte order of the machine, but for
// addresses and ports.
const (
	notifyAssociation = 0x8001 // SCTP_ASSOC_CHANGE
	notifyPath        = 0x8002 // SCTP_PEER_ADDR_CHANGE
	notifyShutdown    = 0x8005 // SCTP_SHUTDOWN_EVENT
	notifyPartial     = 0x8006 // SCTP_PARTIAL_DELIVERY_EVENT
	notifyDry         = 0x8009 // SCTP_SENDER_DRY_EVENT
	notifySendFailed  = 0x800d // SCTP_SEND_FAILED_EVENT
)

// What SCTP_ASSOC_CHANGE says.
const (
	associationUp      = 0 // SCTP_COMM_UP
	associationLost    = 1 // SCTP_COMM_LOST
	associationRestart = 2 // SCTP_RESTART
	associationOver    = 3 // SCTP_SHUTDOWN_COMP
	associationRefused = 4 // SCTP_CANT_STR_ASSOC
)

// Sizes of what Linux passes, in bytes.
const (
	notifyHeader  = 8
	sendInfoSize  = 16  // struct sctp_sndinfo
	storageSize   = 128 // struct sockaddr_storage
	inet4Size     = 16  // struct sockaddr_in
	inet6Size     = 28  // struct sockaddr_in6
	familyInet    = 2
	familyInet6   = 10
	mostNotify    = 64 << 10 // of which only the beginning is looked at
	sendFailedLen = notifyHeader + 4 + sendInfoSize + 4
)

// errNotification is wrapped by what is wrong with a notification: the kernel is not the one that this was written for.
var errNotification = errors.New("mapping: the kernel's SCTP notification is not understood")

// notification is one of those above. Which fields mean something depends on its kind.
type notification struct {
	kind    uint16
	flags   uint16
	state   int            // association, path: see the constants
	cause   uint32         // association, path, sendFailed: the error, 0 if there is none
	out, in uint16         // association: streams
	path    netip.AddrPort // path
	context uint32         // sendFailed: as it was given with the message
	sent    bool           // sendFailed: it was on the wire, and may have been received
}

// parseNotification reads one notification, whole (until MSG_EOR) or cut off behind what is looked at. Others than those above are
// returned with their kind alone.
func parseNotification(b []byte) (notification, error) {
	if len(b) < notifyHeader {
		return notification{}, fmt.Errorf("%w: %d bytes", errNotification, len(b))
	}
	order := binary.NativeEndian
	n := notification{kind: order.Uint16(b), flags: order.Uint16(b[2:])}
	need := map[uint16]int{notifyAssociation: 20, notifyPath: notifyHeader + storageSize + 8, notifySendFailed: sendFailedLen}[n.kind]
	if len(b) < need {
		return notification{}, fmt.Errorf("%w: type %#x of %d bytes, at least %d expected", errNotification, n.kind, len(b), need)
	}
	switch n.kind {
	case notifyAssociation:
		n.state, n.cause = int(order.Uint16(b[8:])), uint32(order.Uint16(b[10:]))
		n.out, n.in = order.Uint16(b[12:]), order.Uint16(b[14:])
	case notifyPath:
		n.path, _ = parseSockaddr(b[8:])
		n.state, n.cause = int(order.Uint32(b[136:])), order.Uint32(b[140:])
	case notifySendFailed:
		info := b[12:]
		n.cause, n.sent = order.Uint32(b[8:]), n.flags&1 != 0
		n.context = order.Uint32(info[8:])
	}
	return n, nil
}

// parseSockaddr reads a struct sockaddr_in or sockaddr_in6 and returns how long it is: 0, if it is neither.
func parseSockaddr(b []byte) (netip.AddrPort, int) {
	if len(b) < inet4Size {
		return netip.AddrPort{}, 0
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.NativeEndian.Uint16(b); {
	case family == familyInet:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), inet4Size
	case family == familyInet6 && len(b) >= inet6Size:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])).Unmap(), port), inet6Size
	}
	return netip.AddrPort{}, 0
}

// parseSockaddrs reads addresses packed one behind the other, each with its own size (SCTP_GET_PEER_ADDRS); at most count.
func parseSockaddrs(b []byte, count int) []netip.AddrPort {
	var all []netip.AddrPort
	for len(all) < count {
		a, n := parseSockaddr(b)
		if n == 0 {
			break
		}
		all, b = append(all, a), b[n:]
	}
	return all
}

// appendStorage appends a struct sockaddr_storage.
func appendStorage(dst []byte, a netip.AddrPort) []byte {
	s := make([]byte, storageSize)
	if !a.IsValid() { // the wildcard: all paths
		return append(dst, s...)
	}
	binary.BigEndian.PutUint16(s[2:], a.Port())
	if a.Addr().Is4() {
		binary.NativeEndian.PutUint16(s, familyInet)
		copy(s[4:], a.Addr().AsSlice())
	} else {
		binary.NativeEndian.PutUint16(s, familyInet6)
		copy(s[8:], a.Addr().AsSlice())
	}
	return append(dst, s...)
}

// layOut lays numbers out as the kernel does, packed: uint16, uint32, and bytes as they are.
func layOut(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch v := part.(type) {
		case uint16:
			b = binary.NativeEndian.AppendUint16(b, v)
		case uint32:
			b = binary.NativeEndian.AppendUint32(b, v)
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

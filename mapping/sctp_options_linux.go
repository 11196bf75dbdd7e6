package mapping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// Socket options of SCTP that ishidawataru/sctp does not name (RFC 6458 §8; include/uapi/linux/sctp.h).
const (
	optRTOInfo     = 0   // SCTP_RTOINFO
	optAssociation = 1   // SCTP_ASSOCINFO
	optNoDelay     = 3   // SCTP_NODELAY
	optPathParams  = 9   // SCTP_PEER_ADDR_PARAMS
	optStatus      = 14  // SCTP_STATUS
	optPathInfo    = 15  // SCTP_GET_PEER_ADDR_INFO
	optDelayedAck  = 16  // SCTP_DELAYED_SACK
	optReceiveInfo = 32  // SCTP_RECVRCVINFO
	optPeers       = 108 // SCTP_GET_PEER_ADDRS
	optLocals      = 109 // SCTP_GET_LOCAL_ADDRS
	optEvent       = 127 // SCTP_EVENT
)

// Sizes and counts.
const (
	socketBuffer   = 2 << 20 // asked for: what the kernel keeps of messages not acknowledged, or not read; bytes
	initAttempts   = 64      // INITs sent; Config.DialTimeout ends it before
	statusSize     = 176     // struct sctp_status
	pathInfoSize   = 152     // struct sctp_paddrinfo
	pathParamsSize = 156     // struct sctp_paddrparams, packed
	maxAddresses   = 32      // of one end, listed
	addressRoom    = maxAddresses * inet6Size
	heartbeatOn    = 1    // SPP_HB_ENABLE
	sackDelayOn    = 0x20 // SPP_SACKDELAY_ENABLE

	mostAddressRoom = 512 * addressRoom // for 16384 addresses
)

// pathTimes are the kernel's times, so that it tries the other paths of an association before the peer is given up, and notices a path
// that does not work while others do.
type pathTimes struct {
	min, initial, max time.Duration // of the retransmission timeout
	sack              time.Duration // how long an acknowledgement may wait
	path              uint16        // retransmissions after which a path is not used
	all               uint16        // and the association is given up
	interval          time.Duration // of the kernel's heartbeats, on idle paths
}

// timesOf are the times of associations that heartbeats watch. Between sidecars it is our own heartbeats which decide when a peer is
// dead, at Interval*Misses and a moment after it was last heard (a whole Interval more at most). The kernel, whose heartbeats a frozen process answers too, and which counts what
// fails on all paths together, must not do so before them: its limit is one that it does not reach with up to 8 paths.
//
// With native peers it is the kernel alone. They delay acknowledgements by up to 200 ms, so less than 250 ms is no failure.
func timesOf(h Heartbeat, native bool) pathTimes {
	least := h.Interval * time.Duration(max(h.Misses, 2)) // that a peer may be silent for
	most := h.Interval * time.Duration(max(h.Misses, 1)+1)
	p := pathTimes{path: 2, interval: max(h.Interval, time.Millisecond)}
	if native {
		p.min, p.max, p.all = slowestSack+50*time.Millisecond, max(h.Interval, slowestSack+50*time.Millisecond), uint16(max(h.Misses, 1))
	} else {
		p.min, p.max = within(h.Interval/10, 10*time.Millisecond, slowestSack), within(least/2, 10*time.Millisecond, time.Minute)
		p.all = uint16(min(8*(most/p.max+8), 65535))
	}
	p.initial = within(h.Interval/2, p.min, min(p.max, time.Second))
	p.sack = min(p.min/2, slowestSack)
	return p
}

// slowestSack is how long an acknowledgement waits by default.
const slowestSack = 200 * time.Millisecond

func within(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }

// setOptions sets what every association of ours has, before it begins: on the socket that dials, or that listens.
func (s SCTPMapping) setOptions(fd int, c Config) error {
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	o := options{fd: fd}
	streams := uint16(s.streams())
	o.set(sctp.SCTP_INITMSG, streams, streams, uint16(initAttempts), uint16(0))
	o.set(optNoDelay, uint32(1))
	o.set(optReceiveInfo, uint32(1))
	for _, kind := range []uint16{notifyAssociation, notifyPath, notifyShutdown, notifyPartial, notifyDry, notifySendFailed} {
		o.set(optEvent, uint32(0), kind, []byte{1, 0})
	}
	if c.Heartbeat.Interval > 0 {
		p := timesOf(c.Heartbeat, s.Native)
		o.set(optRTOInfo, uint32(0), millis(p.initial), millis(p.max), millis(p.min))
		o.set(optAssociation, uint32(0), p.all, make([]byte, 14))
		o.set(optPathParams, p.params())
	}
	// Behind the parameters of paths, which have acknowledgements wait: rsplib sends a cookie behind a reply, and its kernel holds it
	// back until the reply is acknowledged, by default 200 ms.
	if s.Native {
		o.set(optDelayedAck, uint32(0), uint32(0), uint32(1))
	}
	return o.err
}

// setBuffer asks for socketBuffer, beyond the limits of the system (net.core.wmem_max, rmem_max) if this process may; else it gets as
// much as they allow.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer)
	}
}

// params is the struct sctp_paddrparams for all paths. It is packed: no Go struct can mirror it.
func (p pathTimes) params() []byte {
	b := make([]byte, pathParamsSize)
	binary.NativeEndian.PutUint32(b[132:], millis(p.interval))
	binary.NativeEndian.PutUint16(b[136:], p.path)
	binary.NativeEndian.PutUint32(b[142:], millis(p.sack))
	binary.NativeEndian.PutUint32(b[146:], heartbeatOn|sackDelayOn)
	return b
}

// millis rounds up.
func millis(d time.Duration) uint32 { return uint32((d + time.Millisecond - 1) / time.Millisecond) }

// options sets one option after the other until one fails.
type options struct {
	fd  int
	err error
}

// set lays the parts out one behind the other: uint16, uint32 and bytes.
func (o *options) set(option int, parts ...any) {
	if o.err != nil {
		return
	}
	b := layOut(parts...)
	if err := unix.SetsockoptString(o.fd, unix.IPPROTO_SCTP, option, string(b)); err != nil {
		o.err = fmt.Errorf("mapping: set SCTP option %d (%d bytes): %w", option, len(b), err)
	}
}

// getOption reads an option into b, which may hold what the option wants to know first, and returns how much was written.
func getOption(fd, option int, b []byte) (int, error) {
	size := uint32(len(b))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("mapping: ask SCTP option %d: %w", option, errno)
	}
	return int(size), nil
}

// addressesOf lists the addresses of one end of an association: optPeers or optLocals; at most maxAddresses. The kernel answers nothing
// where it has more than there is room for.
func addressesOf(fd, option int) []netip.AddrPort {
	for room := addressRoom; room <= mostAddressRoom; room *= 8 {
		b := make([]byte, 8+room)
		switch _, err := getOption(fd, option, b); {
		case err == nil:
			return parseSockaddrs(b[8:], int(min(binary.NativeEndian.Uint32(b[4:]), maxAddresses)))
		case !errors.Is(err, unix.ENOMEM):
			return nil
		}
	}
	return nil
}

// pathStatus asks for one path.
func pathStatus(fd int, at netip.AddrPort) (Path, error) {
	b := append(make([]byte, 4, pathInfoSize), appendStorage(nil, at)...)
	b = append(b, make([]byte, pathInfoSize-len(b))...)
	if _, err := getOption(fd, optPathInfo, b); err != nil {
		return Path{}, err
	}
	return parsePath(b), nil
}

// parsePath reads a struct sctp_paddrinfo.
func parsePath(b []byte) Path {
	order := binary.NativeEndian
	at, _ := parseSockaddr(b[4:])
	ms := func(i int) time.Duration { return time.Duration(order.Uint32(b[i:])) * time.Millisecond }
	return Path{Address: at, State: PathState(order.Uint32(b[132:])), RTT: ms(140), RTO: ms(144), PMTU: int(order.Uint32(b[148:]))}
}

var errNoStatus = errors.New("the kernel did not answer")

// sctpStatus is what SCTP_STATUS tells.
type sctpStatus struct {
	streams int // that there are both ways
	primary Path
}

func statusOf(fd int) (sctpStatus, error) {
	b := make([]byte, statusSize)
	n, err := getOption(fd, optStatus, b)
	if err != nil {
		return sctpStatus{}, err
	}
	if n < statusSize {
		return sctpStatus{}, fmt.Errorf("%w: SCTP_STATUS of %d bytes", errNoStatus, n)
	}
	in, out := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:])
	return sctpStatus{streams: int(min(in, out)), primary: parsePath(b[24:])}, nil
}

// holdsNothing reports whether an association that lives has no message left that its peer has not acknowledged. That of one which has
// ended has none either, but for another reason: so its life is asked for last.
func holdsNothing(fd int) bool {
	const wmemQueued = 5 // SK_MEMINFO_WMEM_QUEUED: the memory of messages that may have to be sent again
	var memory [9]uint32
	size := uint32(unsafe.Sizeof(memory))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&memory)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 || size <= 4*wmemQueued || memory[wmemQueued] != 0 {
		return false
	}
	_, err := statusOf(fd)
	return err == nil
}

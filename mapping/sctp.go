package mapping

import (
	"net/netip"
	"time"
)

// SCTPMapping is mapping 0x01: messages, streams, several paths and the retrieval of what was not sent are the kernel's (RFC 9260, RFC
// 6458). It needs Linux with SCTP, and a loop.Watcher; without them Dial's Handler hears Down, and Listen returns an error, both
// of which wrap ErrNoSCTP. The value is not changed by its methods.
//
// Two sidecars introduce themselves to each other (docs/protocol.md, "Over SCTP"), and ask each other for signs of life as they do over
// TCP: the kernel's own heartbeats are answered by a process that is frozen, too.
type SCTPMapping struct {
	// Native is for peers that are RSerPool applications, not sidecars (docs/protocol.md, "Native peers"): there are no introductions, so
	// an association is Up when the kernels have agreed on it, messages go and come with the PPIDs they have, and none may be empty.
	// The signs of life are those of the peer's kernel, which speaks for a frozen process, too.
	Native bool

	// Local are further addresses of this host (their ports are ignored): with the address that is listened on, they are told to the
	// peers as paths. A dialling side binds to them if there are any.
	Local []netip.Addr

	// From, if it has a port, is where a dialling side's associations come from, in place of Local: an address, or the wildcard, at which it
	// also listens, with Shared. So peers know where to begin associations themselves.
	From netip.AddrPort

	// Shared has a listening side let its own user's associations come from its port. Another listener of that user may then be there,
	// too, and nobody notices.
	Shared bool

	// Peer, if not nil, names further addresses of a peer that listens at to, all on its port. They are tried, too, when the first one
	// does not answer.
	Peer func(to netip.AddrPort) []netip.Addr

	// UDPPort, if not 0, has everything go within UDP (RFC 6951): a dialling side sends to this port of its peers, a listening one checks
	// that it is the kernel's own (net.sctp.udp_port), where peers send to. What is sent comes from the kernel's own port.
	UDPPort uint16

	// PathChanged, if not nil, hears when a path fails, and when it works again.
	PathChanged func(a Association, path netip.AddrPort, state PathState)
}

// PathState is what the kernel thinks of one address of a peer (RFC 6458 §8.2.2).
type PathState uint32

const (
	PathInactive    PathState = 0 // it does not answer
	PathFailing     PathState = 1 // potentially failed (RFC 7829)
	PathActive      PathState = 2
	PathUnconfirmed PathState = 3 // it has not answered yet
)

func (s PathState) String() string {
	switch s {
	case PathInactive:
		return "inactive"
	case PathFailing:
		return "failing"
	case PathActive:
		return "active"
	case PathUnconfirmed:
		return "unconfirmed"
	}
	return "unknown"
}

// Path is one of the addresses of a peer.
type Path struct {
	Address  netip.AddrPort
	State    PathState
	RTT, RTO time.Duration
	PMTU     int // bytes
}

// Pather is an Association that knows the paths to its peer.
type Pather interface {
	// Paths lists them; the first is the one that is used while it is active.
	Paths() []Path
}

// Pauser is an Association that can leave what comes with the kernel, until that has no room either and the peer must wait. While it is
// paused no message is handed over; but when the association fails, what the kernel still holds is, and then Down. That the peer has
// ended it in order is noticed late: behind what had come before.
type Pauser interface {
	// Pause stops reading. Within Handler.Receive it holds from the next message on.
	Pause()
	// Resume goes on in the next turn. Both may be repeated.
	Resume()
}

// DryHandler is a Handler that hears when more messages are known to be acknowledged than before, which Retrieve does not list any more.
// Only SCTP tells.
type DryHandler interface{ Dry() }

// sctpStreams is how many streams are asked for. Each costs the kernel memory from the beginning.
const sctpStreams = 1 << 14

// nativeStreams is how many streams are asked for where each association carries one session.
const nativeStreams = 16

// streams is how many are asked for.
func (s SCTPMapping) streams() int {
	if s.Native {
		return nativeStreams
	}
	return sctpStreams
}

// Bounds of an association over SCTP.
const (
	sctpMessage = 1 << 20  // the longest message, if the kernel's buffer has room for two; bytes
	sctpEarly   = 1 << 20  // held while the peer's first message has not come; bytes
	sctpRing    = 1 << 15  // messages given to the kernel whose contexts are remembered; its buffer holds far fewer
	sctpRead    = 64 << 10 // taken by one system call; bytes
)

// Package mapping carries messages between two sidecars: an association is one live conversation with one peer, over one
// of the transports that draft-conrad-rserpool-service-00 §4 calls mappings.
//
// A mapping gives what failover mode asks of a transport (draft §6.1.1): message orientation, heartbeats, and retrieval of what
// was not acknowledged; streams, so that many sessions share one association; and a payload protocol identifier (PPID) a
// message, so that control and data can be told apart. What a mapping cannot do it answers with an error that says so
// (draft §6.1.2, §6.1.3): nothing is guessed.
//
// Nothing here waits and nothing here has a goroutine: associations live on a loop.Loop, and their Handler is called on its
// goroutine.
package mapping

import (
	"errors"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// ID is the number of a mapping (draft §4).
type ID uint8

const (
	None ID = 0x00 // NO_MAPPING: plain TCP to the server
	SCTP ID = 0x01
	TCP  ID = 0x02
)

func (id ID) String() string {
	switch id {
	case None:
		return "none"
	case SCTP:
		return "sctp"
	case TCP:
		return "tcp"
	}
	return "unknown"
}

// Errors that a mapping answers with. They are wrapped with what exactly was asked, or what was wrong.
var (
	// ErrUnordered: the mapping cannot deliver a message before those sent ahead of it.
	ErrUnordered = errors.New("mapping: unordered delivery is not available over this mapping")
	// ErrLifetime: the mapping cannot drop a message that was not delivered in time.
	ErrLifetime = errors.New("mapping: a lifetime per message is not available over this mapping")
	// ErrStatus: the transport does not tell what was asked.
	ErrStatus = errors.New("mapping: the transport does not report its status")
	// ErrTooLong: the message does not fit the mapping; see Limits.
	ErrTooLong = errors.New("mapping: message too long")
	// ErrEmpty: the transport carries no message without data.
	ErrEmpty = errors.New("mapping: an empty message cannot be sent over this mapping")
	// ErrDown: the association has ended.
	ErrDown = errors.New("mapping: the association has ended")
	// ErrProtocol: the peer broke the rules of the mapping. The association is aborted.
	ErrProtocol = errors.New("mapping: the peer broke the protocol")
	// ErrSilent: nothing has come from the peer, no answer to a heartbeat either, for as long as was allowed; or it did not
	// introduce itself within Config.DialTimeout.
	ErrSilent = errors.New("mapping: the peer is silent")
	// ErrNoSCTP: the kernel has no SCTP. Loading its module (modprobe sctp) may help; the mapping tcp needs nothing.
	ErrNoSCTP = errors.New("mapping: this kernel has no SCTP")
)

// Payload protocol identifiers. ASAP's is IANA's (RFC 5352 §5); the others are ours, see docs/protocol.md.
const (
	PPIDASAP    uint32 = 11         // ASAP control messages
	PPIDSession uint32 = 0x70700001 // session protocol
	PPIDMore    uint32 = 0x70700002 // application data; the message goes on
	PPIDEnd     uint32 = 0x70700003 // application data; a message ends with the last byte
)

// Message is one message on an association.
type Message struct {
	Stream uint16
	PPID   uint32
	Data   []byte

	Unordered bool          // needs Capabilities.Unordered
	Lifetime  time.Duration // 0: for ever; else needs Capabilities.Lifetime
	Context   uint64        // the sender's own number for the message; Retrieve gives it back. Not sent.
}

// Capabilities say what a mapping offers. They are asked, never guessed.
type Capabilities struct {
	Unordered  bool
	Lifetime   bool
	Streams    int // how many streams there are, numbered from 0
	MaxMessage int // bytes of Data in one message
}

// Status is what the transport knows of the path (draft §6.1.3).
type Status struct {
	RTT, RTTVar, RTO time.Duration // the transport's own estimates
	PMTU             int           // bytes

	// As measured by the mapping's heartbeats: they include the peer's sidecar, and its load. Zero until the first was answered.
	HeartbeatRTT, HeartbeatRTTVar, HeartbeatRTO time.Duration
}

// Retrieved are the Contexts of messages that an ended association leaves behind, in the order they were sent (draft §6.1.1).
type Retrieved struct {
	Unsent         []uint64 // never given to the transport
	Unacknowledged []uint64 // given to the transport; whether the peer took them is not known
}

// Association is one conversation with one peer. It belongs to the loop's goroutine.
type Association interface {
	// Send queues m behind what was sent before. It copies m.Data, unless from is not nil: then m.Data lies in that Buffer, Send may
	// keep a hold on it and write from it later, and the bytes must not change while somebody holds it. Queued messages are
	// written at the end of the turn. Send never waits and never drops: who sends much watches Queued.
	// The errors are ErrUnordered, ErrLifetime, ErrTooLong, ErrEmpty, ErrDown, and a stream that does not exist.
	Send(m Message, from *loop.Buffer) error

	// Queued is how many bytes were given to Send and not yet taken by the transport.
	Queued() int

	// Retrieve lists what was not acknowledged. It is meant for after Down; before, it is a snapshot.
	Retrieve() Retrieved

	Capabilities() Capabilities

	// Status wraps ErrStatus where the transport does not tell.
	Status() (Status, error)

	Remote() netip.AddrPort
	Local() netip.AddrPort

	// Close ends the association in order: what is queued is still sent. Handler.Down is not called. Twice is harmless.
	Close()

	// Abort ends the association at once; the peer sees a reset. Handler.Down is not called. Twice is harmless.
	Abort()
}

// Handler hears what happens on an association, on the loop's goroutine. It may call the association's methods, also
// Close and Abort: then it hears no more.
type Handler interface {
	// Up: both sides have introduced themselves; messages flow. Messages sent before Up are queued until then.
	Up()
	// Receive hands over one message. m.Data is the mapping's again when Receive returns.
	Receive(m Message)
	// Drained: Queued has fallen below LowWater, having been at or above it.
	Drained()
	// Down: the association has failed, for good. It is called once, also when it never came Up. The error wraps loop.ErrRefused,
	// loop.ErrReset, ErrSilent, ErrProtocol or io.EOF, as the case is.
	Down(err error)
}

// LowWater is the mark of Handler.Drained, in bytes. A sender that stops at twice as much keeps the transport busy.
const LowWater = 128 << 10

// Heartbeat says when to speak and when to give up; see package heartbeat.
type Heartbeat struct {
	Interval time.Duration
	Misses   int
}

// Config is what both sides of an association have to agree with themselves about.
type Config struct {
	Heartbeat Heartbeat
	// DialTimeout bounds the time from Dial to Up, and at a listener from accept to Up.
	DialTimeout time.Duration
}

// Dialer makes associations. Each mapping is a Dialer and a Listener.
type Dialer interface {
	// Dial begins an association and returns at once; h hears Up or Down.
	Dial(l loop.Loop, to netip.AddrPort, c Config, h Handler) Association
}

// Acceptor makes associations that peers begin.
type Acceptor interface {
	// Listen calls accept for each association that a peer begins, before it is Up; a nil Handler refuses it.
	Listen(l loop.Loop, at netip.AddrPort, c Config, accept func(Association) Handler) (loop.Listener, error)
}

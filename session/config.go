package session

import "time"

// Replay says which messages may be sent again to a new pool element.
type Replay uint8

const (
	ReplayNone    Replay = iota // only what was never sent, or provably not executed
	ReplayUnacked               // from the first message that was not released
	ReplaySession               // all since the session began; every reply is compared with the one delivered
)

func (r Replay) String() string { return [...]string{"none", "unacked", "session"}[r] }

// Ack says when a message is released, that is, need never be sent again.
type Ack uint8

const (
	AckReply     Ack = iota // its reply has been passed to the client in full
	AckDelivered            // the pool element's sidecar has written it to the server's socket
	AckRead                 // the server's process has read it, and, if a reply belongs to it, that was passed to the client
)

func (a Ack) String() string { return [...]string{"reply", "delivered", "read"}[a] }

// Unsafe says what becomes of an unsafe request that may have been executed by the server that died.
type Unsafe uint8

const (
	UnsafeRefuse Unsafe = iota // it is answered by the protocol's own error
	UnsafeReplay               // it is sent again: at least once instead of at most once
)

func (u Unsafe) String() string { return [...]string{"refuse", "replay"}[u] }

// ServerClose says what the end of file of a server that still listens means.
type ServerClose uint8

const (
	CloseAuto     ServerClose = iota // a close, unless a request is in flight
	CloseIsClose                     // a close, always
	CloseIsFailed                    // a failure, unless the protocol has said goodbye, or no other element could carry the session on
)

func (c ServerClose) String() string { return [...]string{"auto", "close", "failover"}[c] }

// Failover is the failover block of a pool_user.
type Failover struct {
	Replay   Replay
	Ack      Ack
	Unsafe   Unsafe
	Resume   time.Duration // how long a broken association may take to come back before its sessions move; 0: they move at once
	Deadline time.Duration // bounds the whole search for an element that carries the session on
	Attempts int           // how many elements one request may bring down

	// Fence is how long a pool element keeps a leg whose pool user is out of touch. Behind that, and a margin for clocks that do not
	// agree, the old server can receive nothing more.
	Fence         time.Duration
	OnServerClose ServerClose

	ReplyTimeout time.Duration // a server that says nothing for so long, a reply being due, has failed; 0: never
}

// fence is Fence, or what serves where it was not set.
func (f *Failover) fence() time.Duration {
	if f.Fence > 0 {
		return f.Fence
	}
	return f.Resume + f.Resume/2
}

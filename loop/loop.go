// Package loop runs one shard: one goroutine that owns sockets, timers and everything that is built on them.
//
// A Loop turns in rounds. A turn takes the time once, hands every socket that is ready to its Handler, fires the
// timers that are due, runs what other goroutines have posted, and last runs the Later functions: there an owner
// writes, once, what the whole turn has produced. Everything that a Loop calls, it calls on its own goroutine, so what
// belongs to a shard needs no lock; other goroutines reach a shard only by Post.
//
// Three loops implement the face: Epoll (Linux: one epoll, raw non-blocking system calls), Goroutines (anywhere, and
// for connections that are not bare sockets: a goroutine a direction), and looptest.World (virtual time and an in-memory
// network that can be cut, stalled, delayed and healed).
package loop

import (
	"errors"
	"net/netip"
	"time"
)

// ErrAgain is returned by Conn's reads and writes that would have to wait. The Handler is told when trying again is of use.
var ErrAgain = errors.New("loop: not ready")

// ErrReset is (wrapped by) the error of a Conn whose peer, or whose path, ended it abortively.
var ErrReset = errors.New("loop: connection reset")

// ErrRefused is (wrapped by) the error of a Dial at whose far end nothing listens.
var ErrRefused = errors.New("loop: connection refused")

// ErrClosed is returned by the methods of a Conn, Listener or Loop that was closed here.
var ErrClosed = errors.New("loop: closed")

// Loop is the face of all loops. Only Post may be called from other goroutines.
type Loop interface {
	// Now is the time of this turn. It does not move within one.
	Now() time.Time

	// Post runs f in a coming turn. It may be called from any goroutine and reports false, and does not run f,
	// once the loop has stopped.
	Post(f func()) bool

	// Later runs f at the end of this turn (or the next, if called outside one). Functions run in the order they came;
	// those that come while Later functions run are run in the same turn.
	Later(f func())

	// Schedule arms t to run its function once, in the first turn at or after at. An armed timer is moved.
	Schedule(t *Timer, at time.Time)

	// Cancel disarms t. Cancelling an unarmed timer does nothing.
	Cancel(t *Timer)

	// Dial begins to connect and returns at once. The Handler hears Connected, or Hangup with the reason in Conn.Err; both, or
	// Hangup alone, if the connection was made and reset before anyone looked. Nothing is said before Dial has returned.
	Dial(to netip.AddrPort, h Handler) Conn

	// Listen accepts connections at the address; accept returns the Handler of each, and may use the Conn already. A nil Handler
	// refuses the connection (it is reset). The error names the address.
	Listen(at netip.AddrPort, accept func(Conn) Handler) (Listener, error)

	// Buffers is the loop's pool of memory. It belongs to the loop's goroutine.
	Buffers() *Pool
}

// Event says what may now be tried on a Conn. It is a set of bits.
type Event uint8

const (
	Readable  Event = 1 << iota // Read may return data, the end, or an error
	Writable                    // Write may take bytes again, after it had returned ErrAgain or a short count
	Connected                   // Dial has succeeded
	Hangup                      // the connection has failed: Conn.Err says why; Read still returns what had arrived before
)

// Handler is told of readiness, on the loop's goroutine, never once its Conn or the loop is closed. It may close any Conn or
// Listener from within.
//
// Readiness is edge-triggered: after Readable nothing more is said until a Read has drained the Conn. Read has drained it when it
// returns ErrAgain or a short count (fewer bytes than asked for): whatever follows, be it data, the end, or an error, is told by
// another Readable. A count of len(p) says nothing: read again, or come back by yourself. After the end or an error Readable is
// not said any more. In the same way Writable is said once after each Write that did not take everything.
//
// Hangup is said once, also to a paused reader, and with or before the Readable of the same cause; an error that Read or Write
// has already returned is told by Hangup as well, unless the Conn is closed first.
type Handler interface {
	Ready(ev Event)
}

// Conn is one stream connection, owned by the loop's goroutine. No method ever waits.
type Conn interface {
	// Read returns 1 to len(p) bytes, or 0 and ErrAgain, io.EOF (the peer has finished), or the error that the connection failed
	// with (it wraps ErrReset if the peer reset it). A reader that stops after a count of len(p) (to pause, or to be fair) must
	// come back by itself: no event will repeat it. See Handler.
	Read(p []byte) (int, error)

	// Write takes as much of the buffers, in order, as the transport has room for and returns the count. When not all is
	// taken the error is ErrAgain (Writable follows) or fatal. The buffers are the caller's again on return. Through this
	// interface the list of buffers escapes: a caller that must not allocate keeps the list and passes it with "...".
	Write(bufs ...[]byte) (int, error)

	// CloseWrite sends the end of our bytes (FIN) behind what was written; Write returns ErrClosed from then on. Twice is
	// harmless. Before Connected it returns ErrAgain and does nothing.
	CloseWrite() error

	// Close ends the connection in order: written bytes are still sent. The Handler hears nothing more. Twice is harmless.
	Close()

	// Reset ends the connection abortively (RST); unsent bytes are dropped. The Handler hears nothing more.
	Reset()

	// Err is why the connection failed, nil while it has not.
	Err() error

	// Local is the address of our end. Once the Conn is closed it may be the zero AddrPort.
	Local() netip.AddrPort
	Remote() netip.AddrPort

	// Info asks the transport for its estimates. Where it cannot tell (memory, other systems) ok is false.
	Info() (info Info, ok bool)

	// SetUserTimeout bounds how long written bytes may stay unacknowledged before the connection fails (TCP_USER_TIMEOUT).
	// Zero is the system's default. Where the transport has no such thing it does nothing.
	SetUserTimeout(d time.Duration)
}

// Info is what the kernel knows of a TCP connection (TCP_INFO).
type Info struct {
	RTT, RTTVar, RTO time.Duration
	PMTU             int // bytes
}

// Listener accepts connections until it is closed.
type Listener interface {
	Addr() netip.AddrPort
	// Close stops accepting; connections already accepted live on. Twice is harmless.
	Close()
}

// Package protocol knows how the bytes of applications split into messages: message orientation for programs that never heard
// of it (draft-conrad-rserpool-service-00 §6.1.1).
//
// A Protocol has two parsers. Requests reads what the client sends, once for a session; Replies reads what a server answers, anew for
// every leg. Both are push parsers: bytes go in as they come, in pieces of any size, and boundaries come out; nothing
// that passes is changed, and parsers hold no I/O, no clock and no goroutine.
//
// The third part is Join: what to ask a new server, and how to splice its answer to what the client already has, when a reply was
// cut in the middle.
package protocol

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by the errors of parsers: the bytes are not of this protocol, or break a limit. The text says what
// was wrong and where. The session cannot go on.
var ErrMalformed = errors.New("protocol: malformed")

// ErrMismatch is wrapped by the errors of a Joiner: the new server's reply is not the one that the client has begun to read.
var ErrMismatch = errors.New("protocol: the reply of the new server differs")

// ErrUnready is the ErrMismatch of a Joiner whose server says that it does not serve yet (Cut.Unready): Delivered is as it was before.
var ErrUnready = fmt.Errorf("%w: it does not serve yet", ErrMismatch)

// Expect says what answer a request will get.
type Expect uint8

const (
	ExpectOne     Expect = iota // one reply, which Replies finds the end of
	ExpectNone                  // none: a one-way message
	ExpectUnknown               // nothing is known of how replies belong to requests
)

// Request is what is known of one message of the client. It is complete when its Cut has End set; what came before (Safe
// of an HTTP request whose body is still coming) may be read from the moment that Cut.Known is set.
type Request struct {
	Safe   bool   // it may be repeated without harm
	Expect Expect // how it is answered
	Label  string // for logs: a few words, no secrets ("GET /file", "line of 17 bytes")
	Early  int64  // a server may begin to carry it out when it has read so many of its bytes; 0: not before it has read all
	Sync   bool   // a point of rest: once it is answered, nothing before it need ever be repeated (replay = "session")

	// Detail is the protocol's own: what Replies and Join need to remember of the request.
	Detail any
}

// Cut is what a parser says of the bytes that it was given.
type Cut struct {
	// N bytes, at least 1 and at most all, are of the current message.
	N int

	// End: the message ends with them.
	End bool

	// Hold: these bytes must not be passed on yet; they go on with those of a later Cut that does not hold. Never more than 64 KiB
	// are held in a row. What is held of a reply when its leg ends was never delivered, and is forgotten.
	Hold bool

	// Known: the Request handed over with this cut says all that matters for replay (its head is complete).
	Known bool

	// Tunnel: from here on nothing is known of what passes, either way (HTTP's 101). Only Replies sets it, once; see Tunneler.
	Tunnel bool

	// Close: after this message the protocol's peer ends the connection by the protocol's own rules (HTTP's Connection: close,
	// a QUIT): an end of file that follows is a goodbye.
	Close bool

	// Push, of Replies: these bytes answer no request, even if one is due: they are of a message that the server sends unasked
	// by the rules of the protocol (a published message). With End the push ends, and the due request stays due.
	Push bool

	// Unready, of Replies, with End: the server says that it does not serve yet, so it has not carried out the request (redis's -LOADING).
	// All of the reply is in this Cut and in those before it that held.
	Unready bool
}

// Protocol is one application protocol with its settings. It is immutable and shared by all shards.
type Protocol interface {
	// Name is the word in the configuration.
	Name() string

	// Requests returns the parser for a new session.
	Requests() Requests

	// Replies returns the parser for a new leg.
	Replies() Replies

	// Join prepares for the repetition of req on a new leg when the client has already had part of its reply. head is req's bytes
	// as the client sent them, or nil when they are too long to hand over; so is the returned again: the bytes to send in place
	// of the request (nil: send the request as it was). The Joiner then splices the new reply.
	// delivered is what the old leg's Replies says of the interrupted reply (see Replies.Delivered).
	// The error says why it cannot be done.
	Join(req *Request, head []byte, delivered Delivered) (again []byte, j Joiner, err error)

	// Abort is the protocol's own error, to be sent instead of a reply of which no byte went out; nil if it has none. The
	// connection is closed behind it. The reason is a short text without newlines.
	Abort(reason string) []byte

	// Opaque reports that nothing is known of message boundaries (protocol stream).
	Opaque() bool
}

// Requests splits the client's bytes.
type Requests interface {
	// Next looks at the bytes that follow those of the last call. It returns one Cut, and the Request that the bytes
	// belong to: the same pointer until the Cut with End. len(p) > 0. What Next does not cover (p[cut.N:]) is given again.
	Next(p []byte) (Cut, *Request, error)
}

// Greeter is implemented by protocols whose servers speak first.
type Greeter interface {
	// Greeting returns a Request for which the Replies of a new leg find the end of what the server says first, as if it were its
	// answer; nil if servers of this configuration wait for the client.
	Greeting() *Request
}

// Refuser is implemented by protocols that have an error of their own for a client that breaks their rules.
type Refuser interface {
	// Invalid is that error (HTTP's 400), in place of the reply to the request that is not valid. The connection is closed
	// behind it. The reason is a short text without newlines.
	Invalid(reason string) []byte
}

// Tunneler is implemented by Requests whose connection may leave the protocol.
type Tunneler interface {
	// Tunnel says that the server has agreed (Cut.Tunnel): what follows in the client's bytes is one endless message.
	Tunnel()
}

// Replies splits a server's bytes.
type Replies interface {
	// Next looks at the bytes that follow those of the last call, as part of the answer to req, the oldest request not
	// answered in full; nil when there is none (the server speaks unasked).
	Next(req *Request, p []byte) (Cut, error)

	// Finish reports whether an end of file at this point completes the reply to req (HTTP: a body until close).
	Finish(req *Request) bool

	// Delivered describes the interrupted reply for Join: what of it was let pass (not held). Only the leg that began the reply
	// may be asked; of a joined reply the Joiner is asked.
	Delivered() Delivered
}

// Delivered is what the client already has of an interrupted reply: a count and a hash, and what the protocol noted.
type Delivered struct {
	Bytes  int64  // bytes of the reply passed to the client
	Ahead  bool   // they are only what comes ahead of the reply itself (HTTP's interim replies): it may still be another one
	Sum    uint64 // xxhash64 of them
	Detail any    // the protocol's own (HTTP: the reply's head, how far its body went, the body's hash and last bytes)
}

// Joiner splices a repeated reply to what the client already has of the first one. It stands in for Replies until the reply ends.
type Joiner interface {
	// Next looks at bytes of the new reply. It returns how many of p it has dealt with (at least 1), and the bytes for the client:
	// a part of p, or bytes of its own, valid until the next call; often none. end: the reply is complete; the bytes
	// behind it are for the leg's Replies. The error wraps ErrMismatch or ErrMalformed.
	Next(p []byte) (n int, out []byte, end bool, err error)

	// Finish reports whether an end of file at this point completes the reply.
	Finish() bool

	// Closes reports, once the reply is complete, that its end is that of the connection: the client must see one.
	Closes() bool

	// Skipped is how many bytes of the new reply were compared with the delivered ones, or passed over as known to be the same.
	Skipped() int64

	// Saved is how many bytes of the reply the new server was not asked for, because the client has them.
	Saved() int64

	// Delivered describes the reply once more, should this leg end before it does.
	Delivered() Delivered
}

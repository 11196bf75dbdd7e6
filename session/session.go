// Package session keeps a conversation alive that outlives the servers which carry it.
//
// A session is one client connection, from accept to close. It is carried by legs: a leg is the session's stay at one pool
// element, and has a number (1, 2, 3 …). A leg runs as one stream of an association, next to those of other sessions. When the
// association breaks and the element lives, the leg is resumed: both sides say how far they have come, and every byte goes
// through once. When the element or its server dies, the session fails over: the pool names another element, a new leg is
// opened there, and what retrieval still holds is sent again, as far as that is allowed.
//
// Two types hold the rules: User for the pool user's side, beside the clients, and Element for the pool element's side, in
// front of the server. Both are state machines without I/O, goroutines or a clock of their own. Events come in as method calls;
// effects go out as calls on the faces that the owner gave them: Socket, mapping.Association, the functions of UserConfig and
// ElementConfig, and loop.Loop, whose turn is the time. Over a looptest.World all of it runs in virtual time. Everything
// belongs to one loop's goroutine.
//
// The messages between the two sides are in wire.go, and, in prose, in docs/protocol.md.
package session

import (
	"encoding/hex"
	"errors"
)

// Token is a session's secret: who has it may resume the session's legs.
type Token [16]byte

// String shows the first bytes only: the token is a secret, and this is enough to tell sessions apart in a log.
func (t Token) String() string { return hex.EncodeToString(t[:4]) + "…" }

// Socket is the local end of a session: the legacy client's connection, or the legacy server's. Its owner reads from it and hands
// over what came, as long as there is Room; the rules write to it. All but ReadOn are as in loop.Conn.
type Socket interface {
	Write(bufs ...[]byte) (int, error)
	CloseWrite() error
	Close()
	Reset()

	// ReadOn says that there is Room again. It must not hand anything over within the call.
	ReadOn()
}

// ErrLocal is wrapped by the errors of the local end's socket.
var ErrLocal = errors.New("session: the local connection failed")

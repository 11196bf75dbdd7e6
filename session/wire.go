package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/whence"
)

// Version is the highest version of the session protocol that this code speaks, and oldest the lowest.
const (
	Version = 3
	oldest  = 1

	versionDrain = 2 // from here on there is DRAIN
	versionEnds  = 3 // from here on OPEN may say whose connection it is
)

// The types of messages. Those marked * are terminal: each side sends exactly one of them on a stream, as its last message for
// that leg; when both have, the stream is free for another leg.
const (
	typeHello     = 1  // stream 0, both ways, first: version, instance, credit
	typeOpen      = 2  // user: begin a leg
	typeOpened    = 3  // element: the server is connected
	typeRefused   = 4  // element *: the leg was not begun, or not resumed; nothing of it was given to the server
	typeResume    = 5  // user: go on with a leg
	typeResumed   = 6  // element: going on
	typeAck       = 7  // both: received so far, and credit
	typeFinish    = 8  // both: no more bytes (half-close)
	typeReset     = 9  // both *: the leg ends abortively
	typeLegFailed = 10 // element *: the server's connection failed or ended by death
	typeClosed    = 11 // both *: the leg has ended
	typeHold      = 12 // user: what comes from this offset on may be written when the server has read all before it
	typeGiveUp    = 13 // user: the server is silent: end the leg as a failure, and say how far it has read
	typeDrain     = 14 // element, stream 0: sessions should leave, or need not any more
)

// Code is the reason of a refusal, reset or failure.
type Code uint8

const (
	CodeNone         Code = 0
	CodeServer       Code = 1 // refused: the server cannot be connected to
	CodeNoLeg        Code = 2 // refused: no such leg to resume
	CodeStale        Code = 3 // refused: a newer leg of the session is known
	CodeBusy         Code = 4 // refused: a limit is reached
	CodePeer         Code = 5 // reset: the local connection was reset
	CodeProtocol     Code = 6 // reset: the peer broke the session protocol
	CodeServerReset  Code = 7 // leg failed: the server reset the connection
	CodeServerEnded  Code = 8 // leg failed: the connection ended, and no socket listens on the server's port any more
	CodeAbandoned    Code = 9 // reset: the session has moved on, or has ended otherwise
	CodeUnauthorized Code = 10
	CodeHealth       Code = 11 // refused, leg failed: the server's health check has failed
	CodeNever        Code = 12 // refused: there has never been such a leg here
	CodeSilent       Code = 13 // leg failed: the pool user has asked for it, since the server is silent
	CodeCookie       Code = 14 // refused: the cookie that was echoed is not taken
)

var codeText = [...]string{
	"no reason", "the server refuses connections", "no such leg", "a newer leg is known", "a limit is reached",
	"the connection was reset", "the session protocol was broken", "the server reset the connection",
	"the server ended the connection and no longer listens", "abandoned", "not authorized",
	"the server's health check has failed", "no such leg was ever begun", "the server is silent",
	"the session's cookie is not taken",
}

func (c Code) String() string {
	if int(c) < len(codeText) {
		return codeText[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// ErrMessage is wrapped by the errors of parsing a message of the session protocol.
var ErrMessage = errors.New("session: bad message")

// maxText bounds the texts in messages, in bytes.
const maxText = 255

// maxCredit bounds the credit that a peer may grant beyond what it has received, in bytes.
const maxCredit = 1 << 30

// message is any message of the session protocol; which fields mean something depends on the type.
type message struct {
	typ      uint8
	code     Code          // refused, reset, leg failed
	instance Token         // hello: the sender's incarnation, random at its start
	version  uint8         // hello: the highest version spoken
	oldest   uint8         // hello: the lowest version still spoken
	token    Token         // open, resume
	session  uint64        // open: the user's number of the session, for logs
	leg      uint32        // open, resume
	hold     time.Duration // open: how long to keep the leg when out of touch (fence)
	silence  time.Duration // hello of the element: how long it may take to notice that it is out of touch
	received int64         // resume, resumed, ack: bytes of the peer's direction taken; leg failed: bytes written to the server
	credit   int64         // hello: bytes that may be sent on a fresh leg; resume, resumed, ack: up to which offset may be sent
	total    int64         // finish: the offset of the end; hold: the offset
	listens  bool          // leg failed: a socket still listens on the server's port
	drains   bool          // drain: sessions should leave
	ends     whence.Ends   // open: those of the client's connection, where they are known
	reads    bool          // open: acknowledge what the server has read, not what was written to it; opened: that is done
	text     string        // hello: name; open: pool handle; others: reason
}

// layout is the number of bytes of each type's fixed part, the type included; the text follows.
var layout = [...]int{
	typeHello: 1 + 1 + 2 + 16 + 8 + 4, typeOpen: 1 + 3 + 16 + 8 + 4 + 4, typeOpened: 4, typeRefused: 4,
	typeResume: 1 + 3 + 16 + 4 + 8 + 8, typeResumed: 4 + 8 + 8, typeAck: 4 + 8 + 8, typeFinish: 4 + 8,
	typeReset: 4, typeLegFailed: 4 + 8, typeClosed: 4, typeHold: 4 + 8, typeGiveUp: 4, typeDrain: 4,
}

// append encodes m behind p. Texts are cut at maxText.
func (m *message) append(p []byte) []byte {
	p = append(p, m.typ, byte(m.code), 0, 0)
	if m.listens || m.reads || m.drains {
		p[len(p)-2] = 1
	}
	word := binary.BigEndian.AppendUint64
	switch m.typ {
	case typeHello:
		p[len(p)-3], p[len(p)-2] = m.version, m.oldest
		p = word(append(p, m.instance[:]...), uint64(m.credit))
		p = binary.BigEndian.AppendUint32(p, uint32(m.silence/time.Millisecond))
	case typeOpen:
		p = word(append(p, m.token[:]...), m.session)
		p = binary.BigEndian.AppendUint32(p, m.leg)
		p = binary.BigEndian.AppendUint32(p, uint32(m.hold/time.Millisecond))
		p = m.appendEnds(p)
	case typeResume:
		p = binary.BigEndian.AppendUint32(append(p, m.token[:]...), m.leg)
		p = word(word(p, uint64(m.received)), uint64(m.credit))
	case typeResumed, typeAck:
		p = word(word(p, uint64(m.received)), uint64(m.credit))
	case typeFinish, typeHold:
		p = word(p, uint64(m.total))
	case typeLegFailed:
		p = word(p, uint64(m.received))
	}
	return append(p, m.text[:min(len(m.text), maxText)]...)
}

// appendEnds encodes the ends of an OPEN behind p, which is all that stands before them, and their length in its fourth byte.
func (m *message) appendEnds(p []byte) []byte {
	start := len(p) - layout[typeOpen]
	q := m.ends.Wire(p)
	q[start+3] = byte(len(q) - len(p))
	return q
}

// parse decodes p. Positions that do not fit 63 bits, credits beyond maxCredit in a HELLO, long texts, addresses of no known length and
// unknown types are errors that wrap ErrMessage.
func (m *message) parse(p []byte) error {
	if len(p) == 0 {
		return fmt.Errorf("%w: it is empty", ErrMessage)
	}
	*m = message{typ: p[0]}
	if int(m.typ) >= len(layout) || layout[m.typ] == 0 {
		return fmt.Errorf("%w: type %d is not known", ErrMessage, m.typ)
	}
	fixed := layout[m.typ]
	if m.typ == typeOpen && len(p) >= fixed {
		fixed += int(p[3])
	}
	if len(p) < fixed || len(p) > fixed+maxText {
		return fmt.Errorf("%w: type %d has %d bytes, not %d to %d", ErrMessage, m.typ, len(p), fixed, fixed+maxText)
	}
	if m.typ == typeHello {
		m.version, m.oldest = p[1], p[2]
	} else {
		m.code = Code(p[1])
	}
	m.listens = m.typ == typeLegFailed && p[2] == 1
	m.reads = (m.typ == typeOpen || m.typ == typeOpened) && p[2] == 1
	m.drains = m.typ == typeDrain && p[2] == 1
	m.text = string(p[fixed:])
	f := fields{rest: p[4:fixed]}
	switch m.typ {
	case typeHello:
		m.instance, m.credit = f.token(), f.offset()
		m.silence = time.Duration(f.word()) * time.Millisecond
	case typeOpen:
		m.token, m.session, m.leg = f.token(), f.long(), f.word()
		m.hold = time.Duration(f.word()) * time.Millisecond
		var known bool
		if m.ends, known = whence.FromWire(f.rest); !known {
			return fmt.Errorf("%w: an OPEN has addresses of %d bytes", ErrMessage, len(f.rest))
		}
	case typeResume:
		m.token, m.leg, m.received, m.credit = f.token(), f.word(), f.offset(), f.offset()
	case typeResumed, typeAck:
		m.received, m.credit = f.offset(), f.offset()
	case typeFinish, typeHold:
		m.total = f.offset()
	case typeLegFailed:
		m.received = f.offset()
	}
	if f.bad {
		return fmt.Errorf("%w: type %d has a position that is out of range", ErrMessage, m.typ)
	}
	if m.typ == typeHello && m.credit > maxCredit {
		return fmt.Errorf("%w: a first credit of %d bytes is out of range", ErrMessage, m.credit)
	}
	return nil
}

// terminal reports whether the sender sends nothing more for the leg behind m.
func (m *message) terminal() bool {
	return m.typ == typeRefused || m.typ == typeReset || m.typ == typeLegFailed || m.typ == typeClosed
}

// fields takes big-endian fields off the front of a message whose length has been checked.
type fields struct {
	rest []byte
	bad  bool // an offset did not fit
}

func (f *fields) token() (t Token) {
	f.rest = f.rest[copy(t[:], f.rest):]
	return t
}

func (f *fields) word() uint32 {
	v := binary.BigEndian.Uint32(f.rest)
	f.rest = f.rest[4:]
	return v
}

func (f *fields) long() uint64 {
	v := binary.BigEndian.Uint64(f.rest)
	f.rest = f.rest[8:]
	return v
}

// offset is a long that is a position in a stream: below 2^62, so that sums of two do not overflow.
func (f *fields) offset() int64 {
	v := f.long()
	if v >= 1<<62 {
		f.bad = true
		return 0
	}
	return int64(v)
}

// Package asap turns messages and parameters of the Aggregate Server Access Protocol into structs and back: RFC 5352 §2.2 (the
// messages), RFC 5354 (their format, the parameters and error causes) and RFC 5356 (the parameters of pool policies).
//
// Nothing here does I/O, asks a clock or starts a goroutine. What is parsed is input from outside: it is bounded before
// anything is allocated, what breaks a rule is answered with an error that names the offset and the rule, and nothing panics.
//
// A parsed struct may alias the bytes it was parsed from: handles, cookies, opaque data and the information of error causes are
// slices of them. Copy what is to outlive the buffer.
//
// On the wire a message is
//
//	type u8 | flags u8 | length u16 | plain fields, then parameters | 0-3 bytes of padding
//
// and a parameter, which may hold others,
//
//	type u16 | length u16 | value | 0-3 bytes of padding
//
// all in network byte order. A length counts header and value, and not the padding that fills up to a multiple of four; the
// length of what holds parameters counts the padding between them, and not that after the last (RFC 5354 §3, §4).
package asap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Where ASAP is found.
const (
	PPID = 11   // payload protocol identifier of all ASAP messages over SCTP, and of nothing else (RFC 5352 §5, §8.2)
	Port = 3863 // of a registrar (ENRP server), over SCTP, TCP and, for announcements, UDP (RFC 5352 §8.2)
)

const (
	headerSize = 4             // bytes, of messages, parameters and causes alike
	maxLength  = 1<<16 - 1     // the largest length there is; with padding the wire has up to 65536 bytes
	maxValue   = maxLength - 4 // bytes in one parameter
)

// Why bytes are no message, or a message cannot be written. They are wrapped in errors that say where and which rule.
var (
	ErrTruncated = errors.New("truncated")                    // the bytes end before the message does
	ErrLength    = errors.New("bad length")                   // too short, past what is around it, or not its type's
	ErrValue     = errors.New("bad value")                    // a field has a value that the RFCs exclude
	ErrMissing   = errors.New("missing parameter")            // what the RFCs demand is not there
	ErrMisplaced = errors.New("misplaced parameter")          // a known parameter is there twice, or has no place there
	ErrLimit     = errors.New("over the limit")               // more addresses, transports or causes than are accepted
	ErrTooLong   = errors.New("too long for a 16-bit length") // writing only
	// ErrUnknown: the type of the message or of a parameter is not known, and its two high bits say to discard the message
	// (RFC 5354 §3, §4). Whether that is to be reported is not the error's matter; see Dialect.Parse.
	ErrUnknown = errors.New("unknown type")
)

// Dialect says where a peer's bytes differ from the RFCs'. The zero value is the RFCs.
//
// Some deviations need no saying, for they are read from any peer: lengths that count the padding of the last parameter, a
// PE Identifier in ENDPOINT_KEEP_ALIVE, a policy in BUSINESS_CARD, the option of draft-dreibholz-rserpool-asap-hropt-27.
type Dialect struct {
	// LifeMilliseconds: Registration Life counts milliseconds and is unsigned, but for the infinite 0xffffffff. RFC 5354 §3.10
	// has signed seconds.
	LifeMilliseconds bool
	// PaddedLengths: what is written counts the padding after the last parameter in the length of what holds it.
	PaddedLengths bool
	// TCPUse: the reserved field of a TCP Transport is its Transport Use. RFC 5354 §3.5 has TCP carry data only.
	TCPUse bool
}

// RSPLIB is the dialect of rsplib 3.4.4, the reference implementation.
func RSPLIB() Dialect { return Dialect{LifeMilliseconds: true, PaddedLengths: true, TCPUse: true} }

// Parse reads one message as Dialect.Parse does, in the RFCs' dialect.
func Parse(b []byte) (m Message, report OperationError, err error) { return Dialect{}.Parse(b) }

// Append writes one message as Dialect.Append does, in the RFCs' dialect.
func Append(dst []byte, m Message) ([]byte, error) { return Dialect{}.Append(dst, m) }

// Size says how many bytes the message at the beginning of b takes, padding included, by its header alone: 4 to 65536. It is 0
// while b does not hold the header. Over SCTP a user message is one ASAP message; over TCP this tells where the next one
// begins. Errors wrap ErrLength.
func Size(b []byte) (int, error) {
	if len(b) < headerSize {
		return 0, nil
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length < headerSize {
		return 0, fmt.Errorf("asap: byte 2: %w: message length %d; the header alone has 4 (RFC 5354 §4)", ErrLength, length)
	}
	return padded(length), nil
}

// padded is n rounded up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }

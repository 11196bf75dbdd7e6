package asap

import (
	"encoding/binary"
	"fmt"
)

// Parse reads one message: b is one from its first byte to the last of its padding, as Size delimits it, and nothing more. The
// message is one of this package's structs, not a pointer to one; it may alias b. With an error, which wraps one of the
// package's, there is no message.
//
// What the RFCs want the sender to be told of it is the report: send it back in an ErrorMessage, unless it is nil. There can be
// one beside a message (parameters were skipped), and there is none with most errors. It has at most 16 causes, and may alias
// b. There is never one for an ERROR. Do not answer what came by multicast.
//
// The most that a message makes it allocate is 2 MiB, garbage included, for the 2339 elements that fit in 64 KiB.
func (d Dialect) Parse(b []byte) (m Message, report OperationError, err error) {
	size, err := Size(b)
	switch {
	case err != nil:
		return nil, nil, err
	case size == 0 || size > len(b):
		return nil, nil, fmt.Errorf("asap: byte %d: %w: the message, or its padding, goes on (RFC 5354 §4)", len(b), ErrTruncated)
	case size < len(b):
		return nil, nil, fmt.Errorf("asap: byte %d: %w: %d bytes behind the message", size, ErrLength, len(b)-size)
	}
	kind, length := MessageType(b[0]), int(binary.BigEndian.Uint16(b[2:]))
	r := reader{dialect: d, b: b[:length], silent: kind == TypeError}
	m, err = r.message(kind)
	if err != nil {
		return nil, r.report, fmt.Errorf("asap: %v: %w", kind, err)
	}
	return m, r.report, nil
}

// message reads the message, by its layout.
func (r *reader) message(kind MessageType) (Message, error) {
	if !kind.known() {
		if kind.reported() {
			r.tell(CauseUnrecognizedMessage, r.b)
		}
		return nil, fmt.Errorf("byte 0: %w (RFC 5354 §4)", ErrUnknown)
	}
	l, p, at := &layouts[kind], parts{flag: r.b[1]&flag != 0}, headerSize
	if l.server {
		if len(r.b) < at+4 {
			return nil, fmt.Errorf("byte 2: %w: %d; a Server Identifier needs 8 (RFC 5352 §2.2)", ErrLength, len(r.b))
		}
		p.server = binary.BigEndian.Uint32(r.b[at:])
		at += 4
	}
	if err := r.each(at, len(r.b), func(t tlv) error { return r.part(l, &p, t) }); err != nil {
		return nil, err
	}
	if lack := l.must &^ p.seen; lack != 0 {
		return nil, fmt.Errorf("byte %d: %w (RFC 5352 §2.2)", len(r.b), missing(lack.first()))
	}
	m := l.build(&p)
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("byte %d: %w", headerSize, err)
	}
	return m, nil
}

// part reads a parameter of a message, if it has a place there.
func (r *reader) part(l *layout, p *parts, t tlv) (err error) {
	switch {
	case !(l.must | l.may | l.many).has(t.kind):
		return misplaced(t, "has no place in this message (RFC 5352 §2.2)")
	case p.seen.has(t.kind) && !l.many.has(t.kind):
		return misplaced(t, "is there twice (RFC 5352 §2.2)")
	}
	p.seen |= t.kind.bit()
	switch t.kind {
	case ParameterPoolHandle:
		p.handle, err = r.handle(t)
	case ParameterPEIdentifier:
		var id uint32
		id, err = r.word(t)
		p.pe = PEIdentifier(id)
	case ParameterPolicy:
		var policy Policy
		policy, err = r.policy(t)
		p.policy = &policy
	case ParameterPoolElement:
		var e PoolElement
		e, err = r.element(t)
		p.elements = append(p.elements, e)
	case ParameterSCTPTransport, ParameterTCPTransport:
		err = r.partTransport(p, t)
	case ParameterOperationError:
		p.errors, err = r.causes(t)
	case ParameterCookie:
		p.cookie, err = r.cookie(t)
	case ParameterResolutionOption:
		p.items, err = r.word(t)
	}
	return err
}

func (r *reader) partTransport(p *parts, t tlv) error {
	if len(p.transports) == maxTransports {
		return fmt.Errorf("byte %d: %w: more than %d transports", t.at, ErrLimit, maxTransports)
	}
	transport, err := r.transport(t)
	p.transports = append(p.transports, transport)
	return err
}

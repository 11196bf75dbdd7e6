package asap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxReported is how many parameters of one message are reported to its sender. RFC 5354 §3.12.2 sets no limit; without one, a
// message of headers alone would be answered with twice its size.
const maxReported = 16

// reader takes a message apart. Offsets are those in the message.
type reader struct {
	dialect  Dialect
	b        []byte         // the message without its padding
	silent   bool           // report nothing: the message is an ERROR itself
	report   OperationError // what its sender is to be told
	reported int            // bytes of report on the wire
}

// tlv is where a parameter lies in the message.
type tlv struct {
	kind ParameterType
	at   int // its header
	end  int // of its value, without padding
}

func (r *reader) value(t tlv) []byte { return r.b[t.at+headerSize : t.end : t.end] }

// whole is the parameter with its header, without its padding.
func (r *reader) whole(t tlv) []byte { return r.b[t.at:t.end:t.end] }

// exactly is the value of a parameter that has that many bytes.
func (r *reader) exactly(t tlv, size int) ([]byte, error) {
	v := r.value(t)
	if len(v) != size {
		return nil, badLength(t, "always", headerSize+size)
	}
	return v, nil
}

// atLeast is the value of a parameter that begins with that many bytes of plain fields.
func (r *reader) atLeast(t tlv, size int) ([]byte, error) {
	v := r.value(t)
	if len(v) < size {
		return nil, badLength(t, "at least", headerSize+size)
	}
	return v, nil
}

func badLength(t tlv, how string, size int) error {
	return fmt.Errorf("byte %d: %v: %w: %d; it is %s %d (RFC 5354 §3)", t.at, t.kind, ErrLength, t.end-t.at, how, size)
}

// header reads the header at an offset, of a parameter or a cause, within what ends at end.
func (r *reader) header(at, end int) (tlv, error) {
	if end-at < headerSize {
		return tlv{}, fmt.Errorf("byte %d: %w: %d bytes left, and a header has 4 (RFC 5354 §3)", at, ErrLength, end-at)
	}
	kind, length := ParameterType(binary.BigEndian.Uint16(r.b[at:])), int(binary.BigEndian.Uint16(r.b[at+2:]))
	if length < headerSize || length > end-at {
		return tlv{}, fmt.Errorf("byte %d: %w: %d; here it is 4 to %d (RFC 5354 §3)", at+2, ErrLength, length, end-at)
	}
	return tlv{kind, at, at + length}, nil
}

// each hands the parameters between two offsets to take, in their order, and deals with those that are not known: their two
// high bits say how (RFC 5354 §3).
func (r *reader) each(at, end int, take func(tlv) error) error {
	for at < end {
		t, err := r.header(at, end)
		if err != nil {
			return err
		}
		if t.kind.known() {
			err = take(t)
		} else {
			err = r.unknown(t)
		}
		if err != nil {
			return err
		}
		at += padded(t.end - t.at) // may pass end: the padding of the last is not counted there
	}
	return nil
}

func (r *reader) unknown(t tlv) error {
	if t.kind.reported() {
		r.tell(CauseUnrecognizedParameter, r.whole(t))
	}
	if t.kind.skipped() {
		return nil
	}
	return fmt.Errorf("byte %d: %w: %v; its high bits say to discard the message (RFC 5354 §3)", t.at, ErrUnknown, t.kind)
}

// tell adds a cause to the report, as long as that fits in a message.
func (r *reader) tell(code CauseCode, info []byte) {
	size := headerSize + padded(len(info))
	if r.silent || len(r.report) == maxReported || 2*headerSize+r.reported+size > maxLength {
		return
	}
	r.report, r.reported = append(r.report, Cause{code, info}), r.reported+size
}

// judge checks a parameter that has been read. Bad values are reported with the parameter (RFC 5354 §3.12.4).
func (r *reader) judge(t tlv, p Parameter) error {
	err := p.check(r.dialect)
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrValue) {
		r.tell(CauseInvalidValues, r.whole(t))
	}
	return fmt.Errorf("byte %d: %v: %w", t.at, t.kind, err)
}

// misplaced is the error for a known parameter that should not be where it is.
func misplaced(t tlv, why string) error {
	return fmt.Errorf("byte %d: %w: %v %s", t.at, ErrMisplaced, t.kind, why)
}

// missing is the error for what is not there.
func missing(kind ParameterType) error { return fmt.Errorf("%w: %v", ErrMissing, kind) }

// ParseParameter reads the parameter at the beginning of b, padding included, and says how many bytes it takes. It is for
// parameters outside of ASAP messages: in a cause's information, where the padding may be absent, or in ENRP's messages. An
// unknown type is ErrUnknown, whatever its high bits say. What is returned may alias b. Errors wrap the package's.
func (d Dialect) ParseParameter(b []byte) (p Parameter, n int, err error) {
	if len(b) < headerSize {
		return nil, 0, fmt.Errorf("asap: %w: %d bytes; the header of a parameter has 4 (RFC 5354 §3)", ErrTruncated, len(b))
	}
	r := reader{dialect: d, b: b, silent: true}
	t, err := r.header(0, len(b))
	if err == nil {
		p, err = r.any(t)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("asap: %w", err)
	}
	return p, min(padded(t.end), len(b)), nil
}

// any reads a parameter of whatever type.
func (r *reader) any(t tlv) (Parameter, error) {
	switch t.kind {
	case ParameterIPv4Address, ParameterIPv6Address:
		return r.address(t)
	case ParameterPolicy:
		return r.policy(t)
	case ParameterPoolHandle:
		return r.handle(t)
	case ParameterPoolElement:
		return r.element(t)
	case ParameterServerInformation:
		return r.server(t)
	case ParameterOperationError:
		return r.causes(t)
	case ParameterCookie:
		return r.cookie(t)
	case ParameterPEIdentifier:
		id, err := r.word(t)
		return PEIdentifier(id), err
	case ParameterPEChecksum:
		return r.checksum(t)
	case ParameterResolutionOption:
		items, err := r.word(t)
		return ResolutionOption(items), err
	}
	if transports.has(t.kind) {
		return r.transport(t)
	}
	return nil, fmt.Errorf("byte %d: %w: %v", t.at, ErrUnknown, t.kind)
}

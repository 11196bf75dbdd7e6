package asap

import (
	"encoding/binary"
	"fmt"
)

// PoolHandle is the name of a pool (RFC 5354 §3.9): any bytes, and at least one. rsplib takes up to 32.
type PoolHandle []byte

// PEIdentifier is the number of an element, unique in its pool (RFC 5354 §3.14). rsplib does not accept 0.
type PEIdentifier uint32

// PEChecksum sums up the elements that a registrar owns (RFC 5354 §3.15; it is computed as in RFC 5353 §3.6.2). Only ENRP uses
// it.
type PEChecksum uint16

// Cookie is state of an element that a pool user keeps and shows to the next one (RFC 5354 §3.13): any bytes.
type Cookie []byte

// ResolutionOption is how many elements a pool user asks for (draft-dreibholz-rserpool-asap-hropt-27): 0 leaves it to the
// registrar, 0xffffffff is as many as there can be.
type ResolutionOption uint32

func (PoolHandle) Type() ParameterType       { return ParameterPoolHandle }
func (PEIdentifier) Type() ParameterType     { return ParameterPEIdentifier }
func (PEChecksum) Type() ParameterType       { return ParameterPEChecksum }
func (Cookie) Type() ParameterType           { return ParameterCookie }
func (ResolutionOption) Type() ParameterType { return ParameterResolutionOption }

func (h PoolHandle) check(Dialect) error {
	if len(h) == 0 {
		return fmt.Errorf("%w: it is empty, and a pool has a name (RFC 5354 §3.9)", ErrValue)
	}
	return checkOpaque(h)
}

func (PEIdentifier) check(Dialect) error     { return nil }
func (PEChecksum) check(Dialect) error       { return nil }
func (c Cookie) check(Dialect) error         { return checkOpaque(c) }
func (ResolutionOption) check(Dialect) error { return nil }

// checkOpaque refuses what is too long before it is copied.
func checkOpaque(b []byte) error {
	if len(b) > maxValue {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrTooLong, len(b), maxValue)
	}
	return nil
}

func (h PoolHandle) appendValue(w *writer)       { w.bytes(h) }
func (id PEIdentifier) appendValue(w *writer)    { w.u32(uint32(id)) }
func (c PEChecksum) appendValue(w *writer)       { w.u16(uint16(c)) }
func (c Cookie) appendValue(w *writer)           { w.bytes(c) }
func (o ResolutionOption) appendValue(w *writer) { w.u32(uint32(o)) }

func (r *reader) handle(t tlv) (PoolHandle, error) {
	h := PoolHandle(r.value(t))
	return h, r.judge(t, h)
}

// word reads a parameter whose value is one 32-bit number.
func (r *reader) word(t tlv) (uint32, error) {
	v, err := r.exactly(t, 4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(v), nil
}

func (r *reader) checksum(t tlv) (PEChecksum, error) {
	v, err := r.exactly(t, 2)
	if err != nil {
		return 0, err
	}
	return PEChecksum(binary.BigEndian.Uint16(v)), nil
}

func (r *reader) cookie(t tlv) (Cookie, error) {
	c := Cookie(r.value(t))
	return c, r.judge(t, c)
}

package asap

import (
	"encoding/binary"
	"fmt"
)

// writer appends one message, or one parameter. After the first error it writes on, to no purpose but harmlessly; Append then
// gives back nothing of it.
type writer struct {
	dialect Dialect
	b       []byte
	loose   int // bytes of padding at the end of b, that what holds the last parameter does not count
	err     error
}

func (w *writer) bytes(b []byte) { w.b, w.loose = append(w.b, b...), 0 }
func (w *writer) u16(n uint16)   { w.b, w.loose = binary.BigEndian.AppendUint16(w.b, n), 0 }
func (w *writer) u32(n uint32)   { w.b, w.loose = binary.BigEndian.AppendUint32(w.b, n), 0 }

// open begins a parameter or a cause, and says where. Its length is filled in by close.
func (w *writer) open(kind uint16) (at int) {
	at = len(w.b)
	w.u16(kind)
	w.u16(0)
	return at
}

// close ends what began at an offset: its length is known now, and it is padded.
func (w *writer) close(at int) {
	length := len(w.b) - at
	if !w.dialect.PaddedLengths {
		length -= w.loose
	}
	if length > maxLength && w.err == nil {
		w.err = fmt.Errorf("%w: %d bytes, more than %d (RFC 5354 §3, §4)", ErrTooLong, length, maxLength)
	}
	binary.BigEndian.PutUint16(w.b[at+2:], uint16(length))
	for (len(w.b)-at)%4 != 0 {
		w.b = append(w.b, 0)
	}
	w.loose = len(w.b) - at - length
}

// parameter writes a parameter, if it has nothing wrong in it.
func (w *writer) parameter(p Parameter) {
	if w.err != nil {
		return
	}
	if err := p.check(w.dialect); err != nil {
		w.err = fmt.Errorf("%v: %w", p.Type(), err)
		return
	}
	at := w.open(uint16(p.Type()))
	p.appendValue(w)
	w.close(at)
}

// Append appends a message to dst, padded to a multiple of four bytes, and returns the whole. With an error, which wraps the
// package's, it returns dst as it was: nothing is written that Parse would not take.
func (d Dialect) Append(dst []byte, m Message) ([]byte, error) {
	w := writer{dialect: d, b: dst, err: m.check()}
	var flags uint16
	if m.flagged() {
		flags = flag
	}
	if w.err == nil {
		at := w.open(uint16(m.Type())<<8 | flags)
		m.appendBody(&w)
		w.close(at)
	}
	if w.err != nil {
		return dst, fmt.Errorf("asap: cannot write %v: %w", m.Type(), w.err)
	}
	return w.b, nil
}

// AppendParameter appends a parameter to dst, padded to a multiple of four bytes, and returns the whole. Errors are like
// Append's.
func (d Dialect) AppendParameter(dst []byte, p Parameter) ([]byte, error) {
	w := writer{dialect: d, b: dst}
	w.parameter(p)
	if w.err != nil {
		return dst, fmt.Errorf("asap: cannot write %w", w.err)
	}
	return w.b, nil
}

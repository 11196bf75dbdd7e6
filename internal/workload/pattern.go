package workload

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// How session, number and place share the 64 bits of a unit.
const (
	placeBits  = 18
	numberBits = 22
	lowBits    = 64 - placeBits - numberBits // of the session; the rest of it goes into the salt
)

// Units are 8 bytes, or, where content must be text without control characters, 11 letters of 6 bits.
const (
	bytesUnit = 8
	textUnit  = 11
)

// direction of content.
type direction uint64

const (
	toClient direction = 1
	toServer direction = 2
)

// pattern is the content of one reply, or of one request: unit i of it is mix(session, number, i). mix can be undone, so no unit stands
// anywhere else in the run, and a unit says where it is from.
type pattern struct {
	kind      Kind
	direction direction
	salt      uint64
	base      uint64 // what stands in a unit besides its place
	text      bool
}

func newPattern(kind Kind, d direction, session, number uint64) pattern {
	salt := mix(kind.number()<<56 ^ uint64(d)<<48 ^ session>>lowBits)
	base := session&(1<<lowBits-1)<<(numberBits+placeBits) | number&(1<<numberBits-1)<<placeBits
	return pattern{kind, d, salt, base, kind == Line}
}

func (p pattern) unit() int64 {
	if p.text {
		return textUnit
	}
	return bytesUnit
}

// put writes unit i to dst, which has room for it.
func (p pattern) put(dst []byte, i uint64) {
	z := mix(p.salt ^ (p.base | i))
	if !p.text {
		binary.LittleEndian.PutUint64(dst, z)
		return
	}
	for k := range textUnit {
		dst[k] = '0' + byte(z>>(6*k)&63)
	}
}

// fill writes the content from off on.
func (p pattern) fill(dst []byte, off int64) {
	size := p.unit()
	var one [textUnit]byte
	for len(dst) > 0 {
		i, skip := uint64(off/size), off%size
		if skip == 0 && int64(len(dst)) >= size {
			p.put(dst, i)
			dst, off = dst[size:], off+size
			continue
		}
		p.put(one[:size], i)
		n := copy(dst, one[skip:size])
		dst, off = dst[n:], off+int64(n)
	}
}

// diff returns where got is not the content from off on, or -1.
func (p pattern) diff(got []byte, off int64) int {
	if off < 0 {
		return 0 // there is nothing before the beginning
	}
	var want [1408]byte // of both units a multiple
	for at := 0; at < len(got); at += len(want) {
		part := got[at:min(at+len(want), len(got))]
		p.fill(want[:len(part)], off+int64(at))
		if !bytes.Equal(part, want[:len(part)]) {
			for i := range part {
				if part[i] != want[i] {
					return at + i
				}
			}
		}
	}
	return -1
}

// take reads a unit back; ok is false for text that put cannot have written.
func (p pattern) take(b []byte) (z uint64, ok bool) {
	if !p.text {
		return binary.LittleEndian.Uint64(b), true
	}
	for k := range textUnit {
		v := b[k] - '0'
		if v > 63 || k == textUnit-1 && v > 15 {
			return 0, false
		}
		z |= uint64(v) << (6 * k)
	}
	return z, true
}

// whence says where bytes come from that are not p's: "" if that cannot be found out, which takes some twenty of them, all from one place.
func (p pattern) whence(got []byte) string {
	size := int(p.unit())
	for skip := 0; skip < size && skip+size <= len(got); skip++ {
		z, ok := p.take(got[skip : skip+size])
		if !ok {
			continue
		}
		z = unmix(z) ^ p.salt
		from := pattern{p.kind, p.direction, p.salt, z &^ (1<<placeBits - 1), p.text}
		off := int64(z&(1<<placeBits-1)) * int64(size)
		rest := got[skip:min(len(got), skip+4*size)]
		if len(rest) < size+4 || from.diff(rest, off) >= 0 {
			continue
		}
		if skip > 0 && from.diff(got[:skip], off-int64(skip)) < 0 {
			off -= int64(skip)
		}
		session := z >> (numberBits + placeBits)
		return fmt.Sprintf("byte %d of number %d of session …%06x", off, z>>placeBits&(1<<numberBits-1), session)
	}
	return ""
}

// The finalizer of splitmix64, and its inverse.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func unmix(z uint64) uint64 {
	z = (z ^ z>>31 ^ z>>62) * 0x319642b2d24d8ec3
	z = (z ^ z>>27 ^ z>>54) * 0x96de1b173f119089
	return z ^ z>>30 ^ z>>60
}

package whence

import (
	"bytes"
	"testing"
)

// FuzzWire: addresses of an OPEN have one form each.
func FuzzWire(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1, 10, 0, 0, 5, 0xd4, 0x31, 0, 80})
	f.Add(append(bytes.Repeat([]byte{0x20, 1}, 16), 1, 2, 3, 4))
	f.Add(append(append(make([]byte, 10), 0xff, 0xff, 1, 2, 3, 4), append(make([]byte, 16), 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		e, ok := FromWire(p)
		if again := e.Wire(nil); ok && !bytes.Equal(again, p) {
			t.Fatalf("%x is %v, which is written %x", p, e, again)
		}
	})
}

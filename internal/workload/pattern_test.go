package workload

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMixCanBeUndone(t *testing.T) {
	for range 1000 {
		if z := rand.Uint64(); unmix(mix(z)) != z {
			t.Fatalf("unmix(mix(%#x)) = %#x", z, unmix(mix(z)))
		}
	}
}

// Every byte of content is seen when it is another, and what is cut out of other content is named.
func TestPatternSeesEveryByte(t *testing.T) {
	for _, kind := range Kinds {
		p := newPattern(kind, toClient, 0xabcdef123456, 77)
		whole := make([]byte, 3000)
		p.fill(whole, 0)
		for at := range whole {
			whole[at] ^= 1
			if got := p.diff(whole, 0); got != at {
				t.Fatalf("%s: byte %d is wrong, found at %d", kind, at, got)
			}
			whole[at] ^= 1
		}
		for off := range 100 { // whatever piece is asked for, it is a piece of the same
			piece := make([]byte, 50)
			p.fill(piece, int64(off))
			if string(piece) != string(whole[off:off+50]) || p.diff(piece, int64(off)) >= 0 || p.diff(piece, int64(off)+1) < 0 {
				t.Fatalf("%s: the piece at %d", kind, off)
			}
		}
		other := newPattern(kind, toClient, 0xabcdef123457, 78)
		piece := make([]byte, 60)
		other.fill(piece, 65537)
		if got := p.whence(piece); !strings.HasPrefix(got, "byte 65537 of number 78 of session …123457") {
			t.Errorf("%s: whence says %q", kind, got)
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for _, kind := range []Kind{Line, Length} {
		b.Run(string(kind), func(b *testing.B) {
			p := newPattern(kind, toClient, 1, 1)
			block := make([]byte, 16<<10)
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				p.fill(block, 0)
			}
		})
	}
}

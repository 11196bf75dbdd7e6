package retrieval

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/poolproxy/poolproxy/loop"
)

// TestLogAgainstModel does random things to a Log and to a plain byte slice and compares them.
func TestLogAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		var pool loop.Pool
		var l Log
		var all []byte
		for range 200 {
			switch r.IntN(4) {
			case 0:
				p := randomBytes(r, r.IntN(9000))
				l.Append(&pool, p)
				all = append(all, p...)
			case 1:
				b := pool.Get(loop.LargeBuffer)
				n := 1 + r.IntN(loop.LargeBuffer)
				copy(b.Bytes, randomBytes(r, n))
				all = append(all, b.Bytes[:n]...)
				if !l.Take(&pool, b, n) {
					b.Drop()
				}
			case 2:
				if l.Len() > 0 {
					l.Release(l.Start() + r.Int64N(int64(l.Len())+1))
				}
			case 3:
				if l.Len() > 0 {
					at := l.Start() + r.Int64N(int64(l.Len()))
					p, b := l.At(at, 1+r.IntN(100000))
					if !bytes.Equal(p, all[at:at+int64(len(p))]) || b == nil {
						t.Fatalf("seed %d: wrong bytes at %d", seed, at)
					}
				}
			}
			if l.End() != int64(len(all)) {
				t.Fatalf("seed %d: end %d, want %d", seed, l.End(), len(all))
			}
			if got := l.Copy(nil, l.Start(), l.End()); !bytes.Equal(got, all[l.Start():]) {
				t.Fatalf("seed %d: the log differs from the model", seed)
			}
		}
		l.Clear()
		if l.Len() != 0 || pool.Out() != 0 {
			t.Fatalf("seed %d: %d bytes held and %d bytes of memory out after Clear", seed, l.Len(), pool.Out())
		}
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// TestHeldBytesDoNotChange: what a writer holds stays as it is while the log lets go of it and appends more.
func TestHeldBytesDoNotChange(t *testing.T) {
	var pool loop.Pool
	var l Log
	l.Append(&pool, []byte("first"))
	p, b := l.At(0, 5)
	b.Hold()
	l.Append(&pool, []byte(" second"))
	l.Clear()
	for range 10 {
		l.Append(&pool, []byte("something else"))
	}
	if string(p) != "first" {
		t.Fatalf("held bytes became %q", p)
	}
	b.Drop()
	l.Clear()
	if pool.Out() != 0 {
		t.Fatalf("%d bytes of memory out", pool.Out())
	}
}

func TestOffsetsOutsideTheLogPanic(t *testing.T) {
	var pool loop.Pool
	for name, f := range map[string]func(l *Log){
		"read before start":  func(l *Log) { l.Release(2); l.At(1, 1) },
		"read at end":        func(l *Log) { l.At(5, 1) },
		"release beyond end": func(l *Log) { l.Release(6) },
	} {
		t.Run(name, func(t *testing.T) {
			var l Log
			l.Append(&pool, []byte("12345"))
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			f(&l)
		})
	}
}

func TestStoreRetrieves(t *testing.T) {
	var pool loop.Pool
	var s Store[string]
	add := func(text string, end bool) *Message[string] {
		s.Append(&pool, []byte(text))
		return s.Mark(len(text), text, end)
	}
	one := add("one\n", true)
	two := add("two\n", true)
	add("thr", false)
	three := add("ee\n", true)
	four := add("fo", false)
	if three.Start != 8 || three.End != 14 || four.Complete() {
		t.Fatalf("three is [%d,%d), four complete: %v", three.Start, three.End, four.Complete())
	}
	starts := func(seq func(func(*Message[string]) bool)) (at []int64) {
		for m := range seq {
			at = append(at, m.Start)
		}
		return at
	}
	if got := starts(s.Unacknowledged(9)); !slices.Equal(got, []int64{0, 4, 8}) {
		t.Errorf("unacknowledged with 9 bytes sent: %v", got)
	}
	if got := starts(s.Unsent(9)); !slices.Equal(got, []int64{14}) {
		t.Errorf("unsent with 9 bytes sent: %v", got)
	}
	two.Released = true
	if got := s.Trim(); got != 0 {
		t.Errorf("needed from %d while the first is not released", got)
	}
	if got := starts(s.Kept()); !slices.Equal(got, []int64{0, 8, 14}) {
		t.Errorf("kept: %v", got)
	}
	one.Released = true
	if got := s.Trim(); got != 8 || s.Messages() != 2 || s.First() != three {
		t.Errorf("needed from %d, %d messages", got, s.Messages())
	}
	for offset, want := range map[int64]bool{8: false, 14: true, 16: false} {
		if s.EndsAt(offset) != want {
			t.Errorf("EndsAt(%d) is %v", offset, !want)
		}
	}
	three.Released, four.Released = true, true
	if got := s.Trim(); got != 14 {
		t.Errorf("an open message was forgotten: needed from %d", got)
	}
	add("ur\n", true)
	if got := s.Trim(); got != 19 || s.First() != nil {
		t.Errorf("needed from %d of 19", got)
	}
	s.Clear()
	if pool.Out() != 0 {
		t.Fatalf("%d bytes of memory out", pool.Out())
	}
}

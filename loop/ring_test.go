package loop

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Random fills and takes agree with a plain slice.
func TestRingAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	r := ring{bytes: make([]byte, 16)}
	var model []byte
	var next byte
	piece := func() []byte {
		p := make([]byte, rng.IntN(20))
		for i := range p {
			p[i] = next + byte(i)
		}
		return p
	}
	for range 20_000 {
		var n int
		switch p := piece(); rng.IntN(4) {
		case 0:
			n = r.write(p)
			model = append(model, p[:n]...)
			next += byte(n)
			if n < len(p) && len(model) < 16 {
				t.Fatalf("took %d of %d bytes with %d held", n, len(p), len(model))
			}
		case 1:
			n = copy(r.room(), p)
			model = append(model, p[:n]...)
			next += byte(n)
			r.fill(n)
		case 2:
			n = r.read(p)
			if want := min(len(p), len(model)); n != want || !bytes.Equal(p[:n], model[:n]) {
				t.Fatalf("read %v, want %v", p[:n], model[:want])
			}
			model = model[n:]
		case 3:
			held := r.held()
			if !bytes.HasPrefix(model, held) || len(held) == 0 && len(model) > 0 {
				t.Fatalf("held %v, want the beginning of %v", held, model)
			}
			n = rng.IntN(len(held) + 1)
			r.take(n)
			model = model[n:]
		}
		if r.size != len(model) {
			t.Fatalf("%d bytes held, want %d", r.size, len(model))
		}
	}
}

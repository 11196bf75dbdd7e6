package protocol

import "github.com/cespare/xxhash/v2"

const (
	markSpacing = 16 << 10 // first distance of checkpoints, in bytes
	markCount   = 64       // most checkpoints kept; even
)

// Prefix is a running hash of bytes that went to the client, with checkpoints on the way: a repeated reply is compared with
// them as it comes, so that a difference is noticed soon after it, not at the end. Of bytes it keeps nothing. The zero value is
// an empty prefix.
type Prefix struct {
	digest  xxhash.Digest
	bytes   int64
	spacing int64 // distance of checkpoints; 0 while nothing was added
	marks   []uint64
}

// Checkpoints are the hashes on the way to a Delivered's Sum, and its Detail where a protocol has no other. Once made they are never
// changed.
type Checkpoints struct {
	Spacing int64    // bytes between two of them
	Sums    []uint64 // Sums[i] is the xxhash64 of the first (i+1)*Spacing bytes
}

// Add counts and hashes p, which follows what was added before. It keeps no reference to p.
func (x *Prefix) Add(p []byte) {
	if len(p) == 0 {
		return
	}
	if x.spacing == 0 {
		x.digest.Reset()
		x.spacing = markSpacing
	}
	for {
		room := x.spacing - x.bytes%x.spacing
		if int64(len(p)) < room {
			break
		}
		x.write(p[:room])
		x.mark()
		p = p[room:]
	}
	x.write(p)
}

func (x *Prefix) write(p []byte) {
	_, _ = x.digest.Write(p) // never fails
	x.bytes += int64(len(p))
}

// mark notes a checkpoint. When there are too many, every second one goes, and the distance doubles.
func (x *Prefix) mark() {
	x.marks = append(x.marks, x.digest.Sum64())
	if len(x.marks) < markCount {
		return
	}
	for i := range markCount / 2 {
		x.marks[i] = x.marks[2*i+1]
	}
	x.marks = x.marks[:markCount/2]
	x.spacing *= 2
}

// Bytes is how many bytes were added since the last Reset.
func (x *Prefix) Bytes() int64 { return x.bytes }

// Reset begins anew.
func (x *Prefix) Reset() {
	x.bytes, x.spacing, x.marks = 0, 0, nil
}

// Delivered describes what was added; its Detail is a *Checkpoints, nil if there are none yet.
func (x *Prefix) Delivered() Delivered {
	d := Delivered{Bytes: x.bytes, Sum: x.sum()}
	if len(x.marks) > 0 {
		d.Detail = &Checkpoints{Spacing: x.spacing, Sums: append([]uint64(nil), x.marks...)}
	}
	return d
}

func (x *Prefix) sum() uint64 {
	if x.spacing == 0 {
		return xxhash.Sum64(nil)
	}
	return x.digest.Sum64()
}

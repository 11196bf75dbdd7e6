package protocol

import "fmt"

// History is the running hash of all reply bytes of a session, for replay = "session": there a new server repeats everything that the
// client ever had, and all of it is compared. The zero value is the history of a new session.
type History struct {
	prefix Prefix
}

// Add notes p, which has been passed to the client. It keeps no reference to p.
func (h *History) Add(p []byte) { h.prefix.Add(p) }

// Bytes is how many bytes the client has.
func (h *History) Bytes() int64 { return h.prefix.Bytes() }

// Verify returns the Verifier for the bytes of a new leg. What it passes is to be added to the history like any other byte.
// When a leg ends before its Verifier is done, the next leg gets a new one.
func (h *History) Verify() *Verifier { return NewVerifier(h.prefix.Delivered()) }

// Verifier compares the beginning of a stream with what the client already has, and drops it. Nothing gets past it before
// the whole of that is verified, and nothing at all after a difference.
type Verifier struct {
	want   Delivered
	points Checkpoints
	seen   Prefix // what was compared
	sure   int64  // so many bytes are known to be the same
	err    error  // the difference; stays
}

// NewVerifier returns a Verifier for d. If d.Detail is a *Checkpoints, it is used to notice a difference early.
func NewVerifier(d Delivered) *Verifier {
	v := &Verifier{want: d}
	if points, ok := d.Detail.(*Checkpoints); ok && points != nil && points.Spacing > 0 {
		v.points = *points
	}
	return v
}

// Next looks at the bytes behind those of the last call. It deals with all of them (n is len(p)); out is the part of p that is new to
// the client. The error wraps ErrMismatch, and says between which offsets the difference is; then out is nil, and every later
// call returns the same error.
func (v *Verifier) Next(p []byte) (n int, out []byte, err error) {
	if v.err != nil {
		return 0, nil, v.err
	}
	n = len(p)
	for v.Remaining() > 0 && len(p) > 0 {
		next, sum := v.checkpoint()
		part := p[:min(int64(len(p)), next-v.seen.bytes)]
		v.seen.Add(part)
		p = p[len(part):]
		if v.seen.bytes < next {
			continue
		}
		if v.seen.sum() != sum {
			v.err = fmt.Errorf("%w: between byte %d and byte %d of the %d that the client already has",
				ErrMismatch, v.sure, next, v.want.Bytes)
			return 0, nil, v.err
		}
		v.sure = next
	}
	return n, p, nil
}

// checkpoint is the next offset at which the hash is known, and the hash. Both sides may keep their checkpoints at different
// distances.
func (v *Verifier) checkpoint() (int64, uint64) {
	if v.points.Spacing > 0 {
		i := v.seen.bytes / v.points.Spacing
		if at := (i + 1) * v.points.Spacing; i < int64(len(v.points.Sums)) && at < v.want.Bytes {
			return at, v.points.Sums[i]
		}
	}
	return v.want.Bytes, v.want.Sum
}

// Compared is how many bytes were compared and dropped so far.
func (v *Verifier) Compared() int64 { return v.seen.bytes }

// Remaining is how many bytes must still be compared before anything gets past. After a difference it never becomes 0.
func (v *Verifier) Remaining() int64 {
	if v.err != nil {
		return max(v.want.Bytes-v.sure, 1)
	}
	return v.want.Bytes - v.seen.bytes
}

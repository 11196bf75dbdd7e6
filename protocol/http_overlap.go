package protocol

// overlap is how many bytes before the cut another server is asked for once more with Range, to compare them. Its validator says
// that it has the same representation, but servers are known to make equal ones for different files (nginx: of size and time).
const overlap = 4 << 10

// httpDecoded is what the client has of a body, without chunk framing: hashed, and the last bytes of it where they may be compared
// behind a Range.
type httpDecoded struct {
	Prefix
	keeps bool   // last is kept
	last  []byte // a ring of at most overlap bytes; it grows to that only with the body
	at    int    // where the ring begins; 0 until it is full
}

// Add follows what was added before. It keeps no reference to p, and copies no more than overlap bytes of it.
func (d *httpDecoded) Add(p []byte) {
	d.Prefix.Add(p)
	if !d.keeps {
		return
	}
	p = p[max(0, len(p)-overlap):]
	n := min(len(p), overlap-len(d.last))
	d.last = append(d.last, p[:n]...)
	for p = p[n:]; len(p) > 0; p = p[n:] {
		n = copy(d.last[d.at:], p)
		d.at = (d.at + n) % overlap
	}
}

// Reset begins anew. The ring's memory stays for the next reply.
func (d *httpDecoded) Reset() {
	d.Prefix.Reset()
	d.last, d.at, d.keeps = d.last[:0], 0, false
}

// tail describes the bytes that are kept, as if they were all.
func (d *httpDecoded) tail() Delivered {
	var x Prefix
	x.Add(d.last[d.at:])
	x.Add(d.last[:d.at])
	return x.Delivered()
}

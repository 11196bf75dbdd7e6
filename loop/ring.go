package loop

// ring is a queue of bytes of fixed size for one that fills and one that takes. Neither copies under a lock: the filler writes to
// room(), the taker reads from held(), and only fill and take move the borders between the two.
type ring struct {
	bytes []byte
	first int // where the oldest byte is
	size  int // bytes held
}

// room is the free space that follows what is held, up to the end of the block; empty only if the ring is full.
func (r *ring) room() []byte {
	if r.size == len(r.bytes) {
		return nil
	}
	last := r.first + r.size
	if last >= len(r.bytes) {
		last -= len(r.bytes)
		return r.bytes[last:r.first]
	}
	return r.bytes[last:]
}

// fill says that n bytes of room hold something now.
func (r *ring) fill(n int) { r.size += n }

// held is the oldest bytes, up to the end of the block; empty only if the ring is.
func (r *ring) held() []byte {
	return r.bytes[r.first:min(r.first+r.size, len(r.bytes))]
}

// take says that n bytes of held are done with.
func (r *ring) take(n int) {
	r.first += n
	r.size -= n
	if r.first >= len(r.bytes) {
		r.first -= len(r.bytes)
	}
}

// read moves as much as there is to p.
func (r *ring) read(p []byte) int {
	total := 0
	for r.size > 0 && total < len(p) {
		n := copy(p[total:], r.held())
		r.take(n)
		total += n
	}
	return total
}

// write moves as much of p as there is room for.
func (r *ring) write(p []byte) int {
	total := 0
	for total < len(p) && r.size < len(r.bytes) {
		n := copy(r.room(), p[total:])
		r.fill(n)
		total += n
	}
	return total
}

package session

// control is the stream of an association for what concerns the association as a whole.
const control uint16 = 0

// table finds what lives on each stream of an association. The zero value is empty.
type table[T any] struct {
	at   []*T
	free []uint16 // streams that were in use and are not any more
	live int
}

// get returns what lives on the stream, nil if nothing does.
func (t *table[T]) get(stream uint16) *T {
	if int(stream) >= len(t.at) {
		return nil
	}
	return t.at[stream]
}

// set puts x on the stream, which was chosen by the peer.
func (t *table[T]) set(stream uint16, x *T) {
	for int(stream) >= len(t.at) {
		t.at = append(t.at, nil)
	}
	t.at[stream] = x
	t.live++
}

// add puts x on a stream of its own choice; ok is false when all are in use.
func (t *table[T]) add(x *T) (stream uint16, ok bool) {
	if last := len(t.free) - 1; last >= 0 {
		stream, t.free = t.free[last], t.free[:last]
		t.set(stream, x)
		return stream, true
	}
	next := max(len(t.at), int(control)+1)
	if next > 0xffff {
		return 0, false
	}
	t.set(uint16(next), x)
	return uint16(next), true
}

// remove frees the stream. Only streams that add chose are kept for reuse.
func (t *table[T]) remove(stream uint16, reuse bool) {
	if t.get(stream) == nil {
		return
	}
	t.at[stream] = nil
	t.live--
	if reuse {
		t.free = append(t.free, stream)
	}
}

// all calls f for everything in the table, in the order of streams. f may remove what it is given.
func (t *table[T]) all(f func(*T)) {
	for _, x := range t.at {
		if x != nil {
			f(x)
		}
	}
}

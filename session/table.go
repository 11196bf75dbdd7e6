package session

// control is the stream of an association for what concerns the association as a whole.
const control uint16 = 0

// pageBits is how many streams share a page of a table, as a power of two.
const pageBits = 8

// page is a part of a table.
type page[T any] [1 << pageBits]*T

// table finds what lives on each stream of an association. Its memory grows with the streams in use, a page at a time, not with
// their numbers, which a peer may choose. The zero value is empty.
type table[T any] struct {
	pages [1 << (16 - pageBits)]*page[T]
	most  int      // streams that add may give away end before it; 0: there are all that have a number
	next  int      // the least stream that add has never given away; 0: none yet
	free  []uint16 // streams that add gave away and that are not in use any more
	live  int
}

// get returns what lives on the stream, nil if nothing does.
func (t *table[T]) get(stream uint16) *T {
	p := t.pages[stream>>pageBits]
	if p == nil {
		return nil
	}
	return p[stream&(1<<pageBits-1)]
}

// set puts x on the stream, which was chosen by the peer.
func (t *table[T]) set(stream uint16, x *T) {
	p := &t.pages[stream>>pageBits]
	if *p == nil {
		*p = new(page[T])
	}
	(*p)[stream&(1<<pageBits-1)] = x
	t.live++
}

// add puts x on a stream of its own choice; ok is false when all are in use.
func (t *table[T]) add(x *T) (stream uint16, ok bool) {
	if last := len(t.free) - 1; last >= 0 {
		stream, t.free = t.free[last], t.free[:last]
		t.set(stream, x)
		return stream, true
	}
	next := max(t.next, int(control)+1)
	if next > 0xffff || t.most > 0 && next >= t.most {
		return 0, false
	}
	t.next = next + 1
	t.set(uint16(next), x)
	return uint16(next), true
}

// replace puts x on a stream on which something lives, in place of that.
func (t *table[T]) replace(stream uint16, x *T) {
	t.pages[stream>>pageBits][stream&(1<<pageBits-1)] = x
}

// remove frees the stream. Only streams that add chose are kept for reuse.
func (t *table[T]) remove(stream uint16, reuse bool) {
	if t.get(stream) == nil {
		return
	}
	t.pages[stream>>pageBits][stream&(1<<pageBits-1)] = nil
	t.live--
	if reuse {
		t.free = append(t.free, stream)
	}
}

// all calls f for everything in the table, in the order of streams. f may remove what it is given.
func (t *table[T]) all(f func(*T)) {
	for _, p := range t.pages {
		if p == nil {
			continue
		}
		for _, x := range p {
			if x != nil {
				f(x)
			}
		}
	}
}

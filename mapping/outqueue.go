package mapping

import "github.com/poolproxy/poolproxy/loop"

// outQueue is the bytes that are to be written, in order: small things copied one behind the other into blocks of our own, large
// ones left where they are and held. While it is empty it keeps no memory but its list of segments.
type outQueue struct {
	pool     *loop.Pool
	segments []segment
	first    int          // the segments before it have been written
	block    *loop.Buffer // where small things are copied to; held
	used     int          // bytes of block
	size     int          // bytes that are left to write
	taken    uint64       // bytes that were ever written: a position in the stream
}

// segment is a stretch of bytes to write, and the Buffer that they lie in, which it holds.
type segment struct {
	bytes []byte
	from  *loop.Buffer
	pages int  // how many bytes there are, while they lie in a pipe; then bytes is nil
	own   bool // the pipe is ours: bytes may be taken out of it
}

// end is the position behind the last queued byte.
func (q *outQueue) end() uint64 { return q.taken + uint64(q.size) }

// copy appends a copy of p.
func (q *outQueue) copy(p []byte) {
	for len(p) > 0 {
		if q.block == nil || q.used == len(q.block.Bytes) {
			q.newBlock(len(p))
		}
		n := copy(q.block.Bytes[q.used:], p)
		q.extend(n)
		p = p[n:]
	}
}

// room is where the next n bytes may be put before extend queues them, empty; nil: they do not fit in one piece.
func (q *outQueue) room(n int) []byte {
	if q.block == nil && n <= loop.SmallBuffer {
		q.newBlock(n)
	}
	if q.block == nil || len(q.block.Bytes)-q.used < n {
		return nil
	}
	return q.block.Bytes[q.used:q.used]
}

// newBlock begins a small block, or a large one if a small one would not do for long.
func (q *outQueue) newBlock(need int) {
	size := loop.SmallBuffer
	if need > size || q.block != nil {
		size = loop.LargeBuffer
	}
	if q.block != nil {
		q.block.Drop()
	}
	q.block, q.used = q.pool.Get(size), 0
}

// extend queues the next n bytes of the block.
func (q *outQueue) extend(n int) {
	from, to := q.used, q.used+n
	q.used = to
	q.size += n
	if last := len(q.segments) - 1; last >= q.first && q.segments[last].from == q.block {
		s := &q.segments[last]
		s.bytes = s.bytes[:len(s.bytes)+n]
		return
	}
	q.block.Hold()
	q.push(segment{bytes: q.block.Bytes[from:to], from: q.block})
}

// refer appends p, which lies in from, without copying it.
func (q *outQueue) refer(p []byte, from *loop.Buffer) {
	from.Hold()
	q.push(segment{bytes: p, from: from})
	q.size += len(p)
}

// gather fills bufs with what is to be written next, up to where the bytes lie in a pipe, and returns the filled part.
func (q *outQueue) gather(bufs [][]byte) [][]byte {
	n := 0
	for i := q.first; i < len(q.segments) && n < len(bufs) && q.segments[i].pages == 0; i++ {
		bufs[n] = q.segments[i].bytes
		n++
	}
	return bufs[:n]
}

// wrote takes the first n bytes away.
func (q *outQueue) wrote(n int) {
	q.size -= n
	q.taken += uint64(n)
	for q.first < len(q.segments) {
		s := &q.segments[q.first]
		if n < s.len() {
			s.cut(n)
			break
		}
		n -= s.len()
		s.from.Drop()
		*s = segment{}
		q.first++
	}
	if q.first == len(q.segments) {
		q.segments, q.first = q.segments[:0], 0
		q.dropBlock()
	}
}

// release drops everything that is queued; taken stays.
func (q *outQueue) release() {
	for _, s := range q.segments[q.first:] {
		s.from.Drop()
	}
	q.segments, q.first, q.size = nil, 0, 0
	q.dropBlock()
}

func (q *outQueue) dropBlock() {
	if q.block != nil {
		q.block.Drop()
		q.block = nil
	}
}

// shrink gives back the list of segments after a burst. It is for quiet moments.
func (q *outQueue) shrink() {
	if len(q.segments) == 0 && cap(q.segments) > 16 {
		q.segments = nil
	}
}

// push appends a segment, reusing the room of those that were written if that is most of the list.
func (q *outQueue) push(s segment) {
	if len(q.segments) == cap(q.segments) && q.first > len(q.segments)/2 {
		n := copy(q.segments, q.segments[q.first:])
		clear(q.segments[n:])
		q.segments, q.first = q.segments[:n], 0
	}
	q.segments = append(q.segments, s)
}

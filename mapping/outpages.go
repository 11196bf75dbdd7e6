package mapping

import "github.com/poolproxy/poolproxy/loop"

// len is how many bytes of the segment are left.
func (s *segment) len() int { return len(s.bytes) + s.pages }

// cut takes the first n bytes away, fewer than there are. Of a pipe they were taken out.
func (s *segment) cut(n int) {
	if s.pages > 0 {
		s.pages -= n
		return
	}
	s.bytes = s.bytes[n:]
}

// pages appends the n bytes that a piped Buffer holds.
func (q *outQueue) pages(n int, from *loop.Buffer) {
	from.Hold()
	q.push(segment{from: from, pages: n})
	q.size += n
}

// next returns the segment behind the first n ones, nil if there is none.
func (q *outQueue) next(n int) *segment {
	if q.first+n >= len(q.segments) {
		return nil
	}
	return &q.segments[q.first+n]
}

// take makes the pipe of the segment one that bytes may be taken out of: whoever else holds the Buffer, to retain it, keeps his.
// Where that is not possible, or the bytes were copied to memory meanwhile, they are written from there, and it reports false.
func (s *segment) take() bool {
	if !s.own && s.from.Piped() && s.from.Shared() {
		if second := s.from.Tee(); second != nil {
			s.from.Drop()
			s.from = second
		} else {
			s.from.Load()
		}
	}
	if s.from.Piped() {
		s.own = true
		return true
	}
	s.load()
	return false
}

// load has the rest written from memory.
func (s *segment) load() {
	s.from.Load()
	_, to := s.from.Extent()
	s.bytes, s.pages = s.from.Bytes[to-s.pages:to], 0
}

package mapping

// streamNumbers are the next sequence numbers of 65536 streams, all 0 at first. Memory is taken a page of streams at a time, so
// that a single message on a high stream does not cost more than a few hundred bytes and a few pages of pointers.
type streamNumbers struct {
	pages []*[256]uint16
}

// next returns the stream's number and moves on.
func (s *streamNumbers) next(stream uint16) uint16 {
	p := s.page(stream)
	n := p[stream&0xff]
	p[stream&0xff]++
	return n
}

func (s *streamNumbers) page(stream uint16) *[256]uint16 {
	i := int(stream >> 8)
	if i >= len(s.pages) {
		s.pages = append(s.pages, make([]*[256]uint16, i+1-len(s.pages))...)
	}
	if s.pages[i] == nil {
		s.pages[i] = new([256]uint16)
	}
	return s.pages[i]
}

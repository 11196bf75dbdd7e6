package session

// toEnd is the end of a span that goes on with whatever the client still sends.
const toEnd int64 = -1

// span is a run of a leg's bytes: a part of the session's log, or bytes of our own in place of it. The spans of a leg, one
// after another, are what the leg sends; the last one is always open.
type span struct {
	leg      int64  // the offset in the leg at which it begins
	from, to int64  // its part of the log; to is toEnd for the open one
	own      []byte // sent in place of that part; nil: the part itself
}

// size is the number of bytes; of the open span it is not known and toEnd.
func (s *span) size() int64 {
	switch {
	case s.own != nil:
		return int64(len(s.own))
	case s.to == toEnd:
		return toEnd
	}
	return s.to - s.from
}

// spans are the spans of a leg.
type spans []span

// everything is what the first leg of a session sends. No span of it is ever changed: the open one is the last.
var everything = spans{{to: toEnd}}

// add appends the part [from, to) of the log, or own in place of it.
func (ss spans) add(from, to int64, own []byte) spans {
	at := int64(0)
	if len(ss) > 0 {
		last := &ss[len(ss)-1]
		if own == nil && last.own == nil && last.to == from {
			last.to = to
			return ss
		}
		at = last.leg + last.size()
	}
	return append(ss, span{leg: at, from: from, to: to, own: own})
}

// without returns the spans without the part [from, to) of the log. Nothing of that, or behind it, may have been sent.
func (ss spans) without(from, to int64) spans {
	out := make(spans, 0, len(ss)+1)
	for i := range ss {
		s := &ss[i]
		switch {
		case s.to != toEnd && s.to <= from || s.from >= to:
			out = out.add(s.from, s.to, s.own)
		case s.own != nil: // it stands for that part
		default:
			if s.from < from {
				out = out.add(s.from, from, nil)
			}
			if s.to == toEnd || s.to > to {
				out = out.add(to, s.to, nil)
			}
		}
	}
	return out
}

// at returns the span that holds offset, which is at or behind the leg's beginning.
func (ss spans) at(offset int64) *span {
	i := len(ss) - 1
	for i > 0 && ss[i].leg > offset {
		i--
	}
	return &ss[i]
}

// legOffset translates the end of a message, an offset in the log, into an offset of the leg; ok is false when the message is not
// sent on this leg.
func (ss spans) legOffset(end int64) (offset int64, ok bool) {
	for i := range ss {
		s := &ss[i]
		if end <= s.from || (s.to != toEnd && end > s.to) {
			continue
		}
		if s.own != nil {
			return s.leg + int64(len(s.own)), true
		}
		return s.leg + end - s.from, true
	}
	return 0, false
}

// logOffset is the offset in the log before which every byte that the leg needs lies within its first offset bytes.
func (ss spans) logOffset(offset int64) int64 {
	s := ss.at(offset)
	if s.own != nil {
		return s.from
	}
	return s.from + offset - s.leg
}

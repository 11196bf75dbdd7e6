package protocol

import (
	"bytes"
	"fmt"
	"math"
)

// lengthSplitter finds the ends of messages by their length field. Of a message it keeps no more than what is to be looked at, and
// that only while a piece ends within it.
type lengthSplitter struct {
	length *length
	look   int // bytes from the beginning that are looked at, at least length.need
	whole  int // messages of at most so many bytes are looked at from end to end

	at    int64  // where in the stream the current message begins
	seen  int64  // bytes of it so far
	total int64  // its length; 0: not known yet
	known bool   // all that is looked at has been seen
	kept  []byte // its first bytes, while known is not set
}

// next takes bytes of the current message off p. If head is not nil, these are the message's first bytes (look of them, or all of
// it), handed out once for every message.
func (s *lengthSplitter) next(p []byte) (n int, end bool, head []byte, err error) {
	if !s.known {
		if head, err = s.begin(p); err != nil {
			return 0, false, nil, err
		}
	}
	n = len(p)
	if s.total > 0 {
		n = int(min(int64(n), s.total-s.seen))
	}
	s.seen += int64(n)
	return n, s.total > 0 && s.seen == s.total, head, nil
}

// begin looks at the message's first bytes, of which p brings more. They are returned when they are complete.
func (s *lengthSplitter) begin(p []byte) ([]byte, error) {
	fresh := s.seen == 0
	view := p
	if !fresh {
		p = s.keep(p, s.length.need)
		view = s.kept
	}
	if s.total == 0 && len(view) >= s.length.need {
		total, err := s.length.total(view)
		if err != nil {
			return nil, fmt.Errorf("%w (message at byte %d of its stream)", err, s.at)
		}
		s.total = total
	}
	want := s.want()
	if !fresh {
		s.keep(p, want)
		view = s.kept
	}
	if s.total > 0 && len(view) >= want {
		s.known, s.kept = true, nil
		return view[:want], nil
	}
	if fresh {
		s.keep(p, want)
	}
	return nil, nil
}

// want is how many bytes of the message are looked at, as far as is known.
func (s *lengthSplitter) want() int {
	if s.total > 0 && s.total <= int64(max(s.look, s.whole)) {
		return int(s.total)
	}
	return s.look
}

// keep adds bytes of p to what is kept, up to most, and returns the others.
func (s *lengthSplitter) keep(p []byte, most int) []byte {
	n := max(0, min(len(p), most-len(s.kept)))
	s.kept = append(s.kept, p[:n]...)
	return p[n:]
}

// done begins the next message.
func (s *lengthSplitter) done() {
	s.at += s.total
	s.seen, s.total, s.known = 0, 0, false
}

// total reads a message's length from its first need bytes. It is at least the header and at most MaxMessage.
func (l *length) total(head []byte) (int64, error) {
	value := l.value(head[l.Offset:l.need])
	fixed := int64(l.Adjust)
	if l.Counts == CountsPayload {
		fixed += int64(l.HeaderSize)
	}
	if value > math.MaxInt64/2 || int64(value)+fixed > l.MaxMessage { // fixed is small: no overflow
		return 0, fmt.Errorf("%w: the length field says %d, a message may have at most %d bytes (max_message)",
			ErrMalformed, value, l.MaxMessage)
	}
	total := int64(value) + fixed
	if total < int64(l.HeaderSize) {
		return 0, fmt.Errorf("%w: the length field says %d, which makes a message of %d bytes, less than its header of %d",
			ErrMalformed, value, total, l.HeaderSize)
	}
	return total, nil
}

// value reads the length field.
func (l *length) value(field []byte) uint64 {
	var v uint64
	for i := range field {
		b := field[i]
		if l.LittleEndian {
			b = field[len(field)-1-i]
		}
		v = v<<8 | uint64(b)
	}
	return v
}

// safe looks for the patterns in a message's first bytes.
func (l *length) safe(head []byte) bool {
	for _, s := range l.Safe {
		if len(head) >= s.Offset && bytes.HasPrefix(head[s.Offset:], s.Bytes) {
			return true
		}
	}
	return false
}

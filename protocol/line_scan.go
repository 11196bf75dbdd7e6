package protocol

import "bytes"

// lineScanner finds the ends of lines in pieces of any size. Between calls it keeps the beginning of an unfinished line if it is to
// be matched, and of any line just as many bytes as a divided delimiter needs.
type lineScanner struct {
	delimiter []byte
	most      int  // the longest line that is handed out, with its delimiter
	keep      bool // lines will be matched; else none is handed out

	seen  int64  // bytes of the current line so far
	kept  []byte // the current line so far; nil if it is too long, or keep is not set
	tail  [mostDelimiter - 1]byte
	nTail int // the last bytes of the line so far are tail[:nTail]
}

// next takes the bytes up to the end of the current line off p, or all of it. If end is set, size is the length of the whole
// line and text is the line without delimiter and carriage return; it is a part of p, or valid until the next call. ok is false
// for lines that are too long, and when lines are not kept.
func (s *lineScanner) next(p []byte) (n int, end bool, size int64, text []byte, ok bool) {
	n = s.find(p)
	if end = n > 0; !end {
		n = len(p)
	}
	fresh := s.seen == 0
	s.seen += int64(n)
	size = s.seen
	if !end {
		s.remember(p)
		return n, false, size, nil, false
	}
	if s.keep && size <= int64(s.most) {
		if text = p[:n]; !fresh {
			text = append(s.kept, text...)
		}
		text, ok = s.trim(text), true
	}
	s.seen, s.nTail, s.kept = 0, 0, nil
	return n, true, size, text, ok
}

// find returns the number of bytes of p up to and with the first delimiter, 0 if the line does not end in p.
func (s *lineScanner) find(p []byte) int {
	if s.nTail > 0 { // a delimiter that began in an earlier piece comes before any that is all in p
		var seam [2 * (mostDelimiter - 1)]byte
		n := copy(seam[:], s.tail[:s.nTail])
		n += copy(seam[n:], p[:min(len(p), len(s.delimiter)-1)])
		if i := bytes.Index(seam[:n], s.delimiter); i >= 0 {
			return i + len(s.delimiter) - s.nTail
		}
	}
	if i := bytes.Index(p, s.delimiter); i >= 0 {
		return i + len(s.delimiter)
	}
	return 0
}

// remember keeps what the rest of the line will need; p is all of its line's bytes since the last call, and s.seen counts them
// already.
func (s *lineScanner) remember(p []byte) {
	switch {
	case !s.keep:
	case s.seen > int64(s.most): // cannot be handed out any more
		s.kept = nil
	default:
		s.kept = append(s.kept, p...)
	}
	room := len(s.delimiter) - 1
	if len(p) >= room {
		s.nTail = copy(s.tail[:], p[len(p)-room:])
		return
	}
	drop := max(s.nTail+len(p)-room, 0)
	s.nTail = copy(s.tail[:], s.tail[drop:s.nTail])
	s.nTail += copy(s.tail[s.nTail:], p)
}

func (s *lineScanner) trim(text []byte) []byte {
	return bytes.TrimSuffix(text[:len(text)-len(s.delimiter)], []byte("\r"))
}

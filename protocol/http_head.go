package protocol

import (
	"bytes"
	"strconv"
	"strings"
)

// httpHead collects the bytes of one head, line by line, until the empty line that ends it.
type httpHead struct {
	max        int  // bytes that a head may have
	strict     bool // all lines must end alike (requests)
	emptyFirst bool // empty lines before the start line belong to the head (RFC 9112 §2.2)

	buf   []byte
	line  int // where the unfinished line begins in buf
	start int // where the start line begins in buf
	lf    int // lines that end with LF alone
	crlf  int // lines that end with CR LF
}

// take adds bytes of p up to the end of the head. It returns how many, and whether the head is complete.
func (h *httpHead) take(p []byte) (n int, done bool, err error) {
	for n < len(p) && !done {
		piece := p[n:]
		i := bytes.IndexByte(piece, '\n')
		if i >= 0 {
			piece = piece[:i+1]
		}
		room := h.max - len(h.buf)
		if bytes.IndexByte(piece[:min(room, len(piece))], 0) >= 0 {
			return 0, false, errHTTP("head", "a NUL byte")
		}
		if len(piece) > room {
			return 0, false, errHTTP("head", "longer than %d bytes", h.max)
		}
		h.buf = append(h.buf, piece...)
		n += len(piece)
		if i >= 0 {
			if done, err = h.endLine(); err != nil {
				return 0, false, err
			}
		}
	}
	return n, done, nil
}

// endLine looks at the line that just ended, and reports whether it is the empty line that ends the head.
func (h *httpHead) endLine() (bool, error) {
	text, crlf := cutEOL(h.buf[h.line:])
	if bytes.IndexByte(text, '\r') >= 0 {
		return false, errHTTP("head", "a CR that ends no line")
	}
	first := h.line == h.start
	h.line = len(h.buf)
	if first && len(text) == 0 && h.emptyFirst {
		h.start = h.line
		return false, nil
	}
	// A server that does not take a lone LF for the end of a line sees other lines than we do, if there is but one CR LF CR LF.
	if crlf {
		h.crlf++
	} else {
		h.lf++
	}
	if h.strict && h.crlf > 0 && h.lf > 0 {
		return false, errHTTP("head", "lines ended by LF mixed with lines ended by CR LF")
	}
	return len(text) == 0, nil
}

// text is the head from its start line on; it is valid until reset.
func (h *httpHead) text() []byte { return h.buf[h.start:] }

// reset makes ready for the next head. A large buffer is let go: a session may be idle for long.
func (h *httpHead) reset() {
	if cap(h.buf) > 4<<10 {
		h.buf = nil
	}
	h.buf, h.line, h.start, h.lf, h.crlf = h.buf[:0], 0, 0, 0, 0
}

// cutEOL takes the CR LF or LF off a line.
func cutEOL(line []byte) (text []byte, crlf bool) {
	text = bytes.TrimSuffix(line, []byte("\n"))
	if n := len(text); n > 0 && text[n-1] == '\r' {
		return text[:n-1], true
	}
	return text, false
}

// eachField calls f for the start line (with name "") and every field line of a complete head, until f returns an error. line has its
// end of line.
func eachField(head []byte, f func(line []byte, name, value string) error) error {
	for first := true; len(head) > 0; first = false {
		line := head[:bytes.IndexByte(head, '\n')+1]
		head = head[len(line):]
		text, _ := cutEOL(line)
		if len(text) == 0 {
			return nil
		}
		var name, value string
		if !first {
			var err error
			if name, value, err = splitField(text); err != nil {
				return err
			}
		}
		if err := f(line, name, value); err != nil {
			return err
		}
	}
	return nil
}

// splitField splits a field line that has no end of line (RFC 9112 §5). It refuses what readers disagree about.
func splitField(text []byte) (name, value string, err error) {
	if text[0] == ' ' || text[0] == '\t' {
		return "", "", errHTTP("field", "folded over two lines (obs-fold)")
	}
	before, after, found := bytes.Cut(text, []byte(":"))
	if !found {
		return "", "", errHTTP("field", "no colon in a line of %d bytes", len(text))
	}
	if !isToken(before) {
		return "", "", errHTTP("field", "%d bytes before a colon are no field name, or have white space behind it", len(before))
	}
	if bytes.ContainsAny(after, "\x00\r") {
		return "", "", errHTTP("field", "CR or NUL in the value of %.40q", before)
	}
	return string(before), string(bytes.Trim(after, " \t")), nil
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s []byte) bool {
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(s) > 0
}

// httpFraming is what a head says of its body's length. net/http hides some of it (a Content-Length beside a Transfer-Encoding),
// so it is read from the lines themselves.
type httpFraming struct {
	lengths []string // the values of Content-Length
	codings []string // the values of Transfer-Encoding
}

// readFraming also is the check of every field line of the head.
func readFraming(head []byte) (f httpFraming, err error) {
	err = eachField(head, func(_ []byte, name, value string) error {
		switch {
		case strings.EqualFold(name, "Content-Length"):
			f.lengths = append(f.lengths, value)
		case strings.EqualFold(name, "Transfer-Encoding"):
			f.codings = append(f.codings, value)
		}
		return nil
	})
	return f, err
}

// body returns the kind of body by RFC 9112 §6.3, and its length if that is known. Neither field: kind absent.
func (f httpFraming) body(minor int, absent bodyKind) (bodyKind, int64, error) {
	if len(f.codings) > 0 {
		switch {
		case len(f.lengths) > 0:
			return 0, 0, errHTTP("head", "both Content-Length and Transfer-Encoding")
		case minor == 0:
			return 0, 0, errHTTP("head", "Transfer-Encoding in HTTP/1.0")
		case len(f.codings) > 1 || !strings.EqualFold(f.codings[0], "chunked"):
			return 0, 0, errHTTP("head", "a Transfer-Encoding that is not supported")
		}
		return bodyChunked, -1, nil
	}
	if len(f.lengths) == 0 {
		return absent, -1, nil
	}
	for _, v := range f.lengths[1:] {
		if v != f.lengths[0] {
			return 0, 0, errHTTP("head", "several Content-Lengths")
		}
	}
	length, err := strconv.ParseUint(f.lengths[0], 10, 63)
	if err != nil {
		return 0, 0, errHTTP("head", "a Content-Length that is no length")
	}
	if length == 0 {
		return bodyNone, 0, nil
	}
	return bodyLength, int64(length), nil
}

package protocol

import (
	"bytes"
	"strconv"
	"strings"
)

type bodyKind uint8

const (
	bodyNone    bodyKind = iota // no body
	bodyLength                  // as long as Content-Length says
	bodyChunked                 // RFC 9112 §7.1
	bodyClose                   // until the connection ends; a tunnel too
)

// Limits of what is no data in a chunked body, in bytes.
const (
	maxChunkLine = 4<<10 + 18 // a size of 16 digits, an extension of 4 KiB, CR LF
	maxTrailers  = 8 << 10
)

type chunkPhase uint8

const (
	chunkSize    chunkPhase = iota // in a size line
	chunkData                      // in the data of a chunk
	chunkEnd                       // in the CR LF behind the data
	chunkTrailer                   // behind the last chunk
)

// httpBody walks through a body and finds its end.
type httpBody struct {
	kind     bodyKind
	strict   bool  // of a request: trailers must not speak of framing
	left     int64 // bytes still to come: of the body (bodyLength), or of the open chunk
	phase    chunkPhase
	line     []byte // the unfinished size or trailer line
	seen     int    // bytes of the CR LF behind the data that were seen
	trailers int    // bytes of trailers before line
	keep     bool   // trailers are kept
	kept     []byte // the trailers, with their ends of line; at most maxTrailers
}

// bodyStep is one step through a body.
type bodyStep struct {
	n    int  // bytes that it took, at least 1
	data bool // they are bytes of the decoded body
	pass bool // the client may be left at this place
	end  bool // the body ends with them
}

func newBody(kind bodyKind, length int64) httpBody {
	return httpBody{kind: kind, left: max(length, 0)}
}

// step takes the next few bytes. The kind is not bodyNone, p is not empty.
func (b *httpBody) step(p []byte) (bodyStep, error) {
	switch b.kind {
	case bodyLength:
		n := min(int64(len(p)), b.left)
		b.left -= n
		return bodyStep{n: int(n), data: true, pass: true, end: b.left == 0}, nil
	case bodyChunked:
		return b.stepChunked(p)
	}
	return bodyStep{n: len(p), data: true, pass: true}, nil
}

func (b *httpBody) stepChunked(p []byte) (bodyStep, error) {
	switch b.phase {
	case chunkSize:
		return b.stepSize(p)
	case chunkData:
		n := min(int64(len(p)), b.left)
		b.left -= n
		if b.left == 0 {
			b.phase, b.seen = chunkEnd, 0
		}
		return bodyStep{n: int(n), data: true, pass: true}, nil
	case chunkEnd:
		n := min(len(p), 2-b.seen)
		if string(p[:n]) != "\r\n"[b.seen:b.seen+n] {
			return bodyStep{}, errHTTP("body", "no CR LF behind the data of a chunk")
		}
		if b.seen += n; b.seen == 2 {
			b.phase = chunkSize
		}
		return bodyStep{n: n, pass: b.seen == 2}, nil
	}
	return b.stepTrailer(p)
}

func (b *httpBody) stepSize(p []byte) (bodyStep, error) {
	n, line, err := b.takeLine(p, maxChunkLine, "chunk-size line")
	if err != nil || line == nil {
		return bodyStep{n: n}, err
	}
	size, err := parseChunkSize(line)
	if err != nil {
		return bodyStep{}, err
	}
	b.left, b.phase = size, chunkData
	if size == 0 {
		b.phase, b.trailers = chunkTrailer, 0
	}
	return bodyStep{n: n}, nil
}

func (b *httpBody) stepTrailer(p []byte) (bodyStep, error) {
	n, line, err := b.takeLine(p, maxTrailers-b.trailers, "trailer section")
	if err != nil || line == nil {
		return bodyStep{n: n}, err
	}
	if len(line) == 0 {
		return bodyStep{n: n, pass: true, end: true}, nil
	}
	b.trailers += len(line) + 2
	name, _, err := splitField(line)
	if err != nil {
		return bodyStep{}, err
	}
	// A reader that takes trailers for fields of the head would see another request (RFC 9110 §6.5.1 forbids to send them).
	if b.strict && (strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding")) {
		return bodyStep{}, errHTTP("body", "%s among the trailers", name)
	}
	if b.keep {
		b.kept = append(append(b.kept, line...), "\r\n"...)
	}
	return bodyStep{n: n}, nil
}

// takeLine collects a line that ends with CR LF and is at most limit bytes long with it. It returns how many bytes of p were used,
// and the line without its end once it is complete (never nil then; valid until the next call).
func (b *httpBody) takeLine(p []byte, limit int, what string) (n int, line []byte, err error) {
	i := bytes.IndexByte(p, '\n')
	n = i + 1
	if i < 0 {
		n = len(p)
	}
	if len(b.line)+n > limit {
		return 0, nil, errHTTP("body", "the %s is too long", what)
	}
	line = p[:n]
	if i < 0 || len(b.line) > 0 {
		b.line = append(b.line, line...)
		line = b.line
	}
	if i < 0 {
		return n, nil, nil
	}
	b.line = b.line[:0]
	text, crlf := cutEOL(line)
	if !crlf || bytes.ContainsAny(text, "\x00\r") {
		return 0, nil, errHTTP("body", "a lone LF or CR, or a NUL, in the %s", what)
	}
	return n, text, nil
}

// parseChunkSize reads "1f;ext=1" without its end of line. White space behind the size is suffered: old servers pad with it.
func parseChunkSize(line []byte) (int64, error) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	for _, c := range digits {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return 0, errHTTP("body", "%d bytes that are no chunk size", len(digits))
		}
	}
	size, err := strconv.ParseUint(string(digits), 16, 62)
	if err != nil || len(digits) > 16 {
		return 0, errHTTP("body", "%d bytes that are no chunk size", len(digits))
	}
	return int64(size), nil
}

// mark and restore go back to a place where the client may be left; there, no line is unfinished.
func (b *httpBody) mark() httpBody { return *b }

func (b *httpBody) restore(at httpBody) {
	line := b.line[:0]
	*b = at
	b.line = line
}

// cut makes a Cut of as much of p as may be passed on together; p[:n] is known to pass. The data is added to decoded (nil: to
// nothing).
func (b *httpBody) cut(p []byte, n int, decoded *httpDecoded) (Cut, error) {
	if b.kind == bodyNone {
		return Cut{N: n, End: true}, nil
	}
	passed, at := n, b.mark()
	for n < len(p) {
		s, err := b.step(p[n:])
		if err != nil && passed == 0 {
			return Cut{}, err
		}
		if err != nil {
			break // the next call meets it again, when what is good has been passed
		}
		if s.data && decoded != nil {
			decoded.Add(p[n : n+s.n])
		}
		n += s.n
		if s.end {
			return Cut{N: n, End: true}, nil
		}
		if s.pass {
			passed, at = n, b.mark()
		}
	}
	if passed == 0 {
		return Cut{N: len(p), Hold: true}, nil
	}
	b.restore(at)
	return Cut{N: passed}, nil
}

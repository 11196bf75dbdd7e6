package protocol

import "net/http"

// Nearly all heads are plain: nothing in them could be read in two ways. They are read here, in one pass and with hardly an
// allocation. What is not plain, which says nothing against it, is left to net/http and to the stricter rules beside it; a fuzz test
// holds that both say the same of what is plain.

// maxPlain bounds a plain head, in bytes: what is remembered of a reply's may keep all of it in memory.
const maxPlain = 2 << 10

// plainHead walks through the lines of a complete head, whose last line is empty.
type plainHead struct {
	head []byte
	next int // where the next line begins

	// The line that was walked to: a start line is all value.
	name, value []byte
	from, to    int // of value in head

	// What the fields have said that both kinds of heads may have.
	kind   bodyKind
	length int64
	framed bool // kind and length are told
	closes bool
}

// Classes of bytes.
const (
	plainName  = 1 << iota // of a token (RFC 9110 §5.6.2)
	plainValue             // visible ASCII, space, tab
	plainPath              // of a path that needs no escapes
)

// plainBytes are the classes of each byte.
var plainBytes = func() (table [256]uint8) {
	for b := range table {
		c := byte(b)
		letter := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80
		if letter || isOneOf(c, "!#$%&'*+-.^_`|~") {
			table[b] |= plainName
		}
		if c >= ' ' && c < 0x7f || c == '\t' {
			table[b] |= plainValue
		}
		if letter || isOneOf(c, "-._~/") {
			table[b] |= plainPath
		}
	}
	return table
}()

func isOneOf(c byte, list string) bool {
	for i := range len(list) {
		if list[i] == c {
			return true
		}
	}
	return false
}

// areAll reports whether all bytes are of the class.
func areAll(p []byte, class uint8) bool {
	for _, c := range p {
		if plainBytes[c]&class == 0 {
			return false
		}
	}
	return true
}

// line walks to the next line, without looking at it. more is false behind the last one.
func (h *plainHead) line() (more bool) {
	h.from = h.next
	for h.head[h.next] != '\n' {
		h.next++
	}
	h.to = h.next
	h.next++
	if h.to > h.from && h.head[h.to-1] == '\r' {
		h.to--
	}
	h.value = h.head[h.from:h.to]
	return len(h.value) > 0
}

// field takes the line apart. ok is false if it is not plain.
func (h *plainHead) field() (ok bool) {
	i := 0
	for i < len(h.value) && plainBytes[h.value[i]]&plainName != 0 {
		i++
	}
	if i == 0 || i == len(h.value) || h.value[i] != ':' || !areAll(h.value[i:], plainValue) {
		return false
	}
	h.name = h.value[:i]
	for h.from += i + 1; h.from < h.to && isSpace(h.head[h.from]); h.from++ {
	}
	for ; h.from < h.to && isSpace(h.head[h.to-1]); h.to-- {
	}
	h.value = h.head[h.from:h.to]
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// is reports whether the name, or another token, is the given one, which is in lower case.
func is(token []byte, lower string) bool {
	if len(token) != len(lower) {
		return false
	}
	for i, c := range token {
		if c|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// common looks at a field that may be in both kinds of heads. ok is false if it is not plain.
func (h *plainHead) common() (ok bool) {
	switch len(h.name) {
	case len("connection"):
		if is(h.name, "connection") {
			h.closes = h.closes || is(h.value, "close")
			return is(h.value, "close") || is(h.value, "keep-alive")
		}
	case len("content-length"):
		if is(h.name, "content-length") {
			return h.lengthIs()
		}
	case len("transfer-encoding"):
		if is(h.name, "transfer-encoding") {
			ok = !h.framed && is(h.value, "chunked")
			h.kind, h.length, h.framed = bodyChunked, -1, true
			return ok
		}
	}
	return !is(h.name, "trailer")
}

// lengthIs takes a Content-Length.
func (h *plainHead) lengthIs() (ok bool) {
	if h.framed || len(h.value) == 0 || len(h.value) > 18 {
		return false
	}
	for _, c := range h.value {
		if c < '0' || c > '9' {
			return false
		}
		h.length = h.length*10 + int64(c-'0')
	}
	h.framed = true
	if h.kind = bodyLength; h.length == 0 {
		h.kind = bodyNone
	}
	return true
}

// requestHead is what is known of the head of a request.
type requestHead struct {
	detail httpRequest
	length int64 // of the body
	key    bool  // it has one Idempotency-Key
	label  string
}

// readPlain reads a plain head; ok is false if it is not. label is that of the request before, which is likely to be the same.
func (r *requestHead) readPlain(head []byte, label string) (ok bool) {
	h := plainHead{head: head}
	if len(head) > maxPlain || !h.line() || !r.startPlain(h.value, label) {
		return false
	}
	hosted := false
	for h.line() {
		if !h.field() || !h.common() || is(h.name, "upgrade") || is(h.name, "idempotency-key") {
			return false
		}
		if is(h.name, "host") {
			if hosted {
				return false // two are malformed
			}
			hosted = true
		}
		r.detail.ranged = r.detail.ranged || is(h.name, "range")
	}
	r.detail.closes, r.detail.body, r.length = h.closes, h.kind, h.length
	if !h.framed {
		r.length = -1
	}
	return true
}

// startPlain reads the start line: a method that is known, a path without escapes, and HTTP/1.1.
func (r *requestHead) startPlain(line []byte, label string) (ok bool) {
	const version = " HTTP/1.1"
	method := 0
	for method < len(line) && line[method] != ' ' {
		method++
	}
	r.detail.minor = 1
	r.detail.method = plainMethod(line[:method])
	end := len(line) - len(version)
	if r.detail.method == "" || end <= method+1 || string(line[end:]) != version || line[method+1] != '/' {
		return false
	}
	path := method + 1
	for path < end && plainBytes[line[path]]&plainPath != 0 {
		path++
	}
	if path < end {
		if line[path] != '?' {
			return false
		}
		for _, c := range line[path:end] {
			if c == ' ' || c == '#' || plainBytes[c]&plainValue == 0 || c == '\t' {
				return false
			}
		}
	}
	if r.label = label; string(line[:min(path, maxLabel)]) != label {
		r.label = string(line[:min(path, maxLabel)])
	}
	return true
}

// plainMethod is the method of a plain request, "" for others.
func plainMethod(name []byte) string {
	for _, m := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodHead, http.MethodDelete, http.MethodOptions} {
		if string(name) == m {
			return m
		}
	}
	return ""
}

// plainReply reads the plain head of a final reply; nil if it is not.
func plainReply(head []byte, d *httpRequest) *httpReply {
	h := plainHead{head: head}
	if len(head) > maxPlain || d.method == http.MethodHead || d.method == http.MethodConnect || !h.line() {
		return nil
	}
	r := &httpReply{status: plainStatus(h.value)}
	if r.status < 200 {
		return nil
	}
	text := "" // all of the head, for the values
	for h.line() {
		if !h.field() || !h.common() {
			return nil
		}
		keep := r.field(h.name)
		switch {
		case keep == nil:
			continue
		case h.from == h.to || *keep != "": // the first one counts, also if it is empty
			return nil
		case text == "":
			text = string(head)
		}
		*keep = text[h.from:h.to]
	}
	if r.body, r.length = h.kind, h.length; r.status == http.StatusNoContent || r.status == http.StatusNotModified {
		r.body, r.length = bodyNone, 0
	} else if !h.framed {
		return nil
	}
	if r.closes = h.closes || d.closes; r.status == http.StatusPartialContent {
		r.part, r.has206 = parseContentRange(r.contentRange)
	}
	return r
}

// plainStatus is the status in a plain start line, 0 in others.
func plainStatus(line []byte) int {
	const version = "HTTP/1.1 "
	n := len(version)
	if len(line) < n+3 || string(line[:n]) != version || len(line) > n+3 && line[n+3] != ' ' || !areAll(line, plainValue) {
		return 0
	}
	status := 0
	for _, c := range line[n : n+3] {
		if c < '0' || c > '9' {
			return 0
		}
		status = status*10 + int(c-'0')
	}
	return status
}

// field is where the value of a field is remembered; nil if it is not.
func (r *httpReply) field(name []byte) *string {
	switch len(name) {
	case len("etag"):
		if is(name, "etag") {
			return &r.etag
		}
		if is(name, "date") {
			return &r.date
		}
	case len("last-modified"):
		if is(name, "last-modified") {
			return &r.modified
		}
		if is(name, "content-range") {
			return &r.contentRange
		}
	case len("content-type"):
		if is(name, "content-type") {
			return &r.contentType
		}
	case len("content-encoding"):
		if is(name, "content-encoding") {
			return &r.contentEncoding
		}
	}
	return nil
}

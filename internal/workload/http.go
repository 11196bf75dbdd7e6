package workload

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
)

// httpDialect: a request is METHOD /w/session/number/size/hold/form, with content if it is a POST (unsafe) or a PUT. Its reply names it in the
// field X-Reply, and has a strong ETag that means its content. Range and If-Range are honoured, so poolproxy asks for the rest of what was cut.
// GET /health is answered by 200.
type httpDialect struct{}

// formLetters are the forms as they stand in a path; the next table has their methods.
const formLetters = "pchnru"

var formMethods = [forms]string{"GET", "GET", "HEAD", "GET", "GET", "PUT"}

// tag is the validator of r's content.
func (r *Request) tag() string { return fmt.Sprintf(`"%x-%d-%d"`, r.Session, r.Number, r.Size) }

// method of r.
func (r *Request) method() string {
	if r.Unsafe {
		return "POST"
	}
	return formMethods[r.Form]
}

// half is where the second half of r's content begins.
func (r *Request) half() int64 { return int64(r.Size) / 2 }

func (httpDialect) ask(to []byte, r *Request) []byte {
	to = fmt.Appendf(to, "%s /w/%x/%d/%d/%s/%c HTTP/1.1\r\nHost: chaos\r\n", r.method(), r.Session, r.Number, r.Size, r.Hold, formLetters[r.Form])
	switch {
	case r.Unsafe || r.Form == Put:
		to = fmt.Appendf(to, "Content-Length: %d\r\n\r\n", r.Carry)
		return appendContent(to, r.carried(HTTP), r.Carry)
	case r.Form == NotModified:
		to = fmt.Appendf(to, "If-None-Match: %s\r\n", r.tag())
	case r.Form == Ranged && r.Size > 0:
		to = fmt.Appendf(to, "Range: bytes=%d-\r\n", r.half())
	}
	return append(to, "\r\n"...)
}

// read reads a request. The range that it asks for is kept in it.
func (d httpDialect) read(in *input) (Request, error) {
	h, err := readHead(in)
	if err != nil {
		return Request{}, err
	}
	r, err := d.parse(&h)
	if err != nil || r.Number == 0 {
		return r, err
	}
	length, err := h.length()
	if err != nil {
		return r, err
	}
	if h.field["transfer-encoding"] != "" {
		return r, wrong("a request with Transfer-Encoding")
	}
	r.Carry = int(max(length, 0))
	if r.Carry > 0 && !r.Unsafe && r.Form != Put {
		return r, wrong("a %s with content", r.method())
	}
	if r.Form == NotModified && h.field["if-none-match"] != r.tag() {
		r.Form = Plain // the proxy has left the condition out
	}
	r.to = int64(r.Size) - 1
	if valid := h.field["if-range"]; h.field["range"] != "" && (valid == "" || valid == r.tag()) && r.method() == "GET" {
		r.from, r.to, r.ranged = h.span(int64(r.Size))
		if !r.ranged {
			return r, wrong("Range: %.80s of %d bytes", h.field["range"], r.Size)
		}
	}
	return r, in.content(r.carried(HTTP), 0, int64(r.Carry), nil)
}

// parse reads the first line of a request. That of a health check has number 0.
func (httpDialect) parse(h *head) (r Request, err error) {
	method, rest, _ := strings.Cut(h.first, " ")
	path, version, _ := strings.Cut(rest, " ")
	if version != "HTTP/1.1" {
		return r, wrong("a request %.80q", h.first)
	}
	if path == "/health" {
		return Request{}, nil
	}
	words := strings.Split(path, "/")
	if len(words) != 7 || words[0] != "" || words[1] != "w" || len(words[6]) != 1 {
		return r, wrong("a request for %.80q", path)
	}
	session, err1 := strconv.ParseUint(words[2], 16, 64)
	number, err2 := strconv.ParseUint(words[3], 10, 32)
	size, err3 := strconv.ParseUint(words[4], 10, 32)
	hold, err4 := parseHold(words[5])
	form := strings.Index(formLetters, words[6])
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return r, wrong("a request for %.80q: %v", path, err)
		}
	}
	if form < 0 {
		return r, wrong("a request for %.80q: a form of none of %s", path, formLetters)
	}
	r = Request{Session: session, Number: number, Size: int(size), Hold: hold, Form: Form(form), Unsafe: method == "POST"}
	if err := r.check(); err != nil {
		return r, wrong("%v", err)
	}
	if method != r.method() {
		return r, wrong("a %.10q for %.80q", method, path)
	}
	return r, nil
}

func (httpDialect) write(out *bufio.Writer, r *Request, half func() error) error {
	if r.Number == 0 {
		_, err := out.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		return err
	}
	status := "200 OK"
	switch {
	case r.Form == NotModified:
		status = "304 Not Modified"
	case r.ranged:
		status = "206 Partial Content"
	}
	fmt.Fprintf(out, "HTTP/1.1 %s\r\nX-Reply: %x/%d\r\nETag: %s\r\nContent-Type: application/octet-stream\r\n", status, r.Session, r.Number, r.tag())
	n := r.to - r.from + 1
	switch {
	case r.Form == NotModified:
		out.WriteString("\r\n")
		return call(half)
	case r.ranged:
		fmt.Fprintf(out, "Content-Range: bytes %d-%d/%d\r\n", r.from, r.to, r.Size)
	}
	if r.Form == Chunked && !r.ranged {
		out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		return writeChunks(out, r, half)
	}
	fmt.Fprintf(out, "Content-Length: %d\r\n\r\n", n)
	if r.Form == Head {
		return call(half)
	}
	return writeContent(out, r.answer(HTTP), r.from, n, half)
}

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

// writeChunks writes r's content in chunks of sizes that depend on its number.
func writeChunks(out *bufio.Writer, r *Request, half func() error) error {
	n, at := int64(r.Size), int64(0)
	most := 1 + int64(mix(r.Number)%(2*block))
	for at < n {
		size := min(most, n-at)
		fmt.Fprintf(out, "%x\r\n", size)
		inside := half
		if at > n/2 || at+size <= n/2 {
			inside = nil
		}
		if err := writeContent(out, r.answer(HTTP), at, size, inside); err != nil {
			return err
		}
		if inside != nil {
			half = nil
		}
		out.WriteString("\r\n")
		at += size
	}
	if err := call(half); err != nil {
		return err
	}
	_, err := out.WriteString("0\r\n\r\n")
	return err
}

func (httpDialect) fail(out *bufio.Writer, reason string) {
	reason = strings.Map(printable, reason[:min(len(reason), 150)])
	fmt.Fprintf(out, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(reason), reason)
}

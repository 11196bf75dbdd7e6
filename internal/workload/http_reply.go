package workload

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// httpReply is what is known of a reply of HTTP when its head is read.
type httpReply struct {
	status  int
	head    head
	chunked bool
	length  int64 // -1: none is given
}

// hear reads a reply's head. What has no X-Reply is an error of the proxy's or the server's, or nobody's.
func (httpDialect) hear(in *input, of waiting) (reply, error) {
	h, err := readHead(in)
	if err != nil {
		return reply{}, err
	}
	re := reply{http: httpReply{head: h}}
	version, rest, _ := strings.Cut(h.first, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if version != "HTTP/1.1" || err != nil || len(code) != 3 || status < 100 {
		return re, wrong("a reply that begins with %.80q", h.first)
	}
	re.http.status = status
	if re.http.length, err = h.length(); err != nil {
		return re, err
	}
	if coding, given := h.field["transfer-encoding"]; given {
		if re.http.chunked = coding == "chunked"; !re.http.chunked || re.http.length >= 0 {
			return re, wrong("Transfer-Encoding: %.40s, Content-Length: %d", coding, re.http.length)
		}
	}
	re.closes = strings.EqualFold(h.field["connection"], "close")
	if name, named := h.field["x-reply"]; named {
		return re, re.name(name, of)
	}
	if status < 400 {
		return re, wrong("a reply %d that names no request", status)
	}
	return re, re.refuse(in, of.oldest())
}

// name reads X-Reply. The size is taken as that of the request, since the kinds of replies tell it in several ways; content looks at it.
func (re *reply) name(text string, of waiting) error {
	session, number, _ := strings.Cut(text, "/")
	var err1, err2 error
	re.named = true
	re.session, err1 = strconv.ParseUint(session, 16, 64)
	re.number, err2 = strconv.ParseUint(number, 10, 64)
	if err1 != nil || err2 != nil {
		return wrong("X-Reply: %.80s", text)
	}
	if r := of.find(func(r *Request) bool { return r.Number == re.number }); r != nil {
		re.size = int64(r.Size)
	}
	return nil
}

// refuse reads the rest of an error.
func (re *reply) refuse(in *input, due *Request) error {
	h := &re.http
	re.refused = fmt.Sprint(h.status)
	re.undone = h.status == 503
	if due != nil && due.method() == "HEAD" {
		return nil // none of the content that its length speaks of
	}
	if h.chunked || h.length < 0 || h.length > 64<<10 {
		return wrong("an error %d without a length", h.status)
	}
	text := make([]byte, h.length)
	if _, err := io.ReadFull(in, text); err != nil {
		return within(err, true)
	}
	re.refused += fmt.Sprintf(" %.200s", strings.TrimSpace(string(text)))
	return nil
}

// content checks that the head is the one that of's reply must have, and reads the content.
func (httpDialect) content(in *input, re *reply, of *Request, progress func(int64)) error {
	if re.refused != "" {
		return nil
	}
	h := &re.http
	status, from, framing := 200, int64(0), fmt.Sprint(of.Size)
	switch {
	case of.Form == NotModified && !of.Unsafe:
		status, framing = 304, "-1"
	case of.Form == Chunked:
		framing = "chunked"
	case of.Form == Ranged && of.Size > 0:
		status, from = 206, of.half()
		framing = fmt.Sprint(int64(of.Size) - from)
	}
	got := fmt.Sprint(h.length)
	if h.chunked {
		got = "chunked"
	}
	if h.status != status || got != framing || h.head.field["etag"] != of.tag() {
		return wrong("the reply to request %d is %d of length %s, tag %.80s; not %d, %s, %s",
			of.Number, h.status, got, h.head.field["etag"], status, framing, of.tag())
	}
	span := fmt.Sprintf("bytes %d-%d/%d", from, of.Size-1, of.Size)
	if given := h.head.field["content-range"]; status == 206 && given != span {
		return wrong("the reply to request %d has Content-Range: %.80s, not %s", of.Number, given, span)
	}
	switch {
	case of.method() == "HEAD" || status == 304:
		return nil
	case h.chunked:
		return readChunks(in, of, progress)
	}
	return in.content(of.answer(HTTP), from, h.length, progress)
}

// readChunks reads chunked content, up to its end. Its chunks may be any: a proxy may frame anew what it joins.
func readChunks(in *input, of *Request, progress func(int64)) error {
	for at := int64(0); ; {
		line, err := in.headLine(true)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(line, 16, 32)
		if err != nil || at+int64(n) > int64(of.Size) {
			return wrong("a chunk %.40q behind %d of %d bytes", line, at, of.Size)
		}
		if n == 0 {
			if at < int64(of.Size) {
				return wrong("the end of the chunks behind %d of %d bytes", at, of.Size)
			}
			return in.expect("\r\n") // no trailers
		}
		inner := func(done int64) {
			if progress != nil {
				progress(at + done)
			}
		}
		if err := in.content(of.answer(HTTP), at, int64(n), inner); err != nil {
			return err
		}
		if err := in.expect("\r\n"); err != nil {
			return err
		}
		at += int64(n)
	}
}

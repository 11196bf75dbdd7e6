package protocol

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// contentRange is "bytes first-last/total" (RFC 9110 §14.4); last is the last byte itself.
type contentRange struct{ first, last, total int64 }

// parseContentRange reads a Content-Range. One without a total is of no use here, and is not ok.
func parseContentRange(s string) (r contentRange, ok bool) {
	rest, isBytes := strings.CutPrefix(s, "bytes ")
	span, total, found := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(span, "-")
	if !isBytes || !found || !dash {
		return r, false
	}
	for _, part := range []struct {
		text string
		to   *int64
	}{{first, &r.first}, {last, &r.last}, {total, &r.total}} {
		n, err := strconv.ParseUint(part.text, 10, 63)
		if err != nil {
			return r, false
		}
		*part.to = int64(n)
	}
	return r, r.first <= r.last && r.last < r.total
}

func (r contentRange) length() int64 { return r.last - r.first + 1 }

// validator returns what may stand in If-Range: a strong entity tag, or a modification date that is strong by RFC 9110 §8.8.2.2 (a
// second or more before Date) of a reply whose length is known. Empty: there is none.
func (r *httpReply) validator() string {
	if r.strongTag() {
		return r.etag
	}
	modified, err1 := http.ParseTime(r.modified)
	date, err2 := http.ParseTime(r.date)
	if err1 != nil || err2 != nil || r.length < 0 || date.Sub(modified) < time.Second {
		return ""
	}
	return r.modified
}

func (r *httpReply) strongTag() bool {
	return len(r.etag) > 2 && r.etag[0] == '"' && r.etag[len(r.etag)-1] == '"'
}

// rangeable reports whether another server may be asked for a part of what r is the reply with: something vouches that it has the
// same representation.
func (r *httpReply) rangeable(req *httpRequest) bool {
	if req.method != http.MethodGet || req.body != bodyNone || r.validator() == "" {
		return false
	}
	return r.status == http.StatusOK && !req.ranged ||
		r.has206 && r.strongTag() && (r.length < 0 || r.length == r.part.length())
}

// missing returns the part of the representation that the client lacks when it has got had of the body of r, and before it the
// bytes that are kept of had; as the value of a Range field, and where it begins. ok is false if it should not be asked for:
// nothing was delivered, or it is not rangeable.
func (r *httpReply) missing(req *httpRequest, had *httpDecoded) (value string, first int64, ok bool) {
	n := had.Bytes()
	if n == 0 || !r.rangeable(req) {
		return "", 0, false
	}
	first = n - int64(len(had.last))
	switch {
	case !r.has206:
		return fmt.Sprintf("bytes=%d-", first), first, true
	case n < r.part.length():
		first += r.part.first
		return fmt.Sprintf("bytes=%d-%d", first, r.part.last), first, true
	}
	return "", 0, false
}

// rewriteRange makes a head that asks for the missing part in place of what its client asked for. Conditions of the client are
// left out: they were met, and If-Range stands for them.
func rewriteRange(head []byte, value, ifRange string) ([]byte, error) {
	out := make([]byte, 0, len(head)+len(value)+len(ifRange)+len("Range: \r\nIf-Range: \r\n\r\n"))
	eol := "\r\n"
	err := eachField(head, func(line []byte, name, _ string) error {
		if _, crlf := cutEOL(line); !crlf {
			eol = "\n"
		}
		switch strings.ToLower(name) {
		case "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since":
		default:
			out = append(out, line...)
		}
		return nil
	})
	return append(out, "Range: "+value+eol+"If-Range: "+ifRange+eol+eol...), err
}

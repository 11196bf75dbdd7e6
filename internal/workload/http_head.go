package workload

import (
	"bufio"
	"errors"
	"strconv"
	"strings"
)

// Bounds of a head.
const (
	mostHeadLines = 100
	mostHeadLine  = 8 << 10
)

// head is what stands before the content of a request or a reply of HTTP: its first line, and those of its fields that matter here.
type head struct {
	first string // the first line
	field map[string]string
}

// fields that matter; each may come once.
var headFields = map[string]bool{
	"content-length": true, "transfer-encoding": true, "connection": true, "etag": true, "content-range": true,
	"range": true, "if-range": true, "if-none-match": true, "x-reply": true, "poolproxy-reason": true,
}

// readHead reads a head. An end of file before its first byte is io.EOF.
func readHead(in *input) (head, error) {
	h := head{field: make(map[string]string, 8)}
	for n := range mostHeadLines {
		line, err := in.headLine(n > 0)
		if err != nil {
			return h, err
		}
		switch {
		case n == 0:
			h.first = line
			continue
		case line == "":
			return h, nil
		}
		name, value, found := strings.Cut(line, ":")
		name = strings.ToLower(name)
		if !found || name == "" || strings.ContainsAny(name, " \t") {
			return h, wrong("a field %.80q", line)
		}
		if !headFields[name] {
			continue
		}
		if _, twice := h.field[name]; twice {
			return h, wrong("the field %s twice", name)
		}
		h.field[name] = strings.Trim(value, " \t")
	}
	return h, wrong("a head of more than %d lines", mostHeadLines)
}

// headLine reads a line that ends in CR LF; inside: an end of file is one within a head.
func (in *input) headLine(inside bool) (string, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > mostHeadLine:
		return "", wrong("a line of more than %d bytes in a head", mostHeadLine)
	case err != nil:
		return "", within(err, inside || len(line) > 0)
	case len(line) < 2 || line[len(line)-2] != '\r':
		return "", wrong("a line %.80q in a head, without CR LF", line)
	}
	return string(line[:len(line)-2]), nil
}

// length is what Content-Length says; -1 if there is none.
func (h *head) length() (int64, error) { return h.lengthUpTo(MaxContent) }

func (h *head) lengthUpTo(most uint64) (int64, error) {
	text, given := h.field["content-length"]
	if !given {
		return -1, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > most {
		return -1, wrong("Content-Length: %.40s", text)
	}
	return int64(n), nil
}

// span is what Range asks for of size bytes, as poolproxy and our clients write it: bytes=N- or bytes=N-M. ok is false if there is nothing
// there.
func (h *head) span(size int64) (from, to int64, ok bool) {
	text, found := strings.CutPrefix(h.field["range"], "bytes=")
	first, last, dashed := strings.Cut(text, "-")
	if !found || !dashed {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 || from >= size {
		return 0, 0, false
	}
	to = size - 1
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return 0, 0, false
		}
		to = min(to, n)
	}
	return from, to, true
}

package workload

import (
	"bufio"
	"fmt"
)

// dialect is one kind's way to say things, for one connection and one side of it. What a client asks and what it is answered may be used by
// two goroutines at once: one each.
type dialect interface {
	// ask appends a request.
	ask(to []byte, r *Request) []byte

	// hear reads the beginning of the next reply, up to its content. An end of file before the first byte is io.EOF.
	hear(in *input, of waiting) (reply, error)

	// content reads the rest of the reply, which answers of. progress is told how many bytes of content have come.
	content(in *input, re *reply, of *Request, progress func(int64)) error

	// read reads a request. An end of file before the first byte is io.EOF.
	read(in *input) (Request, error)

	// write answers it; half is called when half of the content is written, and may flush.
	write(out *bufio.Writer, r *Request, half func() error) error

	// fail answers a request that the server cannot carry out, by an error of the protocol.
	fail(out *bufio.Writer, reason string)
}

// waiting are the requests that a reply may be to.
type waiting interface {
	// oldest is the one that is to be answered next; nil if there is none.
	oldest() *Request

	// find returns the first that fits: of those that wait, then of those that were answered last; nil if none does.
	find(fits func(*Request) bool) *Request
}

// reply is what the beginning of a reply says.
type reply struct {
	named   bool   // it says whose it is
	session uint64 // so
	number  uint64
	size    int64

	refused string // the protocol's own error, in place of the reply
	undone  bool   // it says that the request was not carried out
	closes  bool   // the connection ends behind it
	chain   uint64 // of Stream: the sum of what the server was told
	http    httpReply
}

// newDialect makes a kind's dialect for one connection.
func newDialect(kind Kind) (dialect, error) {
	switch kind {
	case Line:
		return lineDialect{}, nil
	case Length:
		return lengthDialect{}, nil
	case HTTP:
		return httpDialect{}, nil
	case Redis:
		return redisDialect{}, nil
	case Stream:
		return &streamDialect{}, nil
	}
	return nil, fmt.Errorf("workload: kind %q is not known", kind)
}

// block is how much of content is made at once.
const block = 16 << 10

// writeContent writes n bytes of p from off on, and calls half in the middle.
func writeContent(out *bufio.Writer, p pattern, off, n int64, half func() error) error {
	scratch := make([]byte, min(n, block))
	middle := n / 2
	for at := int64(0); ; {
		if at == middle && half != nil {
			if err := half(); err != nil {
				return err
			}
			half = nil
		}
		if at == n {
			return nil
		}
		end := n
		if at < middle {
			end = middle
		}
		piece := scratch[:min(int64(len(scratch)), end-at)]
		p.fill(piece, off+at)
		if _, err := out.Write(piece); err != nil {
			return err
		}
		at += int64(len(piece))
	}
}

// appendContent appends n bytes of p.
func appendContent(to []byte, p pattern, n int) []byte {
	at := len(to)
	if cap(to)-at < n {
		grown := make([]byte, at, at+n+256)
		copy(grown, to)
		to = grown
	}
	to = to[:at+n]
	p.fill(to[at:], 0)
	return to
}

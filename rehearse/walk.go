package rehearse

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/poolproxy/poolproxy/protocol"
)

// walk goes through a session with the protocol's own parsers, as its first leg did.
type walk struct {
	protocol protocol.Protocol
	requests protocol.Requests
	replies  protocol.Replies
	err      error // the parsers do not understand any more; stays
}

// maxHead is how much of a request is handed to the protocol to be rewritten.
const maxHead = 64 << 10

var (
	errShort = errors.New("it did not come in full")

	// errValidator is what http does not find out: it asks for the rest only, and what it gets is compared for 4 KiB before the cut.
	errValidator = errors.New("both have the same validator (ETag, Last-Modified) and different bodies: the rest would be asked for with Range, and the client get a mixture")
)

// behindHead reports whether the offset is behind the head of a reply of http.
func behindHead(reply []byte, at int) bool {
	end := bytes.Index(reply, []byte("\r\n\r\n"))
	return end >= 0 && at >= end+4
}

// request is what the protocol says of a message; nil if it does not understand it.
func (w *walk) request(said []byte) (req *protocol.Request) {
	for len(said) > 0 && w.err == nil {
		var cut protocol.Cut
		if cut, req, w.err = w.requests.Next(said); w.err == nil {
			said = said[cut.N:]
		}
	}
	if w.err != nil {
		return nil
	}
	return req
}

// reply goes through a reply. With cut set, delivered is what a client would have of it if the leg had ended before its last byte.
func (w *walk) reply(req *protocol.Request, reply []byte, cut bool) (delivered protocol.Delivered, err error) {
	if cut && len(reply) > 0 {
		w.feed(req, reply[:len(reply)-1])
		if w.err == nil {
			delivered = w.replies.Delivered()
		}
		reply = reply[len(reply)-1:]
	}
	w.feed(req, reply)
	return delivered, w.err
}

func (w *walk) feed(req *protocol.Request, p []byte) {
	for len(p) > 0 && w.err == nil {
		var cut protocol.Cut
		if cut, w.err = w.replies.Next(req, p); w.err == nil {
			p = p[cut.N:]
		}
	}
}

// join reports why the reply of the rehearsal could not be joined with what a client has of its own, cut before the last byte; nil: it could.
// Where the protocol would ask for the rest only, a server that sends all of it is what is judged.
func (w *walk) join(req *protocol.Request, e *Exchange, delivered protocol.Delivered) error {
	if !e.Whole {
		return errShort
	}
	head := e.Said
	if len(head) > maxHead {
		head = nil
	}
	rest, joiner, err := w.protocol.Join(req, head, delivered)
	if err != nil {
		return err
	}
	end := false
	for p := e.Again; len(p) > 0 && !end; {
		var n int
		n, _, end, err = joiner.Next(p)
		switch {
		case err != nil && rest != nil && w.protocol.Name() == "http" && behindHead(e.Again, len(e.Again)-len(p)):
			return fmt.Errorf("%w, %w", errValidator, err)
		case err != nil:
			return err
		}
		p = p[n:]
	}
	if !end && !joiner.Finish() {
		return errShort
	}
	return nil
}

// labelOf is what the log calls a message.
func labelOf(req *protocol.Request) string {
	if req == nil {
		return "a message that is not understood"
	}
	return req.Label
}

// word is the first word of a line, if it looks like one.
var word = regexp.MustCompile(`^[ \t]*([A-Za-z][A-Za-z0-9_.-]{0,31})(?:[ \t\r\n:;,=]|$)`)

// kindOf is what kind of message it is, in the words of its protocol.
func kindOf(p protocol.Protocol, req *protocol.Request, said []byte) string {
	switch p.Name() {
	case "http":
		return pattern(labelOf(req))
	case "line":
		if m := word.FindSubmatch(said[:min(len(said), 128)]); m != nil {
			return fmt.Sprintf("line %s", m[1])
		}
	}
	return labelOf(req)
}

// longest is how long a part of a path may be that is not taken for a name of one thing among many, in bytes.
const longest = 24

// pattern is a method and a path in which what names one thing of many is a star: what has a digit in it, or is long.
func pattern(label string) string {
	method, path, ok := strings.Cut(label, " ")
	if !ok {
		return label
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if len(part) > longest || strings.ContainsAny(part, "0123456789") {
			parts[i] = "*"
		}
	}
	return method + " " + strings.Join(parts, "/")
}

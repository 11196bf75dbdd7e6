package protocol

import (
	"fmt"
	"net/http"
)

// httpJoiner goes on with a body that the client has begun to read. The new reply is decoded, what the client already has is
// compared and dropped (after Range only its last bytes are sent once more), and the rest is framed as the old reply was.
type httpJoiner struct {
	req   *httpRequest
	first *httpReply // the reply whose head the client has; it stays the reference over many joins
	asked int64      // where the part begins that was asked for with Range; -1: the request was repeated as it was

	head     httpHead
	reply    *httpReply // the new one; nil before its final head
	body     httpBody   // of the new reply
	verifier *Verifier  // compares its decoded bytes

	bytes   int64       // what the client has: bytes of the reply,
	decoded httpDecoded // decoded bytes of its body,
	client  httpFramer  // and the place in its framing
	total   int64       // decoded bytes that the client must have in the end, -1: not known
	saved   int64
	part    bool   // the new reply is the part that was asked for
	own     []byte // for bytes that are not a part of p
	err     error  // what ended it; stays
}

func newHTTPJoiner(h *httpProtocol, req *httpRequest, bytes int64, had *httpDelivered) *httpJoiner {
	d := newDelivered(had.reply, had.decoded, had.client)
	j := &httpJoiner{
		req: req, first: d.reply, asked: -1, head: httpHead{max: h.maxHead},
		bytes: bytes, decoded: d.decoded, client: d.client, total: d.reply.length,
	}
	if j.total < 0 && j.first.has206 {
		j.total = j.first.part.length()
	}
	return j
}

func (j *httpJoiner) Next(p []byte) (n int, out []byte, end bool, err error) {
	if j.err == nil {
		j.own = j.own[:0]
		n, out, end, j.err = j.next(p)
	}
	if j.err != nil {
		return 0, nil, false, j.err
	}
	j.bytes += int64(len(out))
	return n, out, end, nil
}

func (j *httpJoiner) next(p []byte) (n int, out []byte, end bool, err error) {
	if j.reply == nil {
		if n, err = j.takeHead(p); err != nil || j.reply == nil {
			return n, nil, false, err
		}
		if j.body.kind != bodyNone {
			return n, nil, false, nil
		}
		if err = j.mayEnd(0); err == nil {
			out = j.client.finish(j.own, nil)
		}
		return n, out, true, err
	}
	for n < len(p) && len(out) == 0 && !end && err == nil {
		var s bodyStep
		if s, err = j.body.step(p[n:]); err != nil {
			break
		}
		n, end = n+s.n, s.end
		if s.data {
			out, err = j.pass(p[n-s.n:n], end)
		} else if end {
			err = j.mayEnd(0)
		}
		if end && err == nil {
			out = j.client.finish(out, j.body.kept)
		}
	}
	return n, out, end, err
}

// takeHead collects the head of the new reply, and drops interim replies.
func (j *httpJoiner) takeHead(p []byte) (int, error) {
	n, done, err := j.head.take(p)
	if err != nil || !done {
		return n, err
	}
	reply, err := parseReply(j.head.text(), j.req, false)
	j.head.reset()
	if err != nil || reply == nil {
		return n, err
	}
	j.reply = reply
	return n, j.accept()
}

// pass takes decoded bytes of the new reply, the last of them or not, and returns what the client gets because of them.
func (j *httpJoiner) pass(data []byte, last bool) ([]byte, error) {
	_, fresh, err := j.verifier.Next(data)
	if err != nil && j.part {
		err = fmt.Errorf("in the part from byte %d on, whose validator is the same: %w", j.asked, err)
	}
	if err == nil && last {
		err = j.mayEnd(len(fresh))
	}
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	if j.total >= 0 && int64(len(fresh)) > j.total-j.decoded.Bytes() {
		return nil, fmt.Errorf("%w: its body is longer than %d bytes", ErrMismatch, j.total)
	}
	j.decoded.Add(fresh)
	out := j.client.write(j.own, fresh)
	if j.client.chunked {
		j.own = out
	}
	return out, nil
}

// mayEnd is nil if the body may end behind fresh bytes more. It is asked before they are passed on.
func (j *httpJoiner) mayEnd(fresh int) error {
	at := j.decoded.Bytes() + int64(fresh)
	switch left := j.verifier.Remaining(); {
	case left > 0:
		return fmt.Errorf("%w: its body ends %d bytes before the place that the client has come to", ErrMismatch, left)
	case j.total >= 0 && at != j.total:
		return fmt.Errorf("%w: its body ends at byte %d of %d", ErrMismatch, at, j.total)
	case j.client.left > int64(fresh):
		return fmt.Errorf("%w: its body ends inside a chunk that the client has begun to read", ErrMismatch)
	}
	return nil
}

// accept decides whether the new head goes with the first one.
func (j *httpJoiner) accept() error {
	asked := j.asked >= 0 && j.reply.status == http.StatusPartialContent
	if j.reply.tunnel || !asked && j.reply.status != j.first.status {
		return fmt.Errorf("%w: status %d, the first was %d", ErrMismatch, j.reply.status, j.first.status)
	}
	if err := j.sameContent(asked); err != nil {
		return err
	}
	if asked {
		return j.acceptPart()
	}
	return j.acceptWhole()
}

// sameContent compares the fields that say how to read the body. A 206 to If-Range may leave them out (RFC 9110 §15.3.7); a strong
// entity tag then stands for them.
func (j *httpJoiner) sameContent(asked bool) error {
	mayLack := asked && j.first.strongTag()
	for _, f := range []struct{ name, first, now string }{
		{"Content-Type", j.first.contentType, j.reply.contentType},
		{"Content-Encoding", j.first.contentEncoding, j.reply.contentEncoding},
		{"Content-Range", j.first.contentRange, j.reply.contentRange},
	} {
		if asked && f.name == "Content-Range" {
			continue // acceptPart judges it
		}
		if f.now != f.first && (f.now != "" || !mayLack) {
			return fmt.Errorf("%w: %s %.60q, the first was %.60q", ErrMismatch, f.name, f.now, f.first)
		}
	}
	return nil
}

// acceptPart: the new server sends what was asked for with Range. It begins with the bytes that were kept of what the client has:
// they are compared, all of them before one byte gets past.
func (j *httpJoiner) acceptPart() error {
	part, ok := j.reply.part, j.reply.has206
	ok = ok && part.first == j.asked
	switch {
	case j.first.has206:
		ok = ok && part.last == j.first.part.last && part.total == j.first.part.total
	case j.first.length >= 0:
		ok = ok && part.last == part.total-1 && part.total == j.first.length
	default:
		ok = ok && part.last == part.total-1
	}
	if !ok || j.reply.length >= 0 && j.reply.length != part.length() {
		return fmt.Errorf("%w: another part than the one asked for, from byte %d: %+v, %d bytes",
			ErrMismatch, j.asked, part, j.reply.length)
	}
	if j.reply.etag != j.first.etag && (j.first.strongTag() || j.reply.etag != "") {
		return fmt.Errorf("%w: ETag %.40q, the first was %.40q", ErrMismatch, j.reply.etag, j.first.etag)
	}
	if j.reply.modified != j.first.modified && j.reply.modified != "" && !j.first.strongTag() {
		return fmt.Errorf("%w: Last-Modified %.40q, the first was %.40q", ErrMismatch, j.reply.modified, j.first.modified)
	}
	j.part, j.saved = true, j.decoded.Bytes()-int64(len(j.decoded.last))
	j.total = j.saved + part.length()
	j.verifier = NewVerifier(j.decoded.tail())
	return j.begin(part.length())
}

// acceptWhole: the new server sends all of it once more.
func (j *httpJoiner) acceptWhole() error {
	length := j.reply.length
	if j.total >= 0 && length >= 0 && length != j.total || length >= 0 && length < j.decoded.Bytes() {
		return fmt.Errorf("%w: %d bytes long; the first was %d (-1: not known), and the client has %d",
			ErrMismatch, length, j.total, j.decoded.Bytes())
	}
	// Another validator is another representation (RFC 9110 §8.8), even where its first bytes are the same: to go on would mix them.
	if j.first.etag != j.reply.etag && j.first.strongTag() && j.reply.strongTag() {
		return fmt.Errorf("%w: ETag %.40q, the first was %.40q", ErrMismatch, j.reply.etag, j.first.etag)
	}
	if j.total < 0 {
		j.total = length
	}
	j.verifier = NewVerifier(j.decoded.Delivered())
	err := j.begin(j.total)
	j.body.keep = true // trailers of a part are of that part, and are left out
	return err
}

// begin starts the new body, which must be length bytes long (-1: not known).
func (j *httpJoiner) begin(length int64) error {
	kind := j.reply.body
	switch {
	case kind == bodyClose && length > 0:
		kind = bodyLength // its end is known, and need not be told by the connection's
	case kind == bodyClose && length == 0:
		kind = bodyNone
	case kind == bodyClose && j.client.chunked:
		return fmt.Errorf("%w: its end is that of the connection, which the client's chunks cannot express", ErrMismatch)
	}
	if kind == bodyLength && j.reply.length >= 0 {
		length = j.reply.length
	}
	j.body = newBody(kind, length)
	return nil
}

func (j *httpJoiner) Finish() bool {
	return j.err == nil && j.reply != nil && j.body.kind == bodyClose && j.verifier.Remaining() == 0
}

func (j *httpJoiner) Skipped() int64 {
	if j.verifier == nil {
		return 0
	}
	return j.verifier.Compared()
}

func (j *httpJoiner) Saved() int64 { return j.saved }

func (j *httpJoiner) Closes() bool {
	return j.first.closes || j.reply != nil && j.reply.closes
}

func (j *httpJoiner) Delivered() Delivered {
	return Delivered{Bytes: j.bytes, Detail: newDelivered(j.first, j.decoded, j.client)}
}

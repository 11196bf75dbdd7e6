package protocol

import "github.com/poolproxy/poolproxy/freeze"

// Kinds of joiners of HTTP (JoinerMaker).
const (
	httpRepeats = 1 + iota
	httpJoins
)

// NewJoiner makes an empty one (JoinerMaker).
func (h *httpProtocol) NewJoiner(kind uint8) Joiner {
	switch kind {
	case httpRepeats:
		return &httpRepeat{replies: h.newReplies()}
	case httpJoins:
		return &httpJoiner{head: httpHead{max: h.maxHead}}
	}
	return nil
}

// Kind tells them apart (JoinerMaker).
func (h *httpProtocol) Kind(j Joiner) uint8 {
	switch j.(type) {
	case *httpRepeat:
		return httpRepeats
	case *httpJoiner:
		return httpJoins
	}
	return 0
}

func (d *httpRequest) freeze(c *freeze.Coder) {
	c.Text(&d.method)
	freeze.Number(c, &d.minor, 0, 9)
	c.Bool(&d.ranged, &d.closes, &d.tunnel, &d.offers, &d.complete)
	freeze.Number(c, &d.body, bodyNone, bodyClose)
}

// Freeze shows where in a request the client is (Freezer).
func (r *httpRequests) Freeze(c *freeze.Coder) {
	c.Offset(&r.early)
	c.Bool(&r.tunnel)
	r.head.freeze(c)
	freezeErr(c, &r.err)
	FreezeRequest(c, &r.req)
	inBody := r.detail != nil
	if c.Bool(&inBody); inBody {
		r.body.freeze(c)
	}
	if !c.Thaws() || r.req == nil {
		c.Check(!inBody, "a body of no request")
		return
	}
	d, ok := r.req.Detail.(*httpRequest)
	switch {
	case inBody && c.Check(ok, "a body of a request without a head"):
		r.detail, r.body.strict = d, true
	case !ok:
		r.space = new(httpRequest)
	default:
		c.Check(false, "a head of a request that has one")
	}
}

// Freeze shows where in a reply the server is (Freezer).
func (r *httpReplies) Freeze(c *freeze.Coder) {
	r.head.freeze(c)
	freeze.Maybe(c, &r.reply, func(x *httpReply) { x.freeze(c) })
	if r.reply != nil {
		r.body.freeze(c)
	}
	c.Bool(&r.interim, &r.told)
	c.Offset(&r.passed, &r.held)
	r.decoded.freeze(c)
	r.client.freeze(c)
	freezeErr(c, &r.err)
}

// freeze shows the bytes of an unfinished head. Where its lines are is found anew.
func (h *httpHead) freeze(c *freeze.Coder) {
	text := h.buf
	if c.Buffer(&text); c.Thaws() && len(text) > 0 {
		n, done, err := h.take(text)
		c.Check(err == nil && !done && n == len(text), "%d bytes that are no unfinished head: %v", len(text), err)
	}
}

// freeze shows the place in a body that has not ended.
func (b *httpBody) freeze(c *freeze.Coder) {
	freeze.Number(c, &b.kind, bodyNone, bodyClose)
	c.Offset(&b.left)
	freeze.Number(c, &b.phase, chunkSize, chunkTrailer)
	c.Bool(&b.strict, &b.keep)
	freeze.Number(c, &b.seen, 0, 2)
	freeze.Number(c, &b.trailers, 0, maxTrailers)
	c.Buffer(&b.line, &b.kept)
	c.Check(b.kind != bodyNone && (b.kind != bodyLength || b.left > 0), "a body that has ended")
	c.Check(b.phase != chunkEnd || b.seen < 2, "the end of a chunk that has ended")
	c.Check(len(b.line) <= maxChunkLine+maxTrailers && len(b.kept) <= maxTrailers, "lines of %d and %d bytes in a body", len(b.line), len(b.kept))
}

func (r *httpReply) freeze(c *freeze.Coder) {
	freeze.Number(c, &r.status, 0, 999)
	freeze.Number(c, &r.body, bodyNone, bodyClose)
	freeze.Number(c, &r.length, -1, 1<<62)
	c.Bool(&r.closes, &r.tunnel, &r.has206)
	c.Offset(&r.part.first, &r.part.last, &r.part.total)
	c.Text(&r.etag, &r.modified, &r.date, &r.contentType, &r.contentEncoding, &r.contentRange)
}

// freeze shows the hash, and the ring in the order of its bytes.
func (d *httpDecoded) freeze(c *freeze.Coder) {
	d.Prefix.Freeze(c)
	c.Bool(&d.keeps)
	last := append(append([]byte{}, d.last[d.at:]...), d.last[:d.at]...)
	c.Buffer(&last)
	if c.Thaws() {
		d.last, d.at = last, 0
	}
	c.Check(len(last) <= overlap && int64(len(last)) <= d.bytes, "%d bytes are kept of a body", len(last))
}

func (f *httpFramer) freeze(c *freeze.Coder) {
	c.Bool(&f.chunked, &f.open)
	c.Offset(&f.left)
}

func (d *httpDelivered) freeze(c *freeze.Coder) {
	freeze.Maybe(c, &d.reply, func(x *httpReply) { x.freeze(c) })
	d.decoded.freeze(c)
	d.client.freeze(c)
}

// Freeze shows how far the reply was repeated (Freezer).
func (j *httpRepeat) Freeze(c *freeze.Coder) {
	j.replies.Freeze(c)
	FreezeRequest(c, &j.req)
	c.Offset(&j.before, &j.passed)
	c.Buffer(&j.held)
	c.Bool(&j.closes)
	c.Check(len(j.held) <= 2*maxHeld, "%d bytes held", len(j.held))
}

// Freeze shows how far the reply was joined (Freezer).
func (j *httpJoiner) Freeze(c *freeze.Coder) {
	if c.Thaws() {
		j.req, j.first = &httpRequest{}, &httpReply{}
	}
	j.req.freeze(c)
	j.first.freeze(c)
	freeze.Number(c, &j.asked, -1, 1<<62)
	j.head.freeze(c)
	freeze.Maybe(c, &j.reply, func(x *httpReply) { x.freeze(c) })
	freeze.Maybe(c, &j.verifier, func(v *Verifier) { v.Freeze(c) })
	inBody := j.reply != nil && j.body.kind != bodyNone
	if c.Bool(&inBody); inBody {
		j.body.freeze(c)
	}
	c.Offset(&j.bytes, &j.saved)
	freeze.Number(c, &j.total, -1, 1<<62)
	j.decoded.freeze(c)
	j.client.freeze(c)
	c.Bool(&j.part)
	freezeErr(c, &j.err)
	c.Check(j.err != nil || (j.reply == nil) == (j.verifier == nil) && (j.reply != nil) == inBody, "a joined reply whose parts do not go together")
}

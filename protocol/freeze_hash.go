package protocol

import "github.com/poolproxy/poolproxy/freeze"

// Freeze shows all that was added (Freezer).
func (x *Prefix) Freeze(c *freeze.Coder) {
	c.Offset(&x.bytes, &x.spacing)
	if x.spacing == 0 {
		c.Check(x.bytes == 0, "%d bytes without a hash", x.bytes)
		return
	}
	state, err := x.digest.MarshalBinary()
	if err != nil {
		c.Fail("%v", err)
		return
	}
	c.Array(state)
	if c.Thaws() && c.Err() == nil {
		err = x.digest.UnmarshalBinary(state)
		c.Check(err == nil, "no state of a hash: %v", err)
	}
	freeze.List(c, &x.marks, func(sum *uint64) { c.Word(sum) })
	c.Check(len(x.marks) < markCount, "%d checkpoints", len(x.marks))
}

// FreezeDelivered shows what the client has of an interrupted reply.
func FreezeDelivered(c *freeze.Coder, d *Delivered) {
	c.Offset(&d.Bytes)
	c.Bool(&d.Ahead)
	c.Word(&d.Sum)
	const none, points, http, torn = 0, 1, 2, 3
	kind := none
	switch d.Detail.(type) {
	case nil:
	case *Checkpoints:
		kind = points
	case *httpDelivered:
		kind = http
	case redisTorn:
		kind = torn
	default:
		c.Fail("what is known of a reply (%T) is of another package and cannot be frozen", d.Detail)
	}
	freeze.Number(c, &kind, none, torn)
	switch kind {
	case points:
		freezeDetailAs(c, &d.Detail, (*Checkpoints).freeze)
	case http:
		freezeDetailAs(c, &d.Detail, (*httpDelivered).freeze)
	case torn:
		d.Detail = redisTorn{}
	}
}

func (p *Checkpoints) freeze(c *freeze.Coder) {
	c.Offset(&p.Spacing)
	freeze.List(c, &p.Sums, func(sum *uint64) { c.Word(sum) })
}

// Freeze shows the history (Freezer).
func (h *History) Freeze(c *freeze.Coder) { h.prefix.Freeze(c) }

// Freeze shows what is compared with what, and how far (Freezer).
func (v *Verifier) Freeze(c *freeze.Coder) {
	FreezeDelivered(c, &v.want)
	v.points.freeze(c)
	v.seen.Freeze(c)
	c.Offset(&v.sure)
	freezeErr(c, &v.err)
	c.Check(v.seen.bytes <= v.want.Bytes, "%d bytes compared of %d", v.seen.bytes, v.want.Bytes)
	c.Check(v.sure <= v.seen.bytes, "%d bytes are sure, %d were compared", v.sure, v.seen.bytes)
}

// Freeze shows how far the reply was joined (Freezer).
func (j *prefixJoiner) Freeze(c *freeze.Coder) {
	if c.Thaws() {
		j.verifier = &Verifier{}
	}
	j.verifier.Freeze(c)
	freezeParser(c, j.replies)
	FreezeRequest(c, &j.req)
	j.passed.Freeze(c)
	c.Bool(&j.ready)
	c.Buffer(&j.held)
	freezeErr(c, &j.err)
	c.Check(len(j.held) <= 2*maxHeld, "%d bytes held", len(j.held))
}

// Freeze shows how far the reply has come (Freezer).
func (c *Continuation) Freeze(to *freeze.Coder) {
	freezeParser(to, c.replies)
	FreezeRequest(to, &c.req)
}

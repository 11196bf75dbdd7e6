package protocol

import "github.com/poolproxy/poolproxy/freeze"

// redisJoins is the one kind of joiners of redis (JoinerMaker).
const redisJoins = 1

// NewJoiner makes an empty one (JoinerMaker).
func (r *redis) NewJoiner(kind uint8) Joiner {
	if kind != redisJoins {
		return nil
	}
	return &redisJoiner{inner: &prefixJoiner{replies: &redisReplies{}}}
}

// Kind tells that (JoinerMaker).
func (r *redis) Kind(j Joiner) uint8 {
	if _, ok := j.(*redisJoiner); ok {
		return redisJoins
	}
	return 0
}

func (d *redisDetail) freeze(c *freeze.Coder) {
	freeze.Number(c, &d.kind, redisPlainKind, redisEnd)
	c.Text(&d.confirm)
	c.Offset(&d.count)
	FreezeUnit(c, &d.unit)
	freeze.List(c, &d.changes, func(x *StateChange) { FreezeChange(c, x) })
	c.Bool(&d.blocks)
	freeze.Number(c, &d.outcome, 0, OutcomeAborted)
	c.Check(d.kind != redisSubscribe || new(redisReplies).counter(d.confirm) != nil, "confirmations by no name")
}

// Freeze shows where in a command the client is, and the state of the connection that it has asked for (Freezer).
func (r *redisRequests) Freeze(c *freeze.Coder) {
	r.conn.freeze(c)
	freezeErr(c, &r.err)
	freeze.Number(c, &r.part, redisFirst, redisStream)
	r.line.freeze(c)
	c.Buffer(&r.text)
	c.Offset(&r.argc, &r.argi, &r.left)
	r.words.freeze(c)
	FreezeRequest(c, &r.req)
	c.Bool(&r.known)
	c.Check(len(r.text) <= redisMaxInline, "an inline command of %d bytes", len(r.text))
	c.Check(r.part != redisBody || r.left > 0 && r.argi < r.argc, "an argument that has ended")
	c.Check(r.part != redisLength || r.argi < r.argc, "argument %d of %d", r.argi, r.argc)
	c.Check(r.part == redisFirst || r.req != nil, "a part of no command")
	if n := int64(len(r.words.ends)); r.part == redisBody || r.part == redisLength {
		c.Check(n >= min(r.argi, 1) && n <= r.argi, "%d words of %d arguments", n, r.argi)
	} else {
		c.Check(n == 0 || r.part == redisStream, "%d words of no command", n)
	}
}

func (k *redisConnection) freeze(c *freeze.Coder) {
	c.Bool(&k.multi, &k.off, &k.skip, &k.resp3, &k.monitor, &k.channel, &k.closing, &k.opaque, &k.once)
	FreezeUnit(c, &k.unit)
	freeze.List(c, &k.pending, func(x *StateChange) { FreezeChange(c, x) })
	c.Check(!k.multi || k.unit != nil, "a transaction that has not begun")
}

func (w *redisWords) freeze(c *freeze.Coder) {
	c.Bool(&w.all, &w.skip, &w.short)
	c.Buffer(&w.text)
	at := 0
	freeze.List(c, &w.ends, func(end *int) {
		freeze.Number(c, end, 0, len(w.text))
		c.Check(*end >= at, "a word ends at %d, before %d", *end, at)
		at = *end
	})
	c.Check(len(w.text) <= redisMaxWords+2*redisMaxWord, "words of %d bytes", len(w.text))
}

func (l *redisLine) freeze(c *freeze.Coder) {
	freeze.Number(c, &l.n, 0, len(l.text))
	c.Array(l.text[:l.n])
	c.Offset(&l.size)
	c.Bool(&l.cr)
	c.Check(int64(l.n) == min(l.size, int64(len(l.text))), "%d bytes of a line of %d", l.n, l.size)
}

// Freeze shows where in a reply the server is, and the state of the connection that it has confirmed (Freezer).
func (r *redisReplies) Freeze(c *freeze.Coder) {
	r.value.freeze(c)
	c.Offset(&r.size)
	freeze.Number(c, &r.sort, redisUndecided, redisPush)
	FreezeRequest(c, &r.req)
	freezeErr(c, &r.err)
	r.prefix.Freeze(c)
	r.before.Freeze(c)
	c.Bool(&r.aside, &r.held, &r.resp3, &r.monitoring)
	c.Offset(&r.confirmed, &r.expected, &r.channels, &r.patterns, &r.shards)
	if c.Thaws() && (r.req != nil || r.size > 0) {
		r.answers(r.req)
	}
	confirms := r.req != nil && r.d != nil && r.d.kind == redisSubscribe
	c.Check(r.size == 0 || r.sort != redisConfirmation || confirms, "a confirmation of nothing")
	c.Check(r.err != nil || (r.size == 0) == r.value.fresh(), "a reply of %d bytes", r.size)
}

func (v *redisValue) freeze(c *freeze.Coder) {
	freeze.Number(c, &v.typ, 0, 255)
	c.Offset(&v.body, &v.index)
	c.Bool(&v.inBody, &v.chunks, &v.behind, &v.null, &v.named)
	v.line.freeze(c)
	freeze.List(c, &v.stack, func(f *redisFrame) {
		freeze.Number(c, &f.left, -1, 2*redisMaxCount)
		c.Bool(&f.attribute)
		c.Check(f.left != 0, "an aggregate that has ended")
	})
	freeze.Number(c, &v.first, 0, 255)
	freeze.Number(c, &v.length, 0, len(v.word))
	c.Array(v.word[:v.length])
	freeze.Number(c, &v.number, -1<<62, 1<<62)
	c.Check(len(v.stack) <= redisMaxDepth, "%d aggregates within each other", len(v.stack))
	c.Check(!v.inBody || v.body > 0 && v.typ != 0, "a string that has ended")
	c.Check(v.typ != '.' || len(v.stack) > 0, "an end mark of nothing")
}

// Freeze shows how far the reply was joined, and what was pushed meanwhile (Freezer).
func (j *redisJoiner) Freeze(c *freeze.Coder) {
	j.split.Freeze(c)
	c.Buffer(&j.held)
	j.inner.(*prefixJoiner).Freeze(c)
	c.Buffer(&j.pushes)
	freezeErr(c, &j.err)
	c.Check(len(j.held) <= 2*maxHeld && len(j.pushes) <= maxHeld, "%d bytes held, %d pushed", len(j.held), len(j.pushes))
}

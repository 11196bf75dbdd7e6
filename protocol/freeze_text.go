package protocol

import "github.com/poolproxy/poolproxy/freeze"

// Freeze shows the one message (Freezer).
func (r *streamRequests) Freeze(c *freeze.Coder) { FreezeRequest(c, &r.req) }

// Freeze shows the hash of the replies, if there is one (Freezer).
func (r *streamReplies) Freeze(c *freeze.Coder) { r.prefix.Freeze(c) }

func (d *textDetail) freeze(c *freeze.Coder) {
	freeze.List(c, &d.changes, func(x *StateChange) { FreezeChange(c, x) })
	FreezeUnit(c, &d.unit)
	freezeRegexp(c, &d.expect)
	c.Bool(&d.greeting)
	freeze.Number(c, &d.outcome, 0, OutcomeAborted)
}

// Freeze shows where in a line the client is (Freezer).
func (r *lineRequests) Freeze(c *freeze.Coder) {
	r.scan.freeze(c)
	FreezeRequest(c, &r.req)
	c.Count(&r.states.number)
	FreezeUnit(c, &r.unit)
	c.Bool(&r.long)
	c.Check(r.unit == nil || r.line.End != nil, "a transaction, of which the configuration knows nothing")
	c.Check(r.scan.keep == r.line.matching || r.scan.seen == 0 || r.scan.seen > int64(r.scan.most), "a line that was not kept is to be matched now")
	r.scan.keep = r.line.matching
}

// Freeze shows where in a reply the server is (Freezer).
func (r *lineReplies) Freeze(c *freeze.Coder) {
	r.scan.freeze(c)
	r.prefix.Freeze(c)
	c.Bool(&r.holding)
}

// freeze shows the unfinished line. What is kept of it must be what the rest of it needs.
func (s *lineScanner) freeze(c *freeze.Coder) {
	c.Bool(&s.keep)
	c.Offset(&s.seen)
	c.Buffer(&s.kept)
	tail := s.tail[:s.nTail:s.nTail]
	c.Buffer(&tail)
	if !c.Thaws() {
		return
	}
	room := int64(len(s.delimiter) - 1)
	c.Check(int64(len(tail)) == min(s.seen, room), "%d bytes of the end of an unfinished line, where the delimiter has %d", len(tail), room+1)
	s.nTail = copy(s.tail[:], tail)
	whole := s.keep && s.seen <= int64(s.most)
	c.Check(whole && int64(len(s.kept)) == s.seen || !whole && s.kept == nil, "%d bytes are kept of an unfinished line of %d", len(s.kept), s.seen)
}

// Freeze shows where in a message the client is (Freezer).
func (r *lengthRequests) Freeze(c *freeze.Coder) {
	r.split.freeze(c)
	FreezeRequest(c, &r.req)
	c.Count(&r.states.number)
}

// Freeze shows where in a message the server is (Freezer).
func (r *lengthReplies) Freeze(c *freeze.Coder) {
	freeze.Number(c, &r.split.whole, 0, maxStateText)
	r.split.freeze(c)
	r.prefix.Freeze(c)
	c.Bool(&r.holding)
}

func (s *lengthSplitter) freeze(c *freeze.Coder) {
	c.Offset(&s.at, &s.seen, &s.total)
	c.Bool(&s.known)
	c.Buffer(&s.kept)
	c.Check(s.total == 0 || s.seen < s.total, "%d bytes of a message of %d", s.seen, s.total)
	c.Check(s.total <= s.length.MaxMessage, "a message of %d bytes, at most %d are taken (max_message)", s.total, s.length.MaxMessage)
	c.Check(s.total > 0 || !s.known, "the length of a message is known and is 0")
	c.Check(!s.known || s.kept == nil, "%d bytes are kept of a message for nothing", len(s.kept))
	if c.Thaws() && !s.known {
		want := min(s.seen, int64(s.want()))
		c.Check(int64(len(s.kept)) == want, "%d bytes are kept of a message, %d are needed", len(s.kept), want)
		c.Check(s.total > 0 || s.seen < int64(s.length.need), "the length of a message should be known")
	}
}

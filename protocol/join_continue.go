package protocol

// Continuation joins a reply that a new server goes on with just where the client stands, because it was asked to by a failover
// callback: nothing is compared, and the parser that knows how far the reply has come finds its end.
type Continuation struct {
	replies Replies
	req     *Request
}

// NewContinuation returns the Joiner for such a reply to req. replies is the parser of the leg that was cut, and the
// continuation's from now on.
func NewContinuation(replies Replies, req *Request) *Continuation {
	return &Continuation{replies: replies, req: req}
}

// Parser is the parser that knows how far the reply has come, should this leg be cut as well.
func (c *Continuation) Parser() Replies { return c.replies }

// Next passes everything on (Joiner), also what the parser wants to hold: the client has to have what the parser has seen.
func (c *Continuation) Next(p []byte) (n int, out []byte, end bool, err error) {
	cut, err := c.replies.Next(c.req, p)
	if err != nil {
		return 0, nil, false, err
	}
	return cut.N, p[:cut.N], cut.End, nil
}

// Finish asks the parser (Joiner).
func (c *Continuation) Finish() bool { return c.replies.Finish(c.req) }

// Closes: a reply that can be continued has an end of its own (Joiner).
func (c *Continuation) Closes() bool { return false }

// Skipped: nothing comes twice (Joiner).
func (c *Continuation) Skipped() int64 { return 0 }

// Saved is not known: the callback has asked for the rest in its own words (Joiner).
func (c *Continuation) Saved() int64 { return 0 }

// Delivered counts what came before, too (Joiner).
func (c *Continuation) Delivered() Delivered { return c.replies.Delivered() }

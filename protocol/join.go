package protocol

import "fmt"

// maxHeld is how many bytes Replies may hold in a row (see Cut.Hold).
const maxHeld = 64 << 10

// prefixJoiner joins a reply that is repeated byte for byte from its beginning: what the client has of it is verified and
// dropped, the rest is passed on.
type prefixJoiner struct {
	verifier *Verifier
	replies  Replies
	req      *Request
	passed   Prefix // continues the verifier's when that is done: the bytes that the client has
	ready    bool   // passed is valid: the delivered prefix is verified
	held     []byte // new bytes that replies holds; at most maxHeld, with those of one Next
	own      []byte // held bytes on their way out; the caller has them until the next call
	err      error  // what ended it; stays
}

// NewPrefixJoiner returns the Joiner for protocols whose requests are sent again as they were: the first d.Bytes bytes of the
// new reply must be those that the client has (see Verifier). replies finds the reply's end; it must be new, and is the
// joiner's from now on. req is the request that is answered, or nil when the protocol's replies need none.
func NewPrefixJoiner(d Delivered, replies Replies, req *Request) Joiner {
	return &prefixJoiner{verifier: NewVerifier(d), replies: replies, req: req}
}

func (j *prefixJoiner) Next(p []byte) (n int, out []byte, end bool, err error) {
	if j.err != nil {
		return 0, nil, false, j.err
	}
	cut, fresh, err := j.compare(p)
	if err != nil {
		j.err = err
		return 0, nil, false, err
	}
	j.own = nil
	switch {
	case j.verifier.Remaining() > 0:
		return cut.N, nil, false, nil
	case cut.Hold:
		j.held = append(j.held, fresh...)
		return cut.N, nil, false, nil
	case len(j.held) > 0:
		j.own, j.held = append(j.held, fresh...), nil
		fresh = j.own
	}
	if !j.ready {
		j.passed, j.ready = j.verifier.seen, true
	}
	j.passed.Add(fresh)
	return cut.N, fresh, cut.End, nil
}

// compare takes one cut off p; fresh is the part of it that the client has not.
func (j *prefixJoiner) compare(p []byte) (cut Cut, fresh []byte, err error) {
	if cut, err = j.replies.Next(j.req, p); err != nil {
		return cut, nil, err
	}
	if _, fresh, err = j.verifier.Next(p[:cut.N]); err != nil {
		return cut, nil, err
	}
	if cut.End && j.verifier.Remaining() > 0 {
		err = fmt.Errorf("%w: it ends after %d bytes, the client already has %d",
			ErrMismatch, j.verifier.Compared(), j.verifier.want.Bytes)
	}
	return cut, fresh, err
}

// Finish reports false while bytes are missing that the client has: such an end of file completes nothing.
func (j *prefixJoiner) Finish() bool {
	return j.err == nil && j.verifier.Remaining() == 0 && j.replies.Finish(j.req)
}

// Closes: replies of these protocols have ends of their own (Joiner).
func (j *prefixJoiner) Closes() bool { return false }

// Saved: everything is asked for again (Joiner).
func (j *prefixJoiner) Saved() int64 { return 0 }

func (j *prefixJoiner) Skipped() int64 { return j.verifier.Compared() }

// Delivered is the old description until it is verified; then it grows with what is passed.
func (j *prefixJoiner) Delivered() Delivered {
	if !j.ready {
		return j.verifier.want
	}
	return j.passed.Delivered()
}

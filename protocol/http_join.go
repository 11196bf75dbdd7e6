package protocol

import (
	"bytes"
	"errors"
)

var (
	errNoDetail = errors.New("protocol http: cannot join: nothing is known of the reply that the client has begun to read")
	errTunnel   = errors.New("protocol http: cannot join: the connection has become a tunnel (Upgrade or CONNECT)")
)

// Join asks for the missing part only (Range with If-Range), and for a few bytes before it (overlap) to be compared, where a
// validator vouches that another server has the same representation; otherwise the request is repeated as it was, and the Joiner
// compares all of it. If the client has nothing of the final reply, nothing is compared.
//
// The Joiner has two methods that the face does not name: Saved() int64 is how many bytes of the body were not fetched twice thanks
// to Range, and Closes() bool is Cut.Close of the joined reply: the client's connection must be closed behind it.
func (h *httpProtocol) Join(req *Request, head []byte, delivered Delivered) ([]byte, Joiner, error) {
	had, ok := delivered.Detail.(*httpDelivered)
	switch {
	case !ok && delivered.Bytes > 0:
		return nil, nil, errNoDetail
	case !ok || had.reply == nil:
		return nil, &httpRepeat{replies: h.newReplies(), req: req, before: delivered.Bytes}, nil
	case had.reply.tunnel:
		return nil, nil, errTunnel
	}
	j := newHTTPJoiner(h, detailOf(req), delivered.Bytes, had)
	value, first, ok := had.reply.missing(j.req, &had.decoded)
	if !ok || head == nil {
		return nil, j, nil
	}
	again, err := rewriteRange(bytes.TrimLeft(head, "\r\n"), value, had.reply.validator())
	if err != nil {
		return nil, nil, err
	}
	j.asked = first
	return again, j, nil
}

// httpRepeat is the Joiner of a reply of which the client has nothing, or interim replies only.
type httpRepeat struct {
	replies *httpReplies
	req     *Request
	before  int64  // bytes that the client had
	passed  int64  // bytes that it got from here
	held    []byte // bytes that replies holds
	own     []byte // held bytes on their way out
	closes  bool
}

func (j *httpRepeat) Next(p []byte) (n int, out []byte, end bool, err error) {
	cut, err := j.replies.Next(j.req, p)
	if err != nil {
		return 0, nil, false, err
	}
	out = p[:cut.N]
	if cut.Hold || len(j.held) > 0 {
		j.held = append(j.held, out...)
		out = nil
	}
	if !cut.Hold && len(j.held) > 0 {
		j.own, j.held = j.held, nil
		out = j.own
	}
	if j.replies.interim && !cut.Hold && j.before > 0 {
		out = nil // the client has had the interim replies
	}
	j.passed += int64(len(out))
	j.closes = cut.Close
	return cut.N, out, cut.End, nil
}

func (j *httpRepeat) Finish() bool   { return j.replies.Finish(j.req) }
func (j *httpRepeat) Skipped() int64 { return 0 }
func (j *httpRepeat) Saved() int64   { return 0 }
func (j *httpRepeat) Closes() bool   { return j.closes }

func (j *httpRepeat) Delivered() Delivered {
	d := j.replies.Delivered()
	d.Bytes = j.before + j.passed
	return d
}

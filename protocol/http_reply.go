package protocol

import (
	"net/http"
	"slices"
)

// httpReply is what is remembered of the head of a final reply.
type httpReply struct {
	status int
	body   bodyKind
	length int64 // of the body, -1: not known
	closes bool  // the server closes the connection behind the reply
	tunnel bool  // 101, or 2xx to CONNECT: what follows is not HTTP
	has206 bool  // status 206, and part is what its Content-Range says
	part   contentRange

	etag, modified, date, contentType, contentEncoding, contentRange string // field values
}

// httpDelivered is Delivered.Detail: how far the interrupted reply went.
type httpDelivered struct {
	reply   *httpReply // nil: the client has nothing of the final head, but perhaps interim replies
	decoded httpDecoded
	client  httpFramer // where the client is in the body's framing
}

// newDelivered takes a copy of all that goes on changing.
func newDelivered(reply *httpReply, decoded httpDecoded, client httpFramer) *httpDelivered {
	decoded.marks = slices.Clone(decoded.marks)
	decoded.last = slices.Clone(decoded.last)

	return &httpDelivered{reply: reply, decoded: decoded, client: client}
}

type httpReplies struct {
	head    httpHead
	body    httpBody
	reply   *httpReply // of the current message; nil before its final head
	interim bool       // the last Cut was an interim reply
	passed  int64      // bytes of the current message that the client has
	held    int64      // bytes that it will have with the next Cut that does not hold
	decoded httpDecoded
	client  httpFramer // where the client is in the body
	told    bool       // Cut.Tunnel was set
	err     error
}

// Next sets Cut.Close from the final head on.
func (r *httpReplies) Next(req *Request, p []byte) (Cut, error) {
	if r.err != nil {
		return Cut{}, r.err
	}
	var c Cut
	if c, r.err = r.next(detailOf(req), req == nil, p); r.err != nil {
		return Cut{}, r.err
	}
	c.Close = r.reply != nil && r.reply.closes
	c.Tunnel = r.reply != nil && r.reply.tunnel && !r.told
	r.told = r.told || c.Tunnel
	r.held += int64(c.N)
	if !c.Hold {
		r.passed, r.held = r.passed+r.held, 0
		r.client = newFramer(&r.body)
	}
	if c.End {
		r.passed, r.reply = 0, nil
		r.decoded.Reset()
	}
	return c, nil
}

func (r *httpReplies) next(d *httpRequest, unasked bool, p []byte) (Cut, error) {
	n := 0
	if r.reply == nil {
		k, done, err := r.head.take(p)
		if err != nil {
			return Cut{}, err
		}
		if !done {
			return Cut{N: k, Hold: true}, nil
		}
		reply, err := parseReply(r.head.text(), d, unasked)
		r.head.reset()
		if err != nil {
			return Cut{}, err
		}
		if r.interim = reply == nil; r.interim {
			return Cut{N: k}, nil
		}
		r.reply, r.body, n = reply, newBody(reply.body, reply.length), k
		if reply.body == bodyLength && reply.length <= int64(len(p)-n) { // it is complete: nobody asks what was in it
			r.body.left = 0
			return Cut{N: n + int(reply.length), End: true}, nil
		}
		r.decoded.keeps = reply.rangeable(d)
	}
	return r.body.cut(p, n, &r.decoded)
}

func (r *httpReplies) Finish(*Request) bool {
	return r.reply != nil && r.reply.body == bodyClose && r.err == nil
}

// Delivered leaves Sum 0: two servers need not frame one body alike. The Detail has the hash of the decoded body.
func (r *httpReplies) Delivered() Delivered {
	return Delivered{Bytes: r.passed, Ahead: r.reply == nil, Detail: newDelivered(r.reply, r.decoded, r.client)}
}

// parseReply judges a complete head. It returns nil for an interim reply (RFC 9110 §15.2). unasked: there is no request.
func parseReply(head []byte, d *httpRequest, unasked bool) (*httpReply, error) {
	if r := plainReply(head, d); r != nil {
		return r, nil
	}
	return readReply(head, d, unasked)
}

// readReply is parseReply for any head, with the help of net/http.
func readReply(head []byte, d *httpRequest, unasked bool) (*httpReply, error) {
	framing, err := readFraming(head)
	if err != nil {
		return nil, err
	}
	resp, err := readHTTPResponse(head, d.method)
	if err != nil {
		return nil, errHTTP("reply head", "%s", withoutBytes(err))
	}
	status := resp.StatusCode
	switch {
	case resp.ProtoMajor != 1 || status < 100:
		return nil, errHTTP("reply head", "%s, status %d", resp.Proto, status)
	case status == http.StatusSwitchingProtocols && !d.tunnel && !d.offers && !unasked:
		return nil, errHTTP("reply head", "status 101 to a request without Upgrade")
	case status < 200 && status != http.StatusSwitchingProtocols:
		return nil, nil
	}
	r := &httpReply{
		status:          status,
		closes:          resp.Close || d.closes,
		etag:            resp.Header.Get("ETag"),
		modified:        resp.Header.Get("Last-Modified"),
		date:            resp.Header.Get("Date"),
		contentType:     resp.Header.Get("Content-Type"),
		contentEncoding: resp.Header.Get("Content-Encoding"),
		contentRange:    resp.Header.Get("Content-Range"),
	}
	if status == http.StatusPartialContent {
		r.part, r.has206 = parseContentRange(r.contentRange)
	}
	return r, r.frame(framing, d, resp.ProtoMinor)
}

// frame finds out how the body is framed (RFC 9112 §6.3).
func (r *httpReply) frame(framing httpFraming, d *httpRequest, minor int) (err error) {
	switch {
	case r.status == http.StatusSwitchingProtocols, d.method == http.MethodConnect && r.status < 300:
		r.body, r.length, r.tunnel = bodyClose, -1, true
		return nil
	case d.method == http.MethodHead, r.status == http.StatusNoContent, r.status == http.StatusNotModified:
		r.body, r.length = bodyNone, 0
		return nil
	}
	r.body, r.length, err = framing.body(minor, bodyClose)
	r.closes = r.closes || r.body == bodyClose
	return err
}

package protocol

// lengthRequests splits the client's messages. Each is one request.
type lengthRequests struct {
	split lengthSplitter
	req   *Request
}

func (r *lengthRequests) Next(p []byte) (Cut, *Request, error) {
	n, end, head, err := r.split.next(p)
	if err != nil {
		return Cut{}, nil, err
	}
	req, l := r.req, r.split.length
	if req == nil {
		req = &Request{Expect: l.expect(), Label: "message that has just begun"}
	}
	if head != nil {
		req.Safe = l.safe(head)
		req.Label = l.labels.of(r.split.total)
	}
	cut := Cut{N: n, End: end, Known: r.split.known}
	if r.req = req; end {
		r.req = nil
		r.split.done()
	}
	return cut, req, nil
}

// expect is how every request is answered.
func (l *length) expect() Expect {
	if l.Reply == ReplyNone {
		return ExpectNone
	}
	return ExpectOne
}

// lengthReplies splits the server's messages. Each is one reply. Where messages answer nothing (ReplyNone), an unfinished one
// is held as long as it is no longer than maxHeld, so that a leg ends between whole messages.
type lengthReplies struct {
	split   lengthSplitter
	prefix  Prefix // what was let pass of the current reply; with holding set, it counts the held bytes as well
	holding bool
}

func (r *lengthReplies) Next(_ *Request, p []byte) (Cut, error) {
	n, end, _, err := r.split.next(p)
	if err != nil {
		return Cut{}, err
	}
	r.holding = !end && r.split.length.expect() == ExpectNone && max(r.split.seen, r.split.total) <= maxHeld
	if end {
		r.prefix.Reset()
		r.split.done()
	} else {
		r.prefix.Add(p[:n])
	}
	return Cut{N: n, End: end, Hold: r.holding}, nil
}

// Finish reports whether nothing is open: an end of file completes no message.
func (r *lengthReplies) Finish(req *Request) bool { return req == nil && r.split.seen == 0 }

// Delivered describes the current message. One that is still held counts nothing, since it is held from its first byte.
func (r *lengthReplies) Delivered() Delivered {
	if r.holding {
		return new(Prefix).Delivered()
	}
	return r.prefix.Delivered()
}

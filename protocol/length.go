package protocol

// lengthRequests splits the client's messages. Each is one request.
type lengthRequests struct {
	split  lengthSplitter
	req    *Request
	states stateRules
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
		if l.matching && int64(len(head)) == r.split.total {
			r.judge(req, head)
		}
	}
	cut := Cut{N: n, End: end, Known: r.split.known}
	if r.req = req; end {
		r.req = nil
		r.split.done()
	}
	return cut, req, nil
}

// judge matches a whole message.
func (r *lengthRequests) judge(req *Request, text []byte) {
	if d := r.states.of(text, false); d != nil {
		req.Safe, req.Detail = true, d
		if req.Expect == ExpectNone {
			d.outcome = OutcomeDone
		}
	}
	req.Sync = matchAny(r.split.length.Sync, text)
}

// lengthReplies splits the server's messages. Each is one reply. Where messages answer nothing (ReplyNone), and in a
// greeting, an unfinished one is held as long as it is no longer than maxHeld, so that a leg ends between whole messages.
type lengthReplies struct {
	split   lengthSplitter
	prefix  Prefix // what was let pass of the current reply; with holding set, it counts the held bytes as well
	holding bool
}

func (r *lengthReplies) Next(req *Request, p []byte) (Cut, error) {
	d := textDetailOf(req)
	if r.split.seen == 0 { // of a message that has begun before its request came, not all could be kept
		r.split.whole = 0
		if d.looks() {
			r.split.whole = maxStateText
		}
	}
	n, end, head, err := r.split.next(p)
	if err != nil {
		return Cut{}, err
	}
	r.holding = !end && (r.split.length.expect() == ExpectNone || d.greets()) && max(r.split.seen, r.split.total) <= maxHeld
	if end {
		d.answered(head, head != nil && int64(len(head)) == r.split.total) // a whole one is complete with its end
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

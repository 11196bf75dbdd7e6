package protocol

import "regexp"

// lineRequests splits the client's lines. Each is one request.
type lineRequests struct {
	line *line
	scan lineScanner
	req  *Request
}

func (r *lineRequests) Next(p []byte) (Cut, *Request, error) {
	req := r.req
	if req == nil {
		req = &Request{Expect: r.line.expect(), Label: "unfinished line"}
	}
	n, end, size, text, ok := r.scan.next(p)
	cut := Cut{N: n, End: end, Known: end || !r.line.matching}
	switch {
	case size > int64(r.line.MaxLine):
		req.Label = r.line.longLabel
		cut.Known = true
	case end:
		req.Label = r.line.labels.of(size)
	}
	if ok {
		req.Safe = matchAny(r.line.Safe, text)
		cut.Close = matchAny(r.line.Quit, text)
		if matchAny(r.line.OneWay, text) {
			req.Expect = ExpectNone
		}
	}
	if r.req = req; end {
		r.req = nil
	}
	return cut, req, nil
}

// expect is how a request is answered that OneWay does not match.
func (l *line) expect() Expect {
	if l.Reply == ReplyNone || l.Reply == ReplyStream {
		return ExpectNone
	}
	return ExpectOne
}

func matchAny(list []*regexp.Regexp, text []byte) bool {
	for _, re := range list {
		if re.Match(text) {
			return true
		}
	}
	return false
}

// lineReplies splits the server's lines into replies. Where lines answer nothing (ReplyNone, ReplyStream), an unfinished one is held,
// so that a leg ends between whole lines; if it passes maxHeld it is let go, since it must not be kept.
type lineReplies struct {
	line    *line
	scan    lineScanner
	prefix  Prefix // what was let pass of the current reply; with holding set, it counts the held bytes as well
	holding bool
}

func (r *lineReplies) Next(_ *Request, p []byte) (Cut, error) {
	cut := r.split(p)
	r.holding = cut.Hold
	if cut.End {
		r.prefix.Reset()
	} else {
		r.prefix.Add(p[:cut.N])
	}
	return cut, nil
}

// split finds the end of the reply.
func (r *lineReplies) split(p []byte) Cut {
	if r.line.Reply != ReplyUntil {
		n, end, size, _, _ := r.scan.next(p)
		return Cut{N: n, End: end, Hold: !end && r.line.expect() == ExpectNone && size <= maxHeld}
	}
	total := 0
	for total < len(p) {
		n, end, _, text, ok := r.scan.next(p[total:])
		total += n
		if end && ok && r.line.Until.Match(text) {
			return Cut{N: total, End: true}
		}
	}
	return Cut{N: total}
}

// Finish reports whether nothing is open: an end of file completes no line, and no reply.
func (r *lineReplies) Finish(req *Request) bool { return req == nil && r.prefix.Bytes() == 0 }

// Delivered describes the current reply. A line that is still held counts nothing, since lines are held from their first byte.
func (r *lineReplies) Delivered() Delivered {
	if r.holding {
		return new(Prefix).Delivered()
	}
	return r.prefix.Delivered()
}

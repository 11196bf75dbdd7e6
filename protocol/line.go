package protocol

import "regexp"

// lineRequests splits the client's lines. Each is one request.
type lineRequests struct {
	line   *line
	scan   lineScanner
	req    *Request
	states stateRules
	unit   *Unit // the open transaction
	long   bool  // the current line has been judged: it is too long
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
		cut.Known = true
		if !r.long {
			r.long, req.Label = true, r.line.longLabel
			r.join(req, nil)
		}
	case end:
		req.Label = r.line.labels.of(size)
	}
	if ok {
		cut.Close = r.judge(req, text)
	}
	if r.req = req; end {
		r.req, r.long = nil, false
	}
	return cut, req, nil
}

// judge says all that is known of a line, and whether it says goodbye.
func (r *lineRequests) judge(req *Request, text []byte) (closes bool) {
	l := r.line
	req.Safe = matchAny(l.Safe, text)
	closes = matchAny(l.Quit, text)
	if matchAny(l.OneWay, text) {
		req.Expect = ExpectNone
	}
	if r.unit == nil && l.Begin != nil && l.Begin.Match(text) {
		r.unit = &Unit{Begun: true}
	}
	d := r.states.of(text, r.unit != nil)
	if d != nil {
		req.Safe, req.Detail = true, d
		if req.Expect == ExpectNone {
			d.outcome = OutcomeDone
		}
	}
	r.join(req, d)
	if r.unit != nil && (closes || l.End.Match(text)) {
		r.unit.Ended, r.unit = true, nil
	}
	req.Sync = req.Expect == ExpectOne && r.unit == nil && matchAny(l.Sync, text)
	return closes
}

// join makes a request, of which d is the detail (nil: it has none yet), a part of the open transaction, if there is one. By itself
// no part of one is safe.
func (r *lineRequests) join(req *Request, d *textDetail) {
	if r.unit == nil {
		return
	}
	if d == nil {
		d = &textDetail{}
		req.Detail = d
	}
	d.unit = r.unit
	r.unit.Members++
	r.unit.Unsafe = r.unit.Unsafe || !req.Safe
	req.Safe = false
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
// so that a leg ends between whole lines; if it passes maxHeld it is let go, since it must not be kept. The same holds for greetings.
type lineReplies struct {
	line    *line
	scan    lineScanner
	prefix  Prefix // what was let pass of the current reply; with holding set, it counts the held bytes as well
	holding bool
}

func (r *lineReplies) Next(req *Request, p []byte) (Cut, error) {
	cut := r.split(textDetailOf(req), p)
	r.holding = cut.Hold
	if cut.End {
		r.prefix.Reset()
	} else {
		r.prefix.Add(p[:cut.N])
	}
	return cut, nil
}

// split finds the end of the reply to the request whose detail is d.
func (r *lineReplies) split(d *textDetail, p []byte) Cut {
	last := r.last(d)
	if r.scan.seen == 0 { // of a line that has begun before its request came, not all could be kept
		r.scan.keep = last != nil || d.looks()
	}
	for total := 0; ; {
		n, end, size, text, ok := r.scan.next(p[total:])
		total += n
		switch {
		case end && (last == nil || ok && last.Match(text)):
			d.answered(text, ok)
			return Cut{N: total, End: true}
		case total == len(p):
			hold := !end && last == nil && r.line.expect() == ExpectNone && size <= maxHeld ||
				d.greets() && r.prefix.Bytes()+int64(total) <= maxHeld
			return Cut{N: total, Hold: hold}
		}
	}
}

// last matches the last line of the reply; nil: it has one line.
func (r *lineReplies) last(d *textDetail) *regexp.Regexp {
	if d.greets() {
		return r.line.LineConfig.Greeting
	}
	return r.line.Until
}

// Finish reports whether nothing is open: an end of file completes no line, and no reply.
func (r *lineReplies) Finish(req *Request) bool { return req == nil && r.prefix.Bytes() == 0 }

// Delivered describes the current reply. What is still held counts nothing, since it is held from its first byte.
func (r *lineReplies) Delivered() Delivered {
	if r.holding {
		return new(Prefix).Delivered()
	}
	return r.prefix.Delivered()
}

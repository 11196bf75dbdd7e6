package protocol

import "slices"

// redisTorn is Delivered.Detail where the client has part of a push that was too long to be held.
type redisTorn struct{}

// What the message that is being read is.
type redisSort uint8

const (
	redisUndecided redisSort = iota
	redisReply
	redisConfirmation // part of the reply to a command of the SUBSCRIBE family
	redisPush
)

// redisReplies splits a server's bytes into replies and pushes. The state of the connection is what the server has confirmed.
type redisReplies struct {
	value redisValue
	size  int64 // bytes of the current message
	sort  redisSort
	req   *Request     // that the current message may answer
	d     *redisDetail // of req
	plain redisDetail  // the d of requests that have none
	err   error

	prefix Prefix // of the reply, as far as it came; while aside, of the current message, too
	before Prefix // prefix without the current message, while aside
	aside  bool   // the current message is, or may be, a push, a confirmation or what a loading server says
	held   bool   // nothing of the current message was let pass

	confirmed int64 // confirmations of the current reply
	expected  int64

	resp3      bool
	monitoring bool
	channels   int64 // subscriptions, by what kind of command they came
	patterns   int64
	shards     int64
}

func (r *redisReplies) Next(req *Request, p []byte) (Cut, error) {
	if r.err != nil {
		return Cut{}, r.err
	}
	if req != nil && req.Expect == ExpectUnknown {
		return Cut{N: len(p)}, nil
	}
	if r.req == nil || r.size == 0 {
		r.answers(req)
	}
	n, done, err := r.value.next(p)
	if r.err = err; err != nil {
		return Cut{}, err
	}
	whole := r.size == 0 || r.held // nothing of the message was let pass
	if r.size == 0 {
		r.begin(done)
	}
	r.size += int64(n)
	if !done || r.aside { // of a reply that is complete nobody asks any more
		r.prefix.Add(p[:n])
	}
	if r.sort == redisUndecided {
		r.sort = r.decide(done)
	}
	if r.sort == redisReply {
		r.aside = false
	}
	if !done {
		r.held = r.aside && r.size <= maxHeld
		return Cut{N: n, Hold: r.held, Push: r.sort == redisPush && !r.held}, nil
	}
	unready := whole && r.value.first == '-' && r.loading()
	cut := r.end(n)
	cut.Unready = unready
	return cut, nil
}

// answers notes the request that the current message may answer.
func (r *redisReplies) answers(req *Request) {
	r.req = req
	if req != nil && req.Detail != nil {
		r.d = redisDetailOf(req)
		return
	}
	r.plain = redisDetail{}
	r.d = &r.plain
}

// begin is called with the first bytes of a message. done: they are all of it.
func (r *redisReplies) begin(done bool) {
	r.sort = redisUndecided
	if r.aside = r.mayBePush() || !done && r.value.first == '-'; !r.aside {
		return
	}
	r.before = r.prefix
	r.before.marks = slices.Clone(r.prefix.marks)
}

// mayBePush reports whether the first byte leaves it open what the message is.
func (r *redisReplies) mayBePush() bool {
	switch r.value.first {
	case '>':
		return true
	case '*':
		return r.d.kind == redisSubscribe || !r.resp3 && r.subscriptions() > 0
	case '+':
		return r.monitoring
	}
	return false
}

// decide says what the message is, as soon as its first words tell.
func (r *redisReplies) decide(done bool) redisSort {
	switch {
	case !r.aside:
		return redisReply
	case r.value.first == '-':
		if !done && r.mayBeLoading() {
			return redisUndecided
		}
		return redisReply
	case r.value.first == '+':
		switch {
		case !done && r.value.length < len(r.value.word):
			return redisUndecided
		case isMonitorLine(r.value.name()):
			return redisPush
		}
		return redisReply
	case !r.value.named && r.value.index == 0 && r.value.length < len(r.value.word) && !done:
		return redisUndecided
	}
	name := string(r.value.name())
	counter := r.counter(name)
	switch {
	case counter != nil && r.d.kind == redisSubscribe && r.d.confirm == name && r.req.Expect == ExpectOne:
		return redisConfirmation
	case r.value.first == '>' || counter != nil || name == "message" || name == "pmessage" || name == "smessage":
		return redisPush
	}
	return redisReply
}

// isMonitorLine: 1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
func isMonitorLine(p []byte) bool {
	digits, dot := 0, 0
	for i, b := range p {
		switch {
		case b >= '0' && b <= '9':
			digits++
		case b == '.' && dot == 0 && i > 0:
			dot = i
		default:
			return dot > 0 && digits == i-1 && i-dot == 7 && b == ' ' && (i+1 == len(p) || p[i+1] == '[')
		}
	}
	return false
}

// counter is the number of subscriptions that a confirmation of this name changes, nil if it is none.
func (r *redisReplies) counter(name string) *int64 {
	switch name {
	case "subscribe", "unsubscribe":
		return &r.channels
	case "psubscribe", "punsubscribe":
		return &r.patterns
	case "ssubscribe", "sunsubscribe":
		return &r.shards
	}
	return nil
}

func (r *redisReplies) subscriptions() int64 { return r.channels + r.patterns + r.shards }

// end takes the end of a message.
func (r *redisReplies) end(n int) Cut {
	cut := Cut{N: n, End: true}
	switch r.sort {
	case redisPush:
		r.count()
		cut.Push = true
		r.prefix = r.before
	case redisConfirmation:
		if r.confirmed == 0 {
			if r.expected = r.d.count; r.expected == 0 {
				r.expected = max(1, *r.counter(r.d.confirm))
			}
		}
		r.count()
		r.confirmed++
		if cut.End = r.confirmed == r.expected; cut.End {
			r.complete(OutcomeDone)
		}
	default:
		r.answered()
	}
	r.before = Prefix{}
	r.size, r.aside, r.held = 0, false, false
	r.value.reset()
	return cut
}

// count notes the number of subscriptions that a confirmation tells: of channels and patterns together, or of shard channels.
func (r *redisReplies) count() {
	switch counter := r.counter(string(r.value.name())); counter {
	case nil:
	case &r.channels:
		*counter = max(0, r.value.number-r.patterns)
	case &r.patterns:
		*counter = max(0, r.value.number-r.channels)
	default:
		*counter = max(0, r.value.number)
	}
}

// answered takes the end of a reply, and what it tells of the connection.
func (r *redisReplies) answered() {
	outcome := OutcomeDone
	switch {
	case r.value.first == '-' || r.value.first == '!':
		outcome = OutcomeFailed
	case r.value.first == '+' && string(r.value.name()) == "QUEUED":
		outcome = OutcomeQueued
	case r.d.kind == redisExec && r.value.null:
		outcome = OutcomeAborted
	}
	if outcome == OutcomeDone {
		switch r.d.kind {
		case redisHello:
			r.resp3 = r.value.first == '%'
		case redisMonitor:
			r.monitoring = true
		case redisReset:
			r.resp3, r.monitoring, r.channels, r.patterns, r.shards = false, false, 0, 0, 0
		}
	}
	r.complete(outcome)
}

// complete ends a reply.
func (r *redisReplies) complete(outcome Outcome) {
	r.d.outcome = outcome
	r.req, r.d = nil, nil
	r.confirmed = 0
	r.prefix.Reset()
}

// Finish reports whether nothing is open: an end of file completes no reply. A replication stream may end anywhere.
func (r *redisReplies) Finish(req *Request) bool {
	if req != nil {
		return req.Expect == ExpectUnknown
	}
	return r.size == 0 && r.confirmed == 0
}

// Delivered describes the current reply, or says that a push was torn, which no new leg can mend.
func (r *redisReplies) Delivered() Delivered {
	switch {
	case r.aside && r.held:
		return r.before.Delivered()
	case r.aside && r.sort == redisPush:
		return Delivered{Bytes: r.size, Detail: redisTorn{}}
	}
	return r.prefix.Delivered()
}

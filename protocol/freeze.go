package protocol

import (
	"errors"
	"regexp"

	"github.com/poolproxy/poolproxy/freeze"
)

// Freezer is implemented by parsers and joiners that can leave their process for another one (an upgrade). Freeze shows the Coder all that
// they remember; of one that is new, and of the same protocol, it makes what was frozen. What the protocol's settings say is not
// shown: it may have changed. Requests are shared with the session and other parsers: see FreezeRequest.
type Freezer interface {
	Freeze(c *freeze.Coder)
}

// JoinerMaker is implemented by protocols that have Joiners of their own (besides those that NewPrefixJoiner and NewContinuation return).
type JoinerMaker interface {
	// NewJoiner returns an empty Joiner of a kind, to be thawed; nil if there is no such. Kind says which of the protocol's joiners j is, from 1
	// on; 0: none.
	NewJoiner(kind uint8) Joiner
	Kind(j Joiner) uint8
}

// FreezeRequests shows the parser of a session's requests; thawed it is a new one of p.
func FreezeRequests(c *freeze.Coder, p Protocol, r *Requests) {
	if c.Thaws() {
		*r = p.Requests()
	}
	freezeParser(c, *r)
}

// FreezeReplies shows the parser of a leg's replies; nil stays nil.
func FreezeReplies(c *freeze.Coder, p Protocol, r *Replies) {
	set := *r != nil
	if c.Bool(&set); !set {
		return
	}
	if c.Thaws() {
		*r = p.Replies()
	}
	freezeParser(c, *r)
}

func freezeParser(c *freeze.Coder, parser any) {
	if f, ok := parser.(Freezer); ok {
		f.Freeze(c)
		return
	}
	c.Fail("a parser of this protocol (%T) cannot be frozen", parser)
}

// Kinds of joiners that are frozen; behind them come those of a JoinerMaker.
const (
	noJoiner = iota
	joinsPrefix
	joinsContinued
	joinsOwn
)

// FreezeJoiner shows a Joiner; nil stays nil.
func FreezeJoiner(c *freeze.Coder, p Protocol, j *Joiner) {
	maker, _ := p.(JoinerMaker)
	kind := uint8(noJoiner)
	switch x := (*j).(type) {
	case nil:
	case *prefixJoiner:
		kind = joinsPrefix
	case *Continuation:
		kind = joinsContinued
	default:
		if maker != nil && maker.Kind(x) > 0 {
			kind = joinsOwn - 1 + maker.Kind(x)
		} else {
			c.Fail("a joiner of protocol %s cannot be frozen", p.Name())
		}
	}
	freeze.Number(c, &kind, 0, 255)
	if c.Thaws() {
		switch {
		case kind == joinsPrefix:
			*j = &prefixJoiner{replies: p.Replies()}
		case kind == joinsContinued:
			*j = &Continuation{replies: p.Replies()}
		case kind >= joinsOwn && maker != nil:
			*j = maker.NewJoiner(kind - joinsOwn + 1)
		}
		c.Check(kind == noJoiner || *j != nil, "protocol %s has no joiner of kind %d", p.Name(), kind)
	}
	if *j != nil && c.Err() == nil {
		freezeParser(c, *j)
	}
}

// FreezeRequest shows a request to which several may refer: the session, its parsers and joiners.
func FreezeRequest(c *freeze.Coder, r **Request) {
	freeze.Shared(c, r, func(r *Request) { freezeRequest(c, r) })
}

func freezeRequest(c *freeze.Coder, r *Request) {
	c.Bool(&r.Safe, &r.Sync)
	freeze.Number(c, &r.Expect, 0, ExpectUnknown)
	c.Text(&r.Label)
	c.Offset(&r.Early)
	freezeDetail(c, &r.Detail)
}

// Kinds of Request.Detail that are frozen.
const (
	noDetail = iota
	detailHTTP
	detailText
	detailRedis
)

// freezeDetail shows a Request.Detail.
func freezeDetail(c *freeze.Coder, detail *any) {
	kind := noDetail
	switch (*detail).(type) {
	case nil:
	case *httpRequest:
		kind = detailHTTP
	case *textDetail:
		kind = detailText
	case *redisDetail:
		kind = detailRedis
	default:
		c.Fail("a request with a detail of another package cannot be frozen: %T", *detail)
	}
	freeze.Number(c, &kind, noDetail, detailRedis)
	switch kind {
	case detailHTTP:
		freezeDetailAs(c, detail, (*httpRequest).freeze)
	case detailText:
		freezeDetailAs(c, detail, (*textDetail).freeze)
	case detailRedis:
		freezeDetailAs(c, detail, (*redisDetail).freeze)
	}
}

func freezeDetailAs[T any](c *freeze.Coder, detail *any, f func(*T, *freeze.Coder)) {
	if c.Thaws() {
		*detail = new(T)
	}
	f((*detail).(*T), c)
}

// FreezeUnit shows a unit to which several requests may belong.
func FreezeUnit(c *freeze.Coder, u **Unit) {
	freeze.Shared(c, u, func(u *Unit) {
		c.Bool(&u.Watched, &u.Begun, &u.Ended, &u.Unsafe, &u.Mute)
		c.Count(&u.Members)
		c.Text(&u.broken)
	})
}

// FreezeChange shows a change of a connection's state.
func FreezeChange(c *freeze.Coder, s *StateChange) {
	c.Text(&s.Key, &s.Never)
	c.Bool(&s.Void)
	c.Bytes(&s.Send)
	c.Bytes(&s.Tell)
	FreezeValues(c, &s.Values)
}

// FreezeValues shows what was captured of a request.
func FreezeValues(c *freeze.Coder, values *map[string]string) {
	freeze.Map(c, values, func(v *string) { c.Text(v) })
}

// freezeRegexp shows a regular expression, nil too, by its text: another configuration may have another in its place.
func freezeRegexp(c *freeze.Coder, re **regexp.Regexp) {
	set := *re != nil
	if c.Bool(&set); !set {
		return
	}
	var text string
	if !c.Thaws() {
		text = (*re).String()
	}
	if c.Text(&text); c.Thaws() && c.Err() == nil {
		var err error
		*re, err = regexp.Compile(text)
		c.Check(err == nil, "a regular expression that is none: %v", err)
	}
}

// freezeErr shows the error that has ended a parser.
func freezeErr(c *freeze.Coder, err *error) {
	kinds := []error{nil, ErrMalformed, ErrMismatch, errFrozen}
	kind := 0
	text := ""
	if !c.Thaws() && *err != nil {
		kind, text = 3, (*err).Error()
		for k := 1; k < 3; k++ {
			if errors.Is(*err, kinds[k]) {
				kind = k
			}
		}
	}
	freeze.Number(c, &kind, 0, len(kinds)-1)
	if kind == 0 {
		return
	}
	if c.Text(&text); c.Thaws() {
		*err = &thawedErr{kind: kinds[kind], text: text}
	}
}

// errFrozen is the kind of errors that have no other.
var errFrozen = errors.New("protocol: an error of another process")

// thawedErr is an error of another process: it says what it said there.
type thawedErr struct {
	kind error
	text string
}

func (e *thawedErr) Error() string { return e.text }
func (e *thawedErr) Unwrap() error { return e.kind }

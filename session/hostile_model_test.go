package session

import (
	"errors"
	"slices"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// The protocol as docs/protocol.md has it, from either side: what a message means where the conversation has come to.

// common judges what is the same on both sides: data, what cannot be read, HELLO. done: there is nothing more to say.
func (t *court) common(w *wire, m spoken, x *message) (v verdict, done bool) {
	s := w.legs[m.stream]
	switch m.ppid {
	case mapping.PPIDMore, mapping.PPIDEnd:
		return t.data(w, s, int64(len(m.data))), true
	case mapping.PPIDASAP, mapping.PPIDSession:
	default:
		return mustEnd("an unknown PPID"), true
	}
	if m.ppid == mapping.PPIDASAP {
		return verdict{}, false
	}
	if err := x.parse(m.data); err != nil {
		return mustEnd(err.Error()), true
	}
	if w.hello != nil {
		return verdict{}, false
	}
	if x.typ != typeHello || m.stream != control || x.version < oldest || x.oldest > Version {
		return mustEnd("no HELLO, or none that is understood"), true
	}
	hello := *x
	w.hello = &hello
	return verdict{}, true
}

// data judges n bytes of application data.
func (t *court) data(w *wire, s *suit, n int64) verdict {
	switch {
	case w.hello == nil || s == nil:
		return mustEnd("data on a stream that carries no leg")
	case s.over:
		return verdict{}
	case s.end:
		return mustReset("data behind the end")
	case s.took+n > s.granted:
		return mustReset("data beyond the credit")
	}
	s.took += n
	return verdict{}
}

// acknowledged judges an ACK.
func (s *suit) acknowledged(x *message) verdict {
	if x.received < s.start || x.received > s.sent || x.credit > x.received+maxCredit {
		return mustReset("an ACK that is out of range")
	}
	s.start, s.credit = x.received, max(s.credit, x.credit)
	return verdict{}
}

// last judges a terminal message.
func (t *court) last(w *wire, s *suit) verdict {
	if !s.over {
		t.forget(s)
	}
	w.free(s.stream)
	return verdict{}
}

// ofUser judges what a pool user says to an element.
func (t *court) ofUser(w *wire, m spoken) verdict {
	var x message
	v, done := t.common(w, m, &x)
	s := w.legs[m.stream]
	switch {
	case done:
		return v
	case m.ppid == mapping.PPIDASAP:
		return t.asapOfUser(w, s, m)
	case x.typ == typeOpen || x.typ == typeResume:
		return t.beginsLeg(w, s, m.stream, &x)
	case s == nil:
		return mustEnd("a stream that carries no leg")
	case x.terminal():
		return t.last(w, s)
	case s.over:
		return verdict{}
	}
	switch x.typ {
	case typeAck:
		return s.acknowledged(&x)
	case typeFinish:
		if x.total != s.took {
			return mustReset("an end that is not where it should be")
		}
		s.end = true
		return verdict{}
	case typeHold:
		if s.holds++; x.total != s.took {
			return mustReset("a HOLD that is not where it should be")
		} else if s.holds > maxHolds {
			return mustReset("many HOLDs").orNothing()
		}
		return verdict{}
	case typeGiveUp:
		return verdict{}
	}
	return mustReset("a message that a pool user does not send")
}

// asapOfUser judges an ASAP message.
func (t *court) asapOfUser(w *wire, s *suit, m spoken) verdict {
	if w.hello == nil || !understood(m.data) {
		return verdict{}
	}
	parsed, _, err := asap.Parse(m.data)
	if errors.Is(err, asap.ErrUnknown) {
		return verdict{}
	} else if err != nil {
		return mustEnd(err.Error())
	}
	switch x := parsed.(type) {
	case asap.BusinessCard:
		return verdict{}
	case asap.CookieEcho:
		_, pending := w.echoes[m.stream]
		if m.stream == control || s != nil || pending || len(x.Cookie) > maxSealed || len(w.echoes) >= maxEchoes {
			return mustEnd("a cookie that may not be echoed here")
		}
		w.echoes[m.stream] = slices.Clone(x.Cookie)
		return verdict{}
	}
	return mustEnd("an ASAP message of an element")
}

// beginsLeg judges OPEN and RESUME.
func (t *court) beginsLeg(w *wire, s *suit, stream uint16, x *message) verdict {
	if s != nil || stream == control {
		return mustEnd("a stream that is in use")
	}
	echo, echoed := w.echoes[stream]
	delete(w.echoes, stream)
	if x.typ == typeResume && echoed {
		return mustEnd("RESUME behind a cookie")
	}
	old := t.tokens[x.token]
	s = &suit{w: w, stream: stream, token: x.token, user: w.hello.instance, number: x.leg, granted: w.credit, credit: w.hello.credit}
	if x.typ == typeResume {
		return t.resumes(w, old, s, x)
	}
	w.legs[stream] = s
	last, before := t.ended[x.token]
	switch {
	case old != nil && old.user != s.user:
		return t.maybeHeld(old, mustRefuse(CodeUnauthorized))
	case old != nil && old.number >= s.number, before && last >= s.number:
		return t.maybeHeld(old, mustRefuse(CodeStale))
	}
	if old != nil { // it is void from here on
		t.forget(old)
	}
	live := 0
	for range t.tokens {
		live++
	}
	t.tokens[x.token] = s
	if live >= t.r.o.maxLegs {
		return mustRefuse(CodeBusy).orNothing()
	}
	if _, err := t.r.o.cookies.unseal(x.token, echo); echoed && err != nil {
		return mustRefuse(CodeCookie)
	}
	return verdict{what: fine, forgive: live >= t.r.o.maxLegs-1}
}

// maybeHeld: a leg that is out of touch may have been given up meanwhile, of which the model does not hear.
func (t *court) maybeHeld(old *suit, v verdict) verdict {
	if old != nil && old.w == nil {
		return verdict{forgive: true, what: v.what}
	}
	return v
}

// resumes judges RESUME of the leg old, which may be nil. s is what stands on the stream if it is refused.
func (t *court) resumes(w *wire, old, s *suit, x *message) verdict {
	if old != nil && old.w == w && old.user == s.user && old.number == x.leg && old.mayResume(x) {
		return mustEnd("RESUME of a leg that the association carries")
	}
	w.legs[s.stream] = s
	switch {
	case old == nil:
		if _, known := t.ended[x.token]; !known {
			t.ended[x.token] = x.leg
		}
		return mustRefuse(CodeNever, CodeNoLeg)
	case old.user != s.user:
		return t.maybeHeld(old, mustRefuse(CodeUnauthorized))
	case old.number != x.leg:
		return t.maybeHeld(old, mustRefuse(CodeStale))
	case !old.mayResume(x):
		return t.maybeHeld(old, mustRefuse(CodeProtocol))
	}
	if was := old.w; was != nil {
		delete(was.legs, old.stream)
	}
	old.w, old.stream, old.start, old.sent, old.credit = w, s.stream, x.received, x.received, max(old.credit, x.credit)
	w.legs[s.stream] = old
	return t.maybeHeld(&suit{}, verdict{})
}

func (s *suit) mayResume(x *message) bool {
	return x.received >= s.start && x.received <= s.highest && x.credit <= x.received+maxCredit
}

// ofElement judges what an element says to a pool user.
func (t *court) ofElement(w *wire, m spoken) verdict {
	var x message
	v, done := t.common(w, m, &x)
	s := w.legs[m.stream]
	switch {
	case done:
		return v
	case m.ppid == mapping.PPIDASAP:
		return t.asapOfElement(w, s, m)
	case m.stream == control && x.typ == typeDrain:
		return verdict{}
	case s == nil:
		return mustEnd("a stream that carries no leg")
	case x.terminal():
		return t.last(w, s)
	case s.over:
		return verdict{}
	}
	switch x.typ {
	case typeOpened:
		return verdict{}
	case typeAck:
		return s.acknowledged(&x)
	case typeResumed:
		if !s.lost || x.received < s.start || x.received > s.highest || x.credit > x.received+maxCredit {
			return mustReset("RESUMED that is out of range")
		}
		s.lost, s.sent, s.credit = false, x.received, max(s.credit, x.credit)
		return verdict{}
	case typeFinish:
		if x.total != s.took {
			return mustReset("an end that is not where it should be")
		}
		s.end = s.end || !s.gaveUp
		return verdict{}
	}
	return mustReset("a message that an element does not send")
}

// asapOfElement judges an ASAP message.
func (t *court) asapOfElement(w *wire, s *suit, m spoken) verdict {
	if w.hello == nil || !understood(m.data) {
		return verdict{}
	}
	parsed, _, err := asap.Parse(m.data)
	if errors.Is(err, asap.ErrUnknown) {
		return verdict{}
	} else if err != nil {
		return mustEnd(err.Error())
	}
	switch x := parsed.(type) {
	case asap.BusinessCard:
		if m.stream != control || len(x.Elements) > maxOrder {
			return mustEnd("a business card that may not be shown here")
		}
		return verdict{}
	case asap.CookieMessage:
		switch {
		case s == nil:
			return mustEnd("a cookie on a stream that carries no leg")
		case s.over:
			return verdict{}
		case len(x.Cookie) > maxSealed:
			return mustReset("a long cookie")
		}
		return verdict{}
	}
	return mustEnd("an ASAP message of a pool user")
}

package session

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// What the two sides say to each other in ASAP's words (RFC 5352 §2.2.11 to §2.2.13), on the same streams as all else: an
// association is control channel and data channel in one.

// maxEchoes is how many cookies a pool user may have echoed on one association whose OPEN has not come yet. Ours sends OPEN right
// behind, on the same stream: there is more than one only where streams overtake each other.
const maxEchoes = 256

// maxOrder is how many pool elements a business card may name: the order is gone through for each session that moves, and each
// address is looked up in the pool while all shards wait for that.
const maxOrder = 16

// shunnedFor is how long a session whose cookie an element does not take does not ask there again.
const shunnedFor = 2 * time.Second

// takeASAP takes an ASAP message of the peer. Those of other types than here are understood are not for this side.
func (l *link[T]) takeASAP(m mapping.Message, leg *T, s side[T], trace *Trace) {
	if l.hello == nil || !understood(m.Data) {
		trace.log('d', "ASAP message ignored", "peer", l.a.Remote(), "bytes", len(m.Data))
		return
	}
	x, _, err := asap.Parse(m.Data)
	switch {
	case errors.Is(err, asap.ErrUnknown): // RFC 5354 §3: in silence
		trace.log('d', "ASAP message ignored", "peer", l.a.Remote(), "reason", err)
	case err != nil:
		s.violate(err.Error())
	default:
		s.asap(m.Stream, leg, x)
	}
}

// understood reports whether it is an ASAP message that a sidecar may say to a sidecar.
func understood(p []byte) bool {
	return len(p) > 0 && slices.Contains([]asap.MessageType{asap.TypeCookie, asap.TypeCookieEcho, asap.TypeBusinessCard}, asap.MessageType(p[0]))
}

// tellASAP sends m, which is known to fit. As tell does.
func (l *link[T]) tellASAP(stream uint16, m asap.Message) {
	var err error
	if l.buf, err = asap.Append(l.buf[:0], m); err == nil {
		_ = l.a.Send(mapping.Message{Stream: stream, PPID: mapping.PPIDASAP, Data: l.buf}, nil)
	}
}

// asap takes a cookie, which the element sets, or its business card.
func (l *userLink) asap(stream uint16, leg *userLeg, m asap.Message) {
	if card, ok := m.(asap.BusinessCard); ok {
		l.card(stream, card)
		return
	}
	c, ok := m.(asap.CookieMessage)
	switch {
	case !ok:
		l.violate(fmt.Sprintf("an ASAP message (%v) that only a pool user sends", m.Type()))
	case leg == nil || leg.heard:
		l.violate("a cookie on a stream that carries no leg")
	case leg.over: // the element did not know yet
	case len(c.Cookie) > maxSealed:
		leg.violate(fmt.Sprintf("a cookie of %d bytes", len(c.Cookie)))
	default:
		leg.s.cookie.set(l.u.c.Loop.Buffers(), c.Cookie)
	}
}

// card takes the element's business card (RFC 5352 §3.9): where its sessions should go if it fails. It is only a wish, and only among
// the elements that this side knows.
func (l *userLink) card(stream uint16, c asap.BusinessCard) {
	handle := l.u.c.Pool.Handle
	switch {
	case stream != control:
		l.violate(fmt.Sprintf("a business card on stream %d", stream))
		return
	case len(c.Elements) > maxOrder:
		l.violate(fmt.Sprintf("a business card with %d pool elements", len(c.Elements)))
		return
	case string(c.Handle) != handle && l.misfit:
		return
	case string(c.Handle) != handle:
		l.misfit = true
		l.u.c.Trace.log('w', "business card ignored: it is of another pool", "pool_element", l.element.Name, "pool", handle, "says", fmt.Sprintf("%.64q", c.Handle))
		return
	}
	var order []netip.AddrPort
	for _, e := range c.Elements {
		for _, a := range e.User.Addresses {
			order = append(order, netip.AddrPortFrom(a, e.User.Port))
		}
	}
	known, news := l.u.c.Pool.Prefer(l.element.Name, l.hello.instance, order)
	if news {
		l.u.c.Trace.log('i', "business card", "pool_element", l.element.Name, "failover_order", known, "unknown", len(c.Elements)-len(known))
	}
}

// asap takes a cookie, which the pool user shows for the leg that it is about to open on the stream.
func (l *elementLink) asap(stream uint16, leg *Leg, m asap.Message) {
	echo, ok := m.(asap.CookieEcho)
	_, pending := l.echoes[stream]
	switch {
	case m.Type() == asap.TypeBusinessCard: // of a pool user that is an element of some pool, too (RFC 5352 §3.9); nobody here fails over to it
		l.e.c.Trace.log('d', "business card ignored", "pool_user", l.a.Remote())
	case !ok:
		l.violate(fmt.Sprintf("an ASAP message (%v) that only a pool element sends", m.Type()))
	case stream == control || leg != nil || pending:
		l.violate("a cookie is echoed on a stream that is in use")
	case len(echo.Cookie) > maxSealed:
		l.violate(fmt.Sprintf("a cookie of %d bytes is echoed", len(echo.Cookie)))
	case len(l.echoes) >= maxEchoes:
		l.violate(fmt.Sprintf("more than %d cookies are echoed for legs that were not opened", maxEchoes))
	default:
		if l.echoes == nil {
			l.echoes = make(map[uint16]keptCookie)
		}
		var k keptCookie
		k.set(l.e.c.Loop.Buffers(), echo.Cookie)
		l.echoes[stream] = k
	}
}

// echoed returns what was echoed on the stream, nil if nothing was, and forgets it.
func (l *elementLink) echoed(stream uint16) []byte {
	k, ok := l.echoes[stream]
	if !ok {
		return nil
	}
	delete(l.echoes, stream)
	p := k.bytes
	k.clear(l.e.c.Loop.Buffers())
	return p
}

// forgetEchoes forgets what was echoed for legs that will not be opened.
func (l *elementLink) forgetEchoes() {
	for stream := range l.echoes {
		l.echoed(stream)
	}
}

// echo shows the session's cookie to the element at which the leg is about to be opened.
func (g *userLeg) echo() {
	if c := g.s.cookie.bytes; c != nil {
		g.link.tellASAP(g.stream, asap.CookieEcho{Cookie: c})
	}
}

// cookieRefused has a session whose cookie an element does not take go on to others at once. The element is not to blame with other
// sessions, and this one comes back to it only after a while: it may get the right key.
func (s *Session) cookieRefused(cause string) {
	s.u.c.Trace.log('w', "session refused: an element does not take its cookie", "pool_element", s.from, "session", s.ID, "client", s.Client,
		"reason", cause)
	if s.shunned == nil {
		s.shunned = make(map[string]time.Time)
	}
	s.shunned[s.from] = s.u.c.Loop.Now().Add(shunnedFor)
	s.legRefused(cause)
}

// shuns says which elements are not asked now, nil: all may be.
func (s *Session) shuns(now time.Time) func(string) bool {
	if s.shunned == nil {
		return nil
	}
	return func(name string) bool { return now.Before(s.shunned[name]) }
}

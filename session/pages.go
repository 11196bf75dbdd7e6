package session

import (
	"errors"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// Bulk whose bytes nobody needs to see is passed on as pages: from the socket to a pipe, from there to the association, and the same
// at the other side; what is retained is a second hold on the same pages. Everything else is as it is for bytes, and wherever
// somebody does need them (a resumption, another leg, a piece of them), the Buffer is loaded and goes the way of all bytes.

// pageSocket is a Socket that takes pages. What is written is taken out of the Buffer. The error may be loop.ErrNoPages.
type pageSocket interface {
	WritePages(b *loop.Buffer) (int, error)
}

// pages sends application data that a piped Buffer holds.
func (l *link[T]) pages(stream uint16, from *loop.Buffer, end bool) {
	ppid := mapping.PPIDMore
	if end {
		ppid = mapping.PPIDEnd
	}
	_ = l.a.(mapping.PageSender).SendPages(mapping.Message{Stream: stream, PPID: ppid}, from) // as in tell
}

// logged sends what a log holds from an offset on and lies in one piece, at most limit bytes, and returns how many they are. ends
// tells whether a message of the application ends at an offset.
func (l *link[T]) logged(log *retrieval.Log, stream uint16, at int64, limit int, ends func(int64) bool) int64 {
	if l.takesPages() {
		if b, n := log.Pages(at, limit); b != nil {
			l.pages(stream, b, ends(at+int64(n)))
			return int64(n)
		}
	}
	p, from := log.At(at, limit)
	l.data(stream, p, from, ends(at+int64(len(p))))
	return int64(len(p))
}

// takesPages reports whether the association can carry pages.
func (l *link[T]) takesPages() bool {
	a, ok := l.a.(mapping.PageSender)
	return ok && a.TakesPages()
}

// noEnds is for what knows of no messages.
func noEnds(int64) bool { return false }

// receiveLoaded hands over a message that came as pages, and is not taken as such any more.
func receiveLoaded(h mapping.Handler, m mapping.Message, data *loop.Buffer) {
	from, to := data.Extent()
	data.Load()
	m.Data = data.Bytes[from:to]
	h.Receive(m)
	data.Drop()
}

// TakesPages reports whether the server may be given pages (mapping.PageHandler).
func (l *elementLink) TakesPages(stream uint16) bool {
	leg := l.streams.get(stream)
	return l.hello != nil && leg != nil && !leg.heard && !leg.over && leg.out.takesPages()
}

// ReceivePages takes application data for a server (mapping.PageHandler).
func (l *elementLink) ReceivePages(m mapping.Message, data *loop.Buffer) {
	leg := l.streams.get(m.Stream)
	from, to := data.Extent()
	if !l.TakesPages(m.Stream) || leg.out.end || leg.out.accepted+int64(to-from) > leg.granted {
		receiveLoaded(l, m, data)
		return
	}
	_ = leg.out.putPages(data) // when it fails, the reading side will say what has happened
	leg.consumed()
}

// TakesPages reports whether the client may be given pages (mapping.PageHandler).
func (l *userLink) TakesPages(stream uint16) bool {
	leg := l.streams.get(stream)
	return l.hello != nil && leg != nil && !leg.heard && !leg.over && !leg.end && leg.s.seesNothing()
}

// ReceivePages takes application data for a client (mapping.PageHandler).
func (l *userLink) ReceivePages(m mapping.Message, data *loop.Buffer) {
	leg := l.streams.get(m.Stream)
	from, to := data.Extent()
	if !l.TakesPages(m.Stream) || leg.received+int64(to-from) > leg.granted {
		receiveLoaded(l, m, data)
		return
	}
	leg.received += int64(to - from)
	leg.s.passPages(data)
	leg.consumed()
}

// seesNothing reports whether the server's bytes go to the client unseen.
func (s *Session) seesNothing() bool {
	g := s.leg
	if g == nil || s.done || s.closing || s.whole || s.record != nil || s.script.records() || !s.out.takesPages() {
		return false
	}
	if g.gaveUp != "" || g.restore != nil || g.joiner != nil || g.verifier != nil || len(g.kept) > 0 {
		return false
	}
	if g.replies == nil {
		return true
	}
	blind, ok := g.replies.(protocol.Blind)
	return ok && blind.Blind()
}

// passPages is fromServer for what nobody looks at.
func (s *Session) passPages(data *loop.Buffer) {
	s.heard = s.u.c.Loop.Now()
	s.unasked = s.unasked || s.leg.replies != nil && s.due() == nil
	s.failures = 0
	if err := s.out.putPages(data); err != nil {
		s.Broken(err)
	}
}

// TakesPages reports whether what the server says may be given to TakePages.
func (g *Leg) TakesPages() bool { return g.link != nil && !g.over && g.link.takesPages() }

// TakePages is Take for what a piped Buffer holds; the caller's hold on it is taken over.
func (g *Leg) TakePages(data *loop.Buffer) {
	if g.over {
		data.Drop()
		return
	}
	g.log.TakePages(data)
	g.pump()
	g.reads.skip = 0 // who answers has read
	if g.out.held {
		g.unhold()
	}
}

// TakesPages reports whether what the client says may be given to TakePages.
func (s *Session) TakesPages() bool {
	g := s.leg
	_, blind := s.requests.(protocol.BlindRequests)
	return blind && s.opaque && !s.whole && !s.script.records() && !s.done && !s.closing && s.broken == nil && g != nil && g.open && !g.lost && g.restore == nil &&
		g.link != nil && g.link.takesPages()
}

// TakePages is Take for what a piped Buffer holds; the caller's hold on it is taken over.
func (s *Session) TakePages(data *loop.Buffer) {
	blind, ok := s.requests.(protocol.BlindRequests)
	if !ok || s.done || s.closing {
		data.Drop()
		return
	}
	from, to := data.Extent()
	s.store.TakePages(data)
	cut, r := blind.Unseen(to - from)
	s.mark(cut, r)
	s.sendable = s.store.Marked()
	if s.leg != nil {
		s.leg.pump()
	}
}

// takesPages reports whether the socket takes pages.
func (o *outlet) takesPages() bool {
	_, ok := o.socket.(pageSocket)
	return ok && o.open && !o.held
}

// putPages is put for what a piped Buffer holds; the caller's hold on it is taken over. The error wraps ErrLocal.
func (o *outlet) putPages(data *loop.Buffer) error {
	from, to := data.Extent()
	if len(o.run) > 0 || o.held {
		data.Load()
		defer data.Drop()
		return o.put(data.Bytes[from:to])
	}
	o.accepted += int64(to - from)
	idle := o.spill.Len() == 0
	o.spill.TakePages(data)
	if !idle {
		return nil
	}
	return o.writable()
}

// writePages writes what is next in the spill if it is pages; ok is false if it is to be written as bytes.
func (o *outlet) writePages(limit int) (n int, ok bool, err error) {
	b, _ := o.spill.Pages(o.spill.Start(), limit)
	socket, can := o.socket.(pageSocket)
	if b == nil || !can {
		return 0, false, nil
	}
	n, err = socket.WritePages(b)
	if errors.Is(err, loop.ErrNoPages) {
		b.Load()
		return n, true, nil
	}
	return n, true, err
}

package session

import (
	"fmt"
	"time"
)

// receive takes a message of the pool user for this leg.
func (g *Leg) receive(m *message) {
	if m.terminal() {
		g.terminal(m)
		return
	}
	if g.over {
		return // the user did not know yet
	}
	switch m.typ {
	case typeAck:
		if m.received < g.log.Start() || m.received > g.sent || !g.grant(m.credit, m.received) {
			g.violate(fmt.Sprintf("acknowledgement of %d with %d sent, credit %d", m.received, g.sent, m.credit))
			return
		}
		g.log.Release(m.received)
		g.readOn()
	case typeFinish: // after a resumption it may come again: the user does not know whether it came before
		if m.total != g.out.accepted {
			g.violate(fmt.Sprintf("an end at %d, with %d bytes received", m.total, g.out.accepted))
			return
		}
		_ = g.out.finish(true) // when it fails, the reading side will say what has happened
		g.endOwed = true
		g.consumed()
	case typeHold:
		g.holdBack(m.total)
	case typeGiveUp:
		g.giveUp()
	default:
		g.violate(fmt.Sprintf("unexpected message of type %d", m.typ))
	}
}

// grant takes the user's credit; it reports false when that is out of range. Credit never goes back.
func (g *Leg) grant(credit, received int64) bool {
	if credit > received+maxCredit {
		return false
	}
	g.credit = max(g.credit, credit)
	return true
}

// readOn lets the owner read again if it had stopped and there is Room.
func (g *Leg) readOn() {
	if g.stopped && g.Room() > 0 {
		g.out.socket.ReadOn()
	}
}

// terminal ends the leg as the user wants, and answers with our own terminal message if that was not yet sent.
func (g *Leg) terminal(m *message) {
	g.heard = true
	if !g.over {
		g.link.tell(g.stream, &message{typ: typeClosed})
		g.finished(m.typ != typeClosed)
		return
	}
	g.detach()
}

// refuse answers OPEN or RESUME with a refusal; what says in the log which. Nothing was given to the server.
func (g *Leg) refuse(what string, code Code, text string) {
	level := byte('i')
	switch code {
	case CodeServer, CodeHealth, CodeBusy:
		level = 'd' // the pool user says it, and tries again often
	case CodeUnauthorized, CodeProtocol, CodeCookie:
		level = 'w'
	}
	if g.link != nil {
		g.c.Trace.refused(what, code)
		g.c.Trace.log(level, what+" refused", "pool_user", g.link.a.Remote(), "session", g.Session, "leg", g.Number,
			"reason", code, "text", text)
		g.link.tell(g.stream, &message{typ: typeRefused, code: code, text: text})
	}
	g.finished(true)
}

// violate ends the leg of a user that broke the rules; others are not harmed.
func (g *Leg) violate(reason string) {
	g.c.Trace.log('w', "leg ended: the pool user broke the session protocol", "pool_user", g.link.a.Remote(),
		"session", g.Session, "reason", reason)
	g.link.tell(g.stream, &message{typ: typeReset, code: CodeProtocol, text: reason})
	g.finished(true)
}

// supersede ends the leg because a newer one of the session has come: an older leg is void from then on.
func (g *Leg) supersede() {
	if g.link != nil {
		g.link.tell(g.stream, &message{typ: typeReset, code: CodeStale})
	}
	g.finished(true)
}

// finished lets go of the server and of what is retained, our terminal message being sent. The stream stays taken until the
// user's has come.
func (g *Leg) finished(abort bool) {
	g.drop(abort)
	if g.link != nil && !g.heard && g.link.streams.get(g.stream) == g {
		g.link.streams.replace(g.stream, &g.e.tomb)
	}
	g.detach()
}

// drop ends the server's connection and frees all memory.
func (g *Leg) drop(abort bool) {
	g.over = true
	g.c.Loop.Cancel(&g.timer)
	g.c.Loop.Cancel(&g.poll)
	if g.e.legs[g.token] == g {
		delete(g.e.legs, g.token)
		g.e.ended.add(g.token, g.Number, g.c.Loop.Now())
	}
	if abort || g.abortive {
		g.out.reset()
	} else {
		g.out.close()
	}
	g.log.Clear()
	g.cookie.clear(g.c.Loop.Buffers())
}

func (g *Leg) detach() {
	if g.link != nil && g.link.streams.get(g.stream) == g {
		g.link.streams.remove(g.stream, false)
	}
	if g.link != nil {
		g.link.passOver(g, &g.waits)
	}
	g.link = nil
}

// outOfTouch keeps the leg for its user to come back, for as long as was agreed.
func (g *Leg) outOfTouch() {
	l := g.link
	g.link, g.waits = nil, false
	if g.over {
		return
	}
	g.wait(g.holdFrom(l))
}

// holdFrom is how long the leg is kept if the association that carries it is lost now.
func (g *Leg) holdFrom(l *elementLink) time.Time {
	until := g.c.Loop.Now().Add(g.hold)
	if heard, ok := l.heard(); ok {
		until = earlier(until, heard.Add(l.c.Silence+g.hold))
	}
	return until
}

// wait keeps the leg, which is out of touch, until then.
func (g *Leg) wait(until time.Time) {
	if !g.c.Loop.Now().Before(until) {
		g.expire()
		return
	}
	g.c.Loop.Schedule(&g.timer, until)
}

// lapsed ends a leg whose pool user may have gone on without it, which nobody has noticed because this process stood still. It is asked
// before the server is given what was kept for it.
func (g *Leg) lapsed() bool {
	now := g.c.Loop.Now()
	if g.link == nil {
		if g.timer.Armed() && !now.Before(g.timer.At()) {
			g.expire()
		}
		return g.over
	}
	if heard, ok := g.link.heard(); ok && now.Sub(heard) > g.link.c.Silence+g.hold {
		l := g.link
		l.a.Abort()
		l.gone()
	}
	return g.over
}

// expire ends a leg whose user did not come back: the server must not go on with it.
func (g *Leg) expire() {
	g.c.Trace.log('i', "leg given up: its pool user did not come back", "session", g.Session, "leg", g.Number, "after", g.hold)
	g.drop(true)
}

// resumed attaches the leg to a new association and sends again what the user does not have.
func (g *Leg) resumed(l *elementLink, stream uint16, received int64) {
	g.c.Loop.Cancel(&g.timer)
	if old := g.link; old != nil {
		g.detach()
		old.lost()
	}
	g.attach(l, stream)
	g.sent, g.endSent = received, false
	credit, _ := g.window()
	g.granted = max(g.granted, credit)
	l.tell(stream, &message{typ: typeResumed, received: g.out.accepted, credit: g.granted})
	if g.told = 0; g.out.written() > 0 {
		g.ack(false) // what was written meanwhile; RESUMED tells only what was taken
	}
	if g.out.open {
		l.tell(stream, g.opened())
	}
	g.log.Release(received)
	g.cookieOwed = g.cookieSet // it may have been lost with the association
	g.pump()
	g.readOn()
}

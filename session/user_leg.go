package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/protocol"
)

// userLeg is a session's stay at one pool element, as the pool user's side sees it.
type userLeg struct {
	s      *Session
	number uint32
	link   *userLink // nil: it has none any more
	stream uint16
	begun  bool // OPEN was sent
	open   bool // OPENED came
	lost   bool // the association broke; to be resumed

	// Towards the element.
	spans   spans
	sent    int64 // offset of the next byte to send over the present association
	highest int64 // the same over any association
	acked   int64 // written to the server, as far as is known
	credit  int64
	endSent bool
	waits   bool // in link.waiting

	// Towards the client.
	replies  protocol.Replies // nil: opaque
	joiner   protocol.Joiner  // stands in for replies while an interrupted reply is joined
	verifier *protocol.Verifier
	held     []byte // reply bytes that the protocol does not let pass yet
	received int64
	granted  int64
	told     int64 // received, as last told
	owes     bool
	end      bool // the server's end has come

	over  bool // our terminal message is sent
	heard bool // the element's has come
}

// begin opens the leg on its stream. What the first credit allows is sent with it.
func (g *userLeg) begin(stream uint16, credit int64) {
	g.stream, g.begun, g.credit, g.granted = stream, true, credit, int64(g.s.u.c.Memory)
	f := &g.s.u.c.Failover
	g.link.tell(stream, &message{typ: typeOpen, token: g.s.token, session: g.s.ID, leg: g.number,
		hold: f.Resume + f.Resume/2, text: g.s.u.c.Pool.Handle})
	g.pump()
}

// resume asks the element to go on with the leg on a stream of a new association.
func (g *userLeg) resume(stream uint16) {
	g.stream = stream
	g.told = g.received
	g.granted = max(g.granted, g.window())
	g.link.tell(stream, &message{typ: typeResume, token: g.s.token, leg: g.number, received: g.received, credit: g.granted})
}

// window is the credit that the element may have: as much as the session's memory beyond what the client has taken.
func (g *userLeg) window() int64 {
	return g.received - int64(g.s.out.spill.Len()) + int64(g.s.u.c.Memory)
}

// receive takes a message of the element for this leg.
func (g *userLeg) receive(m *message) {
	if m.terminal() {
		g.terminal(m)
		return
	}
	if g.over {
		return // the element did not know yet
	}
	switch m.typ {
	case typeOpened:
		if !g.open {
			g.open = true
			g.s.legOpen()
		}
	case typeResumed:
		if !g.lost || m.received < g.acked || m.received > g.highest || m.credit > m.received+maxCredit {
			g.violate(fmt.Sprintf("resumed at %d of %d", m.received, g.highest))
			return
		}
		g.lost, g.sent, g.endSent = false, m.received, false
		g.credit = max(g.credit, m.credit)
		g.s.legResumed()
		g.pump()
		g.consumed()
	case typeAck:
		if m.received < g.acked || m.received > g.sent || m.credit > m.received+maxCredit {
			g.violate(fmt.Sprintf("acknowledgement of %d with %d sent, credit %d", m.received, g.sent, m.credit))
			return
		}
		g.s.taken(m.received)
		g.acked, g.credit = m.received, max(g.credit, m.credit)
		g.s.settle()
		g.pump()
	case typeFinish:
		if m.total != g.received {
			g.violate(fmt.Sprintf("an end at %d, with %d bytes received", m.total, g.received))
			return
		}
		if g.end {
			return // it comes again after a resumption: the element does not know whether it came before
		}
		g.end = true
		g.s.serverEnd()
	default:
		g.violate(fmt.Sprintf("unexpected message of type %d", m.typ))
	}
}

// terminal takes the element's last message for this leg.
func (g *userLeg) terminal(m *message) {
	g.heard = true
	if g.over {
		g.detach()
		return
	}
	g.over = true
	g.link.tell(g.stream, &message{typ: typeClosed})
	g.detach()
	g.s.legEnded(m)
}

// violate ends the leg of an element that broke the rules.
func (g *userLeg) violate(reason string) {
	g.abandon(CodeProtocol, reason)
	g.broke(reason)
}

// broke has the session survive an element that broke the rules: a failure like others. The element is passed over for a
// moment: one that does so each time is not to be tried at full speed.
func (g *userLeg) broke(reason string) {
	s := g.s
	s.u.c.Trace.log('w', "leg ended: the pool element broke the session protocol", "pool_element", s.from, "session", s.ID, "reason", reason)
	s.u.c.Pool.Failed(s.u.c.Loop.Now(), s.from)
	s.legFailed(failure{cause: "the pool element broke the session protocol: " + reason, reach: g.highest})
}

// abandon ends the leg from our side. The stream stays taken until the element's terminal message has come.
func (g *userLeg) abandon(code Code, reason string) {
	g.last(&message{typ: typeReset, code: code, text: reason})
}

func (g *userLeg) last(m *message) {
	if g.link == nil || g.over {
		g.over = true
		return
	}
	g.over = true
	if g.begun && g.link.streams.get(g.stream) == g {
		g.link.tell(g.stream, m)
		return
	}
	g.link.remove(g)
	g.link = nil
}

func (g *userLeg) detach() {
	if g.link != nil && g.link.streams.get(g.stream) == g {
		g.link.streams.remove(g.stream, true)
	}
	g.link = nil
}

// data takes bytes of the server.
func (g *userLeg) data(p []byte) {
	switch {
	case g.heard:
		g.link.violate("data on a stream whose leg has ended")
	case g.over: // the element did not know yet
	case g.end:
		g.violate("data behind the end")
	case g.received+int64(len(p)) > g.granted:
		g.violate(fmt.Sprintf("%d bytes beyond the credit", g.received+int64(len(p))-g.granted))
	default:
		g.received += int64(len(p))
		g.s.fromServer(p)
		g.consumed()
	}
}

// consumed tells the element how far its bytes were taken: at once if it may be waiting for that, else with the next round of ACKs.
func (g *userLeg) consumed() {
	if g.over || g.lost || g.link == nil {
		return
	}
	credit := g.window()
	switch {
	case farBack(g.told, g.received, g.s.u.c.Memory) || farBack(g.granted, credit, g.s.u.c.Memory):
		g.ack()
	case !g.owes && (g.told != g.received || credit > g.granted):
		g.owes = true
		g.s.u.acks.owe(g)
	}
}

func (g *userLeg) ackDue() {
	if g.owes && !g.over && !g.lost && g.link != nil {
		g.ack()
	}
	g.owes = false
}

func (g *userLeg) ack() {
	g.owes = false
	g.told = g.received
	g.granted = max(g.granted, g.window())
	g.link.tell(g.stream, &message{typ: typeAck, received: g.told, credit: g.granted})
}

// pump sends what the session has for this leg, as far as credit and the association's queue allow.
func (g *userLeg) pump() {
	if g.link != nil {
		g.link.pump(g, &g.waits, (*userLeg).piece)
	}
}

// piece sends one piece and reports whether there is more that may be sent.
func (g *userLeg) piece() (more bool) {
	if g.link == nil || !g.begun || g.over || g.lost {
		return false
	}
	s := g.s
	at := g.spans.at(g.sent)
	limit := min(g.credit-g.sent, maxPiece)
	var n int64
	if at.own != nil {
		p := at.own[g.sent-at.leg:]
		n = min(int64(len(p)), limit)
		if n > 0 {
			g.link.data(g.stream, p[:n], nil, n == int64(len(p)))
		}
	} else {
		from, to := at.from+g.sent-at.leg, at.to
		if to == toEnd {
			to = s.sendable
		}
		limit = min(limit, to-from)
		if limit > 0 {
			p, buffer := s.store.At(from, int(limit))
			n = int64(len(p))
			g.link.data(g.stream, p, buffer, s.store.EndsAt(from+n))
		}
	}
	if n > 0 {
		g.sent += n
		g.highest = max(g.highest, g.sent)
		return true
	}
	g.waits = false
	if s.ended && !g.endSent && g.sent == g.total() {
		g.endSent = true
		g.link.tell(g.stream, &message{typ: typeFinish, total: g.sent})
	}
	return false
}

// total is the offset behind the last byte that the client has sent so far.
func (g *userLeg) total() int64 {
	last := &g.spans[len(g.spans)-1]
	return last.leg + g.s.store.End() - last.from
}

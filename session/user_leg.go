package session

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
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
	spans      spans
	sent       int64 // offset of the next byte to send over the present association
	highest    int64 // the same over any association
	acked      int64 // written to the server, as far as is known
	credit     int64
	endSent    bool
	waits      bool                         // in link.waiting
	restore    *restore                     // what comes before the messages; nil when that is done
	reads      bool                         // the element acknowledges what its server has read
	held       queue[int64]                 // where unsafe messages begin that were not acknowledged up to there
	answer     bool                         // sending waits for an answer
	lastUnsafe *retrieval.Message[*request] // the last unsafe message that was sent; nil: none
	unready    *retrieval.Message[*request] // the server has said that it does not serve yet, in place of carrying it out; nil: of none
	replay     int64                        // where what was sent before ends, for the record; 0: that was told

	// Towards the client.
	replies  protocol.Replies // nil: opaque
	joiner   protocol.Joiner  // stands in for replies while an interrupted reply is joined
	verifier *protocol.Verifier
	kept     []byte // reply bytes that the protocol does not let pass yet
	received int64
	granted  int64
	told     int64 // received, as last told
	owes     bool
	end      bool // the server's end has come

	leaving   string    // why its session should leave; "": it need not
	stays     string    // why it has not yet
	inVain    bool      // one has waited for too long, and the server has said nothing since
	stuck     bool      // no message waits for a quiet point: it would be in vain
	heldSince time.Time // when one began to; zero: none does

	gaveUp  string // why the element was asked to end the leg; "": it was not
	lostAt  time.Time
	since   time.Time     // when it was lost first, without having come further since; see waitsSince
	reached int64         // how far it had come then
	silence time.Duration // how long the element may take to notice that it is out of touch

	over  bool // our terminal message is sent
	heard bool // the element's has come
}

// begin opens the leg on its stream, behind the session's cookie. What the first credit allows is sent with it.
func (g *userLeg) begin(stream uint16, credit int64) {
	g.stream, g.begun, g.credit, g.granted = stream, true, credit, int64(g.s.u.first())
	f := &g.s.u.c.Failover
	g.echo()
	open := &message{typ: typeOpen, token: g.s.token, session: g.s.ID, leg: g.number,
		hold: f.fence(), reads: f.Ack == AckRead, text: g.s.u.c.Pool.Handle}
	if g.link.hello.version >= versionEnds {
		open.ends = g.s.Ends
	}
	g.link.tell(stream, open)
	if g.restore != nil {
		g.restore.begin()
		return
	}
	g.ready()
	g.pump()
}

// ready is called when the messages may be sent.
func (g *userLeg) ready() {
	if g.s.record != nil && g.s.next.bytes > 0 {
		g.replay = g.sent + g.s.next.bytes
	}
}

// resume asks the element to go on with the leg on a stream of a new association.
func (g *userLeg) resume(stream uint16) {
	g.stream, g.lostAt = stream, time.Time{} // from here on the element may be in touch again: a fence begins anew
	g.told = g.received
	credit, _ := g.window()
	g.granted = max(g.granted, credit)
	g.link.tell(stream, &message{typ: typeResume, token: g.s.token, leg: g.number, received: g.received, credit: g.granted})
}

// window is the credit that the element may have beyond what the client has taken, and how much of that is a window. Who uses what all have has
// as much as there is for one.
func (g *userLeg) window() (credit int64, size int) {
	u := g.s.u
	if size = u.first(); farBack(g.told, g.received, size) {
		size = u.widest()
	}
	return g.received - int64(g.s.out.spill.Len()) + int64(size), size
}

// first is the credit of a fresh leg.
func (u *User) first() int { return firstCredit(u.c.First, u.c.Memory) }

// widest is the most credit that a leg may have now.
func (u *User) widest() int { return widestCredit(u.c.Window, u.c.First, u.c.Memory) }

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
			g.open, g.reads = true, m.reads
			g.s.legOpen()
		}
	case typeResumed:
		if !g.lost || m.received < g.acked || m.received > g.highest || m.credit > m.received+maxCredit {
			g.violate(fmt.Sprintf("resumed at %d of %d", m.received, g.highest))
			return
		}
		g.goOn(m.received)
		g.credit = max(g.credit, m.credit)
		g.s.legResumed()
		g.pump()
		g.consumed()
	case typeAck:
		for g.held.len() > 0 && g.held.first() <= m.received {
			g.held.pop()
		}
		if m.received < g.acked || m.received > g.sent || m.credit > m.received+maxCredit {
			g.violate(fmt.Sprintf("acknowledgement of %d with %d sent, credit %d", m.received, g.sent, m.credit))
			return
		}
		g.s.taken(m.received)
		g.acked, g.credit = m.received, max(g.credit, m.credit)
		g.s.settle()
		g.pump()
		g.s.depart()
	case typeFinish:
		if m.total != g.received {
			g.violate(fmt.Sprintf("an end at %d, with %d bytes received", m.total, g.received))
			return
		}
		if g.end {
			return // it comes again after a resumption: the element does not know whether it came before
		}
		if g.gaveUp == "" { // else what was said before the end is missing
			g.end = true
			g.s.serverEnd()
			g.answered()
		}
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
	s.legFailed(failure{cause: "the pool element broke the session protocol: " + reason, detector: "association", reach: g.highest})
}

// abandon ends the leg from our side. The stream stays taken until the element's terminal message has come.
func (g *userLeg) abandon(code Code, reason string) {
	g.last(&message{typ: typeReset, code: code, text: reason})
}

// Kill has the leg fail on purpose, as if its element had gone: what is not certain is in doubt. It reports whether there was one to be killed: one that
// is open and carries the session.
func (s *Session) Kill(cause string) bool {
	leg := s.leg
	if s.done || s.closing || leg == nil || !leg.open || leg.over || leg.lost || leg.end || leg.restore != nil || leg.gaveUp != "" {
		return false
	}
	leg.abandon(CodeAbandoned, cause)
	s.legFailed(failure{cause: cause, detector: "chaos", reach: leg.highest})
	return true
}

func (g *userLeg) last(m *message) {
	if g.link == nil || g.over {
		g.over = true
		return
	}
	g.over = true
	if g.begun && g.link.streams.get(g.stream) == g {
		g.link.tell(g.stream, m)
		g.link.streams.replace(g.stream, &g.s.u.tomb)
		g.link.passOver(g, &g.waits)
		return
	}
	g.link.remove(g)
	g.link = nil
}

func (g *userLeg) detach() {
	if g.link != nil && g.link.streams.get(g.stream) == g {
		g.link.streams.remove(g.stream, true)
	}
	if g.link != nil {
		g.link.passOver(g, &g.waits)
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
		g.said()
	}
}

// consumed tells the element how far its bytes were taken: at once if it may be waiting for that, else with the next round of ACKs.
func (g *userLeg) consumed() {
	if !g.begun || g.over || g.lost || g.link == nil {
		return
	}
	credit, size := g.window()
	switch {
	case farBack(g.told, g.received, g.s.u.c.Memory) || farBack(g.granted, credit, size):
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
	credit, _ := g.window()
	g.owes, g.told = false, g.received
	g.granted = max(g.granted, credit)
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
	if g.link == nil || !g.begun || g.over || g.lost || g.gaveUp != "" {
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
		limit = g.unsafe(from, g.atQuietPoint(from, min(limit, to-from)))
		if limit > 0 {
			n = g.link.logged(&s.store.Log, g.stream, from, int(limit), s.store.EndsAt)
		}
	}
	if n > 0 {
		g.sent += n
		g.highest = max(g.highest, g.sent)
		if g.replay > 0 && g.sent >= g.replay {
			g.replay = 0
			s.replayed()
		}
		return true
	}
	g.waits = false
	if g.restore == nil && s.ended && !g.endSent && g.sent == g.total() {
		if s.u.c.LateEnd && s.awaiting.len() > 0 && s.awaiting.first().Complete() {
			g.answer = true
			return false
		}
		g.endSent = true
		g.link.tell(g.stream, &message{typ: typeFinish, total: g.sent})
	}
	return false
}

// unsafe cuts what is sent in one piece, limit bytes of the log from offset from on, where an unsafe message begins, and tells the
// element of one that begins at from: with ack = "read" it is held back until the server has read all before it.
func (g *userLeg) unsafe(from, limit int64) int64 {
	if g.s.u.c.Failover.Ack != AckRead || g.s.opaque || limit <= 0 {
		return limit
	}
	for m := range g.s.store.Within(from, from+limit) {
		switch {
		case m.About.Request != nil && m.About.Safe:
		case m.Start > from:
			return m.Start - from
		case !g.end && g.inDoubt(m): // a server that has ended answers nothing more: it gets the rest as without us
			g.answer = true
			return 0
		case g.sent == 0 || g.held.len() > 0 && g.held.last() == g.sent: // there is nothing before it, or it was told
		case g.held.len() >= maxHolds-1:
			return 0
		default:
			g.held.push(g.sent)
			g.link.tell(g.stream, &message{typ: typeHold, total: g.sent})
		}
	}
	return limit
}

// inDoubt reports whether an unsafe message has to wait because one before it is not answered. That the server has read that one does
// not say that it has answered it: redis reads all that there is, and answers at the end of a round; a process that is being killed, or
// has hung, keeps its sockets a while. What would lie in its queue then, or on its way, is in doubt, too: of what a dead server has left
// unread only the last byte is certain, and of what a lost element had got nothing.
func (g *userLeg) inDoubt(m *retrieval.Message[*request]) bool {
	if last := g.lastUnsafe; last != nil && last != m && last.About.queued && !last.About.replied {
		return true
	}
	if m.About.Request == nil || m.About.Expect == protocol.ExpectOne {
		g.lastUnsafe = m
	}
	return false
}

// goOn takes the sending up again at offset, which is how far the element has got the leg.
func (g *userLeg) goOn(offset int64) {
	g.lost, g.sent, g.endSent = false, offset, false
	g.held.keep(func(held int64) bool { return held < offset }) // the others are told again
	g.lastUnsafe = nil
	for _, m := range g.s.awaiting.all() {
		first, sent := g.spans.legOffset(m.Start + 1)
		if sent && first <= offset && !m.About.Safe && m.About.Expect == protocol.ExpectOne && m.About.lost == nil {
			g.lastUnsafe = m
		}
	}
}

// answered goes on with what waited for an answer.
func (g *userLeg) answered() {
	if g.answer {
		g.answer = false
		g.pump()
	}
}

// total is the offset behind the last byte that the client has sent so far.
func (g *userLeg) total() int64 {
	last := &g.spans[len(g.spans)-1]
	return last.leg + g.s.store.End() - last.from
}

package session

import (
	"math"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
)

// legPlace is where a leg is: its element, and what is known of the association that carries it.
type legPlace struct {
	element  pool.Element
	n        int // which of the element's associations
	peer     Token
	peerName string
	lostAt   time.Time // when it broke; zero: it is up
}

func (x *legPlace) freeze(c *freeze.Coder) {
	x.element.Freeze(c)
	c.Text(&x.peerName)
	freeze.Number(c, &x.n, 0, 1<<16)
	c.Array(x.peer[:])
	c.Time(&x.lostAt)
}

// leg shows what the coming leg has to send, and the leg that there is.
func (t *thawing) leg(c *freeze.Coder) {
	s := t.s
	if !c.Thaws() {
		if g := s.leg; g != nil && g.link == nil {
			c.Fail("its leg is on no association: it is not frozen between two events")
			return
		}
		t.anew = s.leg != nil && s.leg.restore != nil && s.leg.restore.asks()
	}
	c.Bool(&t.anew)
	leg := s.leg
	if t.anew {
		leg = nil
	}
	freeze.Maybe(c, &leg, func(g *userLeg) {
		g.s = s
		if !c.Thaws() {
			t.place = g.link.place()
		}
		t.place.freeze(c)
		g.freeze(c)
	})
	c.Check(!t.anew || leg == nil, "a leg that is to be begun anew")
	if c.Thaws() {
		s.next, s.leg = &plan{}, leg
	}
	s.next.freeze(c, s, leg)
	if c.Thaws() && leg != nil && c.Err() == nil {
		leg.check(c)
	}
}

// place is that of the legs on the association.
func (l *userLink) place() legPlace {
	x := legPlace{element: l.element, n: l.n, peer: l.peer, peerName: l.peerName}
	if l.hello == nil {
		x.lostAt = l.lostAt
	}
	return x
}

func (ss *spans) freeze(c *freeze.Coder) {
	freeze.List(c, (*[]span)(ss), func(x *span) {
		c.Offset(&x.leg, &x.from)
		freeze.Number(c, &x.to, toEnd, math.MaxInt64/2)
		c.Bytes(&x.own)
	})
}

// check sees to it that the spans follow each other, and that what they are parts of is there.
func (ss spans) check(c *freeze.Coder, s *Session) {
	if !c.Check(len(ss) > 0, "a leg that is to send nothing") {
		return
	}
	from, at := s.store.Start(), int64(0)
	for i := range ss {
		x := &ss[i]
		last := i == len(ss)-1
		c.Check(x.leg == at && (x.to != toEnd || last), "span %d of %d begins at %d, not at %d", i, len(ss), x.leg, at)
		c.Check(x.from <= s.store.End() && x.to <= s.store.End() && (x.to == toEnd || x.from <= x.to), "span %d is from %d to %d, %d bytes are there",
			i, x.from, x.to, s.store.End())
		c.Check(i == 0 || x.from >= from, "span %d is from %d, behind %d", i, x.from, from)
		from, at = x.from, at+max(x.size(), 0)
	}
}

// freeze shows the plan. Its joiner is shown if it still has to join something: leg is where it may have begun to.
func (p *plan) freeze(c *freeze.Coder, s *Session, leg *userLeg) {
	if len(p.losses)+len(p.units)+len(p.dropped) > 0 {
		c.Fail("its plan is not carried out: it is not frozen between two events")
	}
	p.spans.freeze(c)
	c.Count(&p.messages)
	c.Offset(&p.bytes)
	c.Bool(&p.whole, &p.unsafe)
	freezeMessage(c, &p.continued)
	same := leg != nil && leg.joiner != nil && leg.joiner == p.joiner
	c.Bool(&same)
	switch {
	case same:
		if c.Thaws() {
			c.Check(leg != nil && leg.joiner != nil, "a leg has no joiner")
			if leg != nil {
				p.joiner = leg.joiner
			}
		}
	default:
		joiner := p.joiner
		if leg != nil {
			joiner = nil // it has done its work, or never had any
		}
		if protocol.FreezeJoiner(c, s.u.c.Protocol, &joiner); c.Thaws() {
			p.joiner = joiner
		}
	}
	p.spans.check(c, s)
	if c.Thaws() && len(p.spans) > 0 {
		last := &p.spans[len(p.spans)-1]
		c.Check(last.to == toEnd && last.own == nil, "the last span of a plan is not open")
		past := leg != nil && leg.restore == nil && leg.acked > 0 // nothing follows it any more, and what it begins with may be gone
		c.Check(past || p.spans[0].from >= s.store.Start(), "a plan begins at %d, what is kept at %d", p.spans[0].from, s.store.Start())
	}
}

// freeze shows the leg. Its association is not carried, nor what was only of use on that.
func (g *userLeg) freeze(c *freeze.Coder) {
	freeze.Number(c, &g.number, 1, math.MaxUint32)
	c.Bool(&g.begun, &g.open, &g.lost, &g.endSent, &g.reads, &g.answer, &g.end)
	g.spans.freeze(c)
	c.Offset(&g.sent, &g.highest, &g.acked, &g.credit, &g.replay, &g.received, &g.granted, &g.told)
	freezeOffsets(c, &g.held)
	protocol.FreezeReplies(c, g.s.u.c.Protocol, &g.replies)
	protocol.FreezeJoiner(c, g.s.u.c.Protocol, &g.joiner)
	freeze.Maybe(c, &g.verifier, func(v *protocol.Verifier) { v.Freeze(c) })
	c.Buffer(&g.kept)
	c.Text(&g.gaveUp)
	c.Time(&g.lostAt)
	c.Duration(&g.silence)
	freeze.Maybe(c, &g.restore, func(r *restore) { r.freeze(c, g) })
}

// check judges what was thawed of the leg, the session's store being there.
func (g *userLeg) check(c *freeze.Coder) {
	s := g.s
	g.spans.check(c, s)
	if c.Err() != nil {
		return
	}
	c.Check((g.replies == nil) == s.opaque, "a leg's parser does not go with the protocol")
	c.Check(g.acked <= g.highest && g.sent <= g.highest, "%d bytes acknowledged, %d sent", g.acked, g.highest)
	c.Check(g.begun || g.highest == 0 && !g.open && g.received == 0, "a leg that has not begun has sent")
	last := &g.spans[len(g.spans)-1]
	end := last.leg + last.size()
	if last.to == toEnd && last.own == nil {
		end = last.leg + s.store.End() - last.from
	}
	c.Check(g.highest <= end, "%d bytes sent of %d", g.highest, end)
	c.Check(s.store.Start() <= g.spans.logOffset(g.acked), "what is kept begins at %d, what the element has not ends at %d", s.store.Start(), g.spans.logOffset(g.acked))
	c.Check(g.number <= s.legs, "leg %d of %d", g.number, s.legs)
	c.Check(len(g.kept) <= maxBehind && g.held.len() <= maxHolds, "%d bytes of a reply, %d holds", len(g.kept), g.held.len())
	for i, x := range g.held.all() {
		c.Check(x <= g.highest && (i == 0 || x >= g.held.all()[i-1]), "a hold at %d", x)
	}
}

// asks reports whether the answer to a callback is awaited, or judged: who judges cannot leave the process.
func (r *restore) asks() bool {
	judged := r.raw != nil
	for _, x := range r.due.all() {
		judged = judged || x.expect != nil
	}
	return judged
}

// freeze shows the beginning of the leg. A callback that has not answered will be asked again.
func (r *restore) freeze(c *freeze.Coder, g *userLeg) {
	r.s, r.leg = g.s, g
	known := r.requests != nil
	if c.Bool(&known); known {
		protocol.FreezeRequests(c, r.s.u.c.Protocol, &r.requests)
	}
	protocol.FreezeRequest(c, &r.greeting)
	due := r.due.all()
	freeze.List(c, &due, func(x **step) {
		if c.Thaws() {
			*x = &step{}
		}
		protocol.FreezeRequest(c, &(*x).req)
		c.Text(&(*x).what)
		c.Bytes(&(*x).tell)
		c.Check((*x).req != nil, "a request of ours of which nothing is known")
	})
	c.Buffer(&r.answer, &r.held)
	c.Bytes(&r.again)
	next := r.next
	if r.asking {
		next--
	}
	freeze.Number(c, &next, 0, 1<<16)
	c.Check(len(r.answer)+len(r.held) <= 2*maxAnswer, "%d bytes of an answer", len(r.answer)+len(r.held))
	c.Check(known == !r.s.opaque, "the beginning of a leg does not go with the protocol")
	if c.Thaws() {
		r.due, r.next = queue[*step]{items: due}, min(next, len(r.s.u.c.Callbacks))
	}
}

package session

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/freeze"
)

// Freeze appends to p what belongs to the pool element's side as a whole: its instance, which legs have ended, what the health check has
// found, whether it is being drained. It is called between two events.
func (e *Element) Freeze(p []byte) []byte {
	p, _ = frozen(p, frozenElement, e.c.Loop.Now(), e.show) // nothing in it can fail
	return p
}

// Thaw takes over what Freeze of another process has written, its instance included, by which pool users know that the element is still
// the same: else their sessions would fail over. It is called first of all on a new Element; more than once where it takes over what
// several were, which had one instance. After an error (ErrFrozen) the Element must not be used.
func (e *Element) Thaw(p []byte) error { return thawed(p, frozenElement, e.c.Loop.Now(), e.show) }

func (e *Element) show(c *freeze.Coder) {
	c.Array(e.c.Instance[:])
	var why string
	if e.unhealthy != nil {
		why = e.unhealthy.Error()
	}
	sick := e.unhealthy != nil
	c.Bool(&sick, &e.drains)
	if c.Text(&why, &e.drainReason); sick && c.Thaws() {
		e.unhealthy = errors.New(why)
	}
	e.ended.freeze(c)
}

// freeze shows the endings in the order in which they came; what is thawed is added.
func (e *endings) freeze(c *freeze.Coder) {
	lost := e.lost
	if c.Time(&lost); lost.After(e.lost) {
		e.lost = lost
	}
	list := e.order.all()
	freeze.List(c, &list, func(x *ended) {
		number := e.last[x.token].number
		c.Array(x.token[:])
		freeze.Number(c, &number, 0, math.MaxUint32)
		if c.Time(&x.at); c.Thaws() && c.Err() == nil {
			e.add(x.token, number, x.at)
		}
	})
}

// all lists the legs, always in the same order.
func (e *Element) all() []*Leg {
	return slices.SortedFunc(maps.Values(e.legs), func(a, b *Leg) int { return bytes.Compare(a.token[:], b.token[:]) })
}

// EachLeg calls f for every leg that has not ended, always in the same order.
func (e *Element) EachLeg(f func(*Leg)) {
	for _, g := range e.all() {
		f(g)
	}
}

// Freeze appends to p all that there is of the leg. It is called between two events; the leg is not changed by it, and may go on. An error
// wraps ErrNotFreezable, and says why; then what is returned is p.
func (g *Leg) Freeze(p []byte) ([]byte, error) {
	return frozen(p, frozenLeg, g.c.Loop.Now(), func(c *freeze.Coder) { g.show(c, &thawingLeg{}) })
}

// Socket is the server's, as it was returned by ElementConfig.Connect or given to ThawLeg.
func (g *Leg) Socket() Socket { return g.out.socket }

// User is the instance of the pool user whose session it is: by that (Token.Spread) several Elements that share an address share the legs.
func (g *Leg) User() Token { return g.user }

// Connecting reports whether the server has not accepted the connection yet.
func (g *Leg) Connecting() bool { return !g.connected && !g.over }

// HasEnded reports whether the server has finished sending, or its connection has failed, which was told by End or Broken. Its socket need
// not be read any more.
func (g *Leg) HasEnded() bool { return g.end || g.out.paused || g.broken != nil || g.failure != nil }

// thawingLeg is what is to be done with a leg at the end of its way from one process to another.
type thawingLeg struct {
	g     *Leg
	until time.Time // when it is given up if its pool user does not come back
	poll  time.Time // when it is looked whether a server that was fenced is gone
}

// show shows all of the leg.
func (g *Leg) show(c *freeze.Coder, t *thawingLeg) {
	if g.over {
		c.Fail("the leg has ended")
		return
	}
	c.Word(&g.Session)
	freeze.Number(c, &g.Number, 0, math.MaxUint32)
	freezeEnds(c, &g.Ends)
	c.Array(g.token[:])
	c.Array(g.user[:])
	c.Text(&g.identity)
	c.Duration(&g.hold)
	c.Bool(&g.end, &g.endOwed, &g.stopped, &g.wasReset, &g.unreadEnd, &g.abortive, &g.fencing, &g.fenced, &g.cookieSet, &g.connected)
	g.out.freeze(c, freezeMost)
	c.Offset(&g.granted, &g.told, &g.highest, &g.credit)
	g.log.Freeze(c, g.c.Loop.Buffers(), freezeMost)
	freeze.Maybe(c, &g.failure, func(m *message) {
		m.typ = typeLegFailed
		freeze.Number(c, &m.code, 0, math.MaxUint8)
		c.Bool(&m.listens)
		c.Offset(&m.received)
		c.Text(&m.text)
	})
	g.reads.freeze(c)
	g.cookie.freeze(c, func(p []byte) { g.cookie.set(g.c.Loop.Buffers(), p) })
	why, broken := "", g.broken != nil
	if broken {
		why = g.broken.Error()
	}
	c.Bool(&broken)
	if c.Text(&why); broken && c.Thaws() {
		g.broken = errors.New(why)
	}
	if !c.Thaws() {
		t.until, t.poll = g.heldUntil(), g.poll.At()
	}
	c.Time(&t.until)
	freezeTimer(c, g.poll.Armed(), &t.poll)
	c.Check(g.highest >= g.log.Start() && g.highest <= g.log.End(), "%d bytes sent, %d to %d are kept", g.highest, g.log.Start(), g.log.End())
	c.Check(g.out.accepted <= g.granted && g.told <= g.out.written(), "%d bytes received, %d granted, %d told", g.out.accepted, g.granted, g.told)
	c.Check(g.reads.to <= g.out.written(), "%d bytes read of %d", g.reads.to, g.out.written())
}

func (r *reading) freeze(c *freeze.Coder) {
	c.Bool(&r.asked, &r.known)
	c.Offset(&r.to)
	freezeOffsets(c, &r.holds)
	c.Duration(&r.pause)
	freeze.Number(c, &r.unknown, 0, mostUnknown)
	freeze.Number(c, &r.skip, 0, mostSkipped)
	freeze.Number(c, &r.skipped, 0, mostSkipped)
	c.Check(r.holds.len() <= maxHolds, "%d holds", r.holds.len())
	c.Check(!r.known || r.pause > 0, "the pause between two questions is %v", r.pause)
}

// heldUntil is when the leg is to be given up if its pool user is out of touch from now on, or is already.
func (g *Leg) heldUntil() time.Time {
	if g.link == nil {
		return g.timer.At()
	}
	return g.holdFrom(g.link)
}

package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/freeze"
)

// ThawLeg takes over a leg that Freeze of another process has written, with the server's socket, which is not used before Resume. It is
// called between Thaw and Resume. After an error (ErrFrozen) nothing of the leg is there, and the socket is the caller's. If the leg is
// Connecting, its owner tells Connected or ConnectFailed, as after ElementConfig.Connect.
func (e *Element) ThawLeg(p []byte, socket Socket) (*Leg, error) {
	g := &Leg{e: e, c: e.c, memory: e.c.Memory}
	g.out = outlet{socket: socket, pool: e.c.Loop.Buffers()}
	g.timer.Func, g.poll.Func = g.expire, g.polled
	t := &thawingLeg{g: g}
	err := thawed(p, frozenLeg, e.c.Loop.Now(), func(c *freeze.Coder) { g.show(c, t) })
	if err == nil && e.legs[g.token] != nil {
		err = fmt.Errorf("%w: there is a leg of session %d", ErrFrozen, g.Session)
	}
	if err != nil {
		g.log.Clear()
		g.out.spill.Clear()
		g.cookie.clear(e.c.Loop.Buffers())
		return nil, err
	}
	g.used = g.out.written()
	e.legs[g.token] = g
	e.thawing = append(e.thawing, t)
	return g, nil
}

// Resume has the thawed legs go on: what their servers had not taken is written, and they wait for their pool users to come back, each for
// as long as was agreed for a leg out of touch.
func (e *Element) Resume() {
	list := e.thawing
	e.thawing = nil
	for _, t := range list {
		if !t.g.over {
			t.resume()
		}
	}
}

// resume has the leg go on.
func (t *thawingLeg) resume() {
	g := t.g
	if g.reads.known && g.c.Unread == nil { // it could be asked there, and cannot be here
		g.reads.known, g.reads.holds = false, queue[int64]{}
		g.barrier()
	}
	if g.link == nil { // else its pool user has been faster
		until := g.c.Loop.Now().Add(g.c.Comeback)
		if t.until.After(until) {
			until = t.until
		}
		if g.wait(until); g.over {
			return
		}
	}
	switch {
	case g.failure != nil:
	case g.broken != nil:
		g.askBroken()
	case g.out.paused:
		g.End()
	case g.fencing && g.c.Fence == nil: // the configuration has none any more
		g.silent("there is no fence any more")
	case g.fencing && !g.fenced:
		g.c.Fence(g, g.wasFenced)
	case g.fencing:
		g.poll.Func = g.notStopped
		g.c.Loop.Schedule(&g.poll, t.poll)
	case g.connected:
		g.Writable()
	}
}

// Leave is for the process that was replaced, once the other one goes on: it forgets all legs, without touching a server's socket, and ends
// all associations. Nothing is called afterwards.
func (e *Element) Leave() {
	e.closed = true
	for token, g := range e.legs {
		g.over = true
		e.c.Loop.Cancel(&g.timer)
		e.c.Loop.Cancel(&g.poll)
		g.log.Clear()
		g.out.spill.Clear()
		g.cookie.clear(e.c.Loop.Buffers())
		delete(e.legs, token)
	}
	e.Close()
}

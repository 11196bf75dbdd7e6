package session

import "time"

// A server that is frozen keeps its connections. Its pool user asks for an end (GIVE-UP); what the server has in its receive queue
// it may still read when it wakes, so all that was written is in doubt, unless a fence command has made certain that it never
// wakes.

// afterFence is how long the connection of a server that was stopped for certain may take to end.
const afterFence = time.Second

// giveUp ends the leg as a failure because the pool user finds the server silent.
func (g *Leg) giveUp() {
	switch {
	case g.failure != nil || g.fencing:
	case g.c.Fence == nil || !g.out.open:
		g.silent("")
	default:
		g.fencing = true
		g.out.held, g.out.until = true, g.out.written() // it gets nothing more
		g.c.Fence(g, g.wasFenced)
	}
}

// wasFenced hears that the server was stopped for certain, or could not be. How its connection ends tells how far it had read.
func (g *Leg) wasFenced(err error) {
	switch {
	case g.over || g.failure != nil:
	case err != nil:
		g.c.Trace.log('w', "the server could not be fenced", "session", g.Session, "reason", err)
		g.silent(err.Error())
	default:
		g.c.Trace.log('i', "the server was fenced", "session", g.Session)
		g.fenced, g.poll.Func = true, g.notStopped
		g.c.Loop.Schedule(&g.poll, g.c.Loop.Now().Add(afterFence))
	}
}

// notStopped runs when a server that was said to be fenced still has its connection.
func (g *Leg) notStopped() {
	const text = "its connection did not end when it was fenced"
	g.c.Trace.log('w', "the server could not be fenced", "session", g.Session, "reason", text)
	g.silent(text)
}

// Kill ends the leg on purpose, as a failure of a server that has died: all that was written is in doubt, and its connection is reset. How that connection
// ends must not be taken for the server's doing: nothing follows from it. It reports whether there was a leg to be killed.
func (g *Leg) Kill(text string) bool {
	if g.over || g.failure != nil {
		return false
	}
	g.abortive = true
	g.fail(CodeServerReset, false, text)
	return true
}

// OutOfTouch reports whether the leg has no association: its pool user may come back to it, or has gone elsewhere.
func (g *Leg) OutOfTouch() bool { return g.link == nil }

// silent ends the leg of a silent server: its connection is reset, and all that was written is in doubt.
func (g *Leg) silent(text string) {
	if g.over || g.failure != nil {
		return
	}
	g.abortive = true
	g.fail(CodeSilent, false, text)
}

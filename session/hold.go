package session

import (
	"fmt"
	"time"
)

// Where the kernel can be asked, an element knows how far the server's process has read (ElementConfig.Unread). Two things
// follow. Acknowledgements may tell that (ack = "read"), and an unsafe request is held back while bytes before it are unread, so
// that a server which dies or freezes has at most one of them in its hands of which nothing is known.

const (
	// maxHolds is how many requests may wait at one leg; the user sends no more before some are acknowledged.
	maxHolds = 1024

	// pollFirst and pollLast bound the pause between two questions, while something is held. The server's answers ask as well. A
	// question costs some microseconds of the loop: a frozen server may have thousands of sessions.
	pollFirst = time.Millisecond
	pollLast  = time.Second

	// mostSkipped is how many rounds of ACKs are passed over at most while a server reads nothing.
	mostSkipped = 15

	// mostUnknown is how many questions in a row may go unanswered before reading is taken to be unknowable after all.
	mostUnknown = 20
)

// reading is what is known of the server's reading, and what waits for it. It belongs to its Leg.
type reading struct {
	asked   bool  // the user wants to know
	known   bool  // the kernel can tell
	to      int64 // the server has read up to here, as far as was asked
	holds   queue[int64]
	pause   time.Duration
	unknown int32 // questions in a row without an answer
	skip    int32 // rounds of ACKs to be passed over behind a question that brought nothing new
	skipped int32 // of them
}

// lull reports whether this round of ACKs is passed over.
func (r *reading) lull() bool {
	if r.skipped >= r.skip {
		return false
	}
	r.skipped++
	return true
}

// found notes whether a question has brought something new.
func (r *reading) found(news bool) {
	if r.skipped = 0; news {
		r.skip = 0
	} else {
		r.skip = min(2*r.skip+1, mostSkipped)
	}
}

// startReading finds out whether the kernel can tell. The server is connected, and nothing is written.
func (g *Leg) startReading() {
	if !g.reads.asked || g.c.Unread == nil {
		return
	}
	if _, ok := g.c.Unread(g.out.socket); ok {
		g.reads.known = true
		g.reads.pause = pollFirst
		return
	}
	g.dropHolds()
}

// position is how far the server has come: what an acknowledgement tells.
func (g *Leg) position() int64 {
	written := g.out.written()
	r := &g.reads
	if ask := g.c.Undelivered; ask != nil {
		open, _ := ask(g.out.socket, false)
		return max(written-int64(open), g.told)
	}
	if !r.known || g.end || r.to == written {
		return written
	}
	n, ok := g.c.Unread(g.out.socket)
	switch {
	case ok:
		r.unknown = 0
		r.to = max(r.to, written-int64(n))
	case r.unknown < mostUnknown:
		r.unknown++
	default:
		g.c.Trace.log('w', "it cannot be known any more how far the server reads", "session", g.Session)
		r.known = false
		g.dropHolds()
		return written
	}
	return r.to
}

// holdBack takes the user's word that what comes next is unsafe.
func (g *Leg) holdBack(offset int64) {
	r := &g.reads
	switch {
	case offset != g.out.accepted:
		g.violate(fmt.Sprintf("a hold at %d, with %d bytes received", offset, g.out.accepted))
	case r.holds.len() >= maxHolds:
		g.violate(fmt.Sprintf("more than %d holds", maxHolds))
	case offset == 0 || !r.asked || g.out.open && !r.known:
	case r.holds.len() > 0 && r.holds.last() == offset: // told again after a resumption
	default:
		r.holds.push(offset)
		g.barrier()
		g.unhold()
	}
}

// barrier keeps the outlet from writing beyond the first hold; a server that is being fenced gets nothing at all.
func (g *Leg) barrier() {
	if g.fencing {
		return
	}
	g.out.held = g.reads.holds.len() > 0
	if g.out.held {
		g.out.until = g.reads.holds.first()
	}
}

// dropHolds lets everything go, since it cannot be known how far the server reads.
func (g *Leg) dropHolds() {
	g.reads.holds = queue[int64]{}
	g.barrier()
	_ = g.out.writable() // when it fails, the reading side will say what has happened
}

// unhold lets go what is held for no reason any more, and sees to it that the question is asked again.
func (g *Leg) unhold() {
	r := &g.reads
	passed := false
	if g.out.held && g.lapsed() {
		return
	}
	for g.out.held && !g.fencing && g.out.open && g.out.written() == g.out.until {
		if g.position() < g.out.until {
			if !g.poll.Armed() {
				g.c.Loop.Schedule(&g.poll, g.c.Loop.Now().Add(r.pause))
				r.pause = min(2*r.pause, pollLast)
			}
			break
		}
		if r.holds.len() == 0 { // they were dropped when this was asked
			passed = true
			break
		}
		r.holds.pop()
		r.pause = pollFirst
		passed = true
		g.barrier()
		if g.out.writable() != nil { // the reading side will say what has happened
			break
		}
	}
	if passed {
		g.consumed()
	}
}

// polled asks again.
func (g *Leg) polled() {
	if !g.over && g.failure == nil {
		g.unhold()
	}
}

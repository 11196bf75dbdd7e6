package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/retrieval"
	"github.com/poolproxy/poolproxy/whence"
)

// Leg is a session's stay at this pool element, as the element's side sees it: one connection to the server. Its owner tells it
// what the server's connection does. It belongs to the loop's goroutine.
type Leg struct {
	// What every message touches lies together: with hundreds of legs each cache line of one is far away.
	e         *Element
	c         *ElementConfig // that its Element had when it began
	memory    int            // bytes of each direction
	link      *elementLink   // nil: out of touch
	stream    uint16
	owes      bool // it is in Element.acks: an ACK is due with the next round, unless there is nothing new by then
	endOwed   bool // an ACK is due when the end has been passed on
	end       bool // the server has finished in peace
	endSent   bool
	waits     bool // in link.waiting
	stopped   bool // the owner found no Room
	over      bool // our terminal message is sent
	heard     bool // the user's has come
	wasReset  bool // the server's connection was reset
	unreadEnd bool // the server died and has not read the last byte
	abortive  bool // the server's connection is to end with a reset
	fencing   bool // the server is being stopped for certain
	fenced    bool // it is said to have been
	connected bool // the server has accepted the connection

	cookieOwed bool // the pool user is to be told the cookie, before anything else
	cookieSet  bool // the cookie was set here

	// Towards the server.
	out     outlet
	granted int64 // credit told to the user, an offset
	told    int64 // what was last told to be written
	used    int64 // what was written then

	// Towards the user.
	log     retrieval.Log // what the server said and the user has not acknowledged
	sent    int64         // offset up to which the log was sent over the present association
	highest int64         // the same over any association
	credit  int64         // the user's, an offset
	failure *message      // LEG_FAILED, due behind the last byte
	broken  error         // why the server's connection has failed; nil: it has not
	reads   reading

	Session  uint64 // the pool user's number of the session, for logs
	Number   uint32
	Ends     whence.Ends // of the client's connection, as far as the pool user has said
	token    Token
	user     Token  // the pool user's instance
	identity string // who it is by its certificate; "": that is not known
	hold     time.Duration
	timer    loop.Timer // ends a leg that is out of touch
	poll     loop.Timer // asks how far the server has read, while something is held
	cookie   keptCookie // what was set last, or what the pool user has echoed
}

func (g *Leg) attach(l *elementLink, stream uint16) {
	g.link, g.stream, g.waits = l, stream, false
	l.streams.set(stream, g)
}

// Room is how many bytes of the server's the leg can take now.
func (g *Leg) Room() int {
	if g.over || g.end || g.failure != nil {
		return 0
	}
	room := min(g.credit-g.log.End(), int64(g.memory-g.log.Len()))
	g.stopped = room <= 0
	return int(max(room, 0))
}

// Held is how many bytes of the server's are kept.
func (g *Leg) Held() int { return g.log.Len() }

// Take is given the first n bytes of buffer, read from the server; n is at most Room. It reports whether it has kept the
// buffer, with the caller's hold on it.
func (g *Leg) Take(buffer *loop.Buffer, n int) (kept bool) {
	if g.over {
		return false
	}
	kept = g.log.Take(g.c.Loop.Buffers(), buffer, n)
	g.pump()
	g.reads.skip = 0 // who answers has read
	if g.out.held {
		g.unhold()
	}
	return kept
}

// Connected says that the server has accepted the connection.
func (g *Leg) Connected() {
	if g.over {
		return
	}
	g.out.open, g.connected = true, true
	g.startReading()
	if g.link != nil {
		g.link.tell(g.stream, g.opened())
	}
	g.Writable()
}

// opened says that the server is connected, and whether it is known how far it reads.
func (g *Leg) opened() *message { return &message{typ: typeOpened, reads: g.reads.known} }

// ConnectFailed says that the server could not be connected to: nothing of the leg was given to it.
func (g *Leg) ConnectFailed(err error) {
	if g.over {
		return
	}
	if errors.Is(err, loop.ErrScarce) { // that is no fault of the server
		g.refuse("leg", CodeBusy, err.Error())
		return
	}
	g.refuse("leg", CodeServer, err.Error())
}

// Writable says that the server's socket takes bytes again.
func (g *Leg) Writable() {
	if g.over || g.lapsed() {
		return
	}
	_ = g.out.writable() // when it fails, the reading side will say what has happened
	g.unhold()
	g.consumed()
}

// End says that the server has sent its end of file. Whether that is a close or a death is found out; until then the server is given
// nothing: a dead one would never read it.
func (g *Leg) End() {
	g.out.paused = true
	g.c.Listening(g.out.socket, func(listens bool) {
		g.out.paused = false
		switch {
		case g.over || g.end || g.failure != nil:
		case listens:
			g.end = true
			g.Writable()
			g.pump()
		default:
			g.lostServer(CodeServerEnded, false, "")
		}
	})
}

// Broken says that the server's connection has failed.
func (g *Leg) Broken(err error) {
	g.out.open, g.broken = false, err
	g.wasReset = errors.Is(err, loop.ErrReset)
	g.askBroken()
}

// askBroken asks whether the server whose connection has failed still listens.
func (g *Leg) askBroken() {
	err := g.broken
	g.c.Listening(g.out.socket, func(listens bool) { g.lostServer(CodeServerReset, listens, err.Error()) })
}

// lostServer ends the leg as a failure because the server's connection has ended.
func (g *Leg) lostServer(code Code, listens bool, text string) {
	if g.wasReset && !listens && !g.over {
		code, g.unreadEnd = CodeServerReset, g.reads.known
	}
	g.fail(code, listens, text)
}

// reach is how much of what was written the server may have read. A process that has died leaves a reset behind where it had not
// read everything: then it has not read the last byte.
func (g *Leg) reach() int64 {
	written := g.out.written()
	if ask := g.c.Undelivered; ask != nil {
		_, unsent := ask(g.out.socket, true)
		return max(written-int64(unsent), g.told)
	}
	if g.unreadEnd {
		return max(written-1, g.reads.to, 0)
	}
	return written
}

func (g *Leg) fail(code Code, listens bool, text string) {
	if g.over || g.failure != nil {
		return
	}
	if g.c.Undelivered != nil { // what is delivered for certain by now is told apart from what may be
		g.ack(false)
	}
	g.failure = &message{typ: typeLegFailed, code: code, listens: listens, received: g.reach(), text: text}
	g.out.open = false // it may take a while until that is told, and it must be true then: the server is given nothing more
	g.pump()
}

// data takes bytes for the server.
func (g *Leg) data(p []byte) {
	switch {
	case g.heard:
		g.link.violate("data on a stream whose leg has ended")
	case g.over: // the user did not know yet
	case g.out.end:
		g.violate("data behind the end")
	case g.out.accepted+int64(len(p)) > g.granted:
		g.violate(fmt.Sprintf("%d bytes beyond the credit", g.out.accepted+int64(len(p))-g.granted))
	default:
		_ = g.out.put(p) // when it fails, the reading side will say what has happened
		if g.out.held {
			g.unhold()
		}
		g.consumed()
	}
}

// Delivered says that more of what was written is delivered than before (ElementConfig.Undelivered). The user hears it at once if it may be
// waiting for that, else with the next round of ACKs.
func (g *Leg) Delivered() {
	if !g.over && g.told < g.out.written() && farBack(g.told, g.position(), g.memory) {
		g.ack(false)
	}
}

// consumed tells the user how far the server has taken its bytes: at once if it may be waiting for that, else with the next
// round of ACKs.
func (g *Leg) consumed() {
	written := g.out.written()
	credit, size := g.window()
	switch {
	case g.out.ended && g.endOwed:
		g.endOwed = false
		g.ack(true)
	case written == g.told:
	case farBack(g.granted, credit, size) || g.out.ended && !g.reads.known || g.reads.holds.len() > maxHolds/2:
		g.ack(false)
	default:
		g.owe()
	}
}

// window is the credit that the user may have beyond what the server has taken, and how much of that is a window. Who uses what all have has as
// much as there is for one.
func (g *Leg) window() (credit int64, size int) {
	written := g.out.written()
	if size = min(g.c.first(), g.memory); farBack(g.used, written, size) {
		size = min(g.c.widest(), g.memory)
	}
	return written + int64(size), size
}

// first is the credit of a fresh leg.
func (c *ElementConfig) first() int { return firstCredit(c.First, c.Memory) }

// widest is the most credit that a leg may have now.
func (c *ElementConfig) widest() int { return widestCredit(c.Window, c.First, c.Memory) }

func (g *Leg) ackDue() {
	g.owes = false
	switch {
	case g.over:
	case g.reads.lull():
		g.owe()
	default:
		g.ack(false)
	}
}

// ack sends an ACK, if it tells something new or is forced. Where reading is what counts and the server has not read all, another
// one is due with the next round: nothing else may happen that would have it told.
func (g *Leg) ack(force bool) {
	if g.link == nil || g.failure != nil {
		return
	}
	credit, _ := g.window()
	told := g.position()
	news := told != g.told || credit > g.granted
	if news || force {
		g.told, g.used, g.granted = told, g.out.written(), max(g.granted, credit)
		g.link.tell(g.stream, &message{typ: typeAck, received: g.told, credit: g.granted})
	}
	behind := g.told < g.out.written()
	if g.reads.found(news || !behind); behind {
		g.owe()
	}
}

// owe has an ACK sent with the next round.
func (g *Leg) owe() {
	if !g.owes {
		g.owes = true
		g.e.acks.owe(g)
	}
}

// pump sends what the log holds and the association has room for, and what follows behind the last byte.
func (g *Leg) pump() {
	if g.link != nil && !g.over {
		g.link.pump(g, &g.waits, (*Leg).piece)
	}
}

// piece sends one piece and reports whether there is more.
func (g *Leg) piece() (more bool) {
	if g.link == nil || g.over {
		return false
	}
	if g.cookieOwed {
		g.cookieOwed = false
		g.link.tellASAP(g.stream, asap.CookieMessage{Cookie: g.e.c.Cookies.seal(nil, g.token, g.cookie.bytes)})
	}
	if g.sent < g.log.End() {
		g.sent += g.link.logged(&g.log, g.stream, g.sent, maxPiece, noEnds)
		g.highest = max(g.highest, g.sent)
	}
	if g.sent < g.log.End() {
		return true
	}
	g.waits = false
	if g.end && !g.endSent {
		g.endSent = true
		g.link.tell(g.stream, &message{typ: typeFinish, total: g.sent})
	}
	if g.failure != nil {
		g.link.tell(g.stream, g.failure)
		g.finished(false)
	}
	return false
}

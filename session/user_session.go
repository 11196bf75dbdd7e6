package session

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
	"github.com/poolproxy/poolproxy/whence"
)

// request is what the session remembers of a message of the client.
type request struct {
	*protocol.Request
	queued  bool // in Session.awaiting, or was
	replied bool
	goodbye bool   // behind it the server closes by the protocol's rules
	own     []byte // a copy of its bytes, where it sets a state
	lost    []byte // the honest error in place of its reply: it is not sent any more; nil while it is not lost
	doubt   bool   // a server of a leg before this one may have carried it out
}

// kept is a message of the client and what the session remembers of it, in one piece of memory.
type kept struct {
	message retrieval.Message[*request]
	about   request
}

// history is what the client has been told since the session began, or since its last sync point.
type history struct {
	protocol.History         // of all bytes
	atSync           []state // what the connection's state was where it begins
}

// Session is one client connection, from accept to close, at the pool user's side. Its owner tells it what the client's
// connection does. It belongs to the loop's goroutine.
type Session struct {
	// What every message touches lies together: with hundreds of sessions each cache line of one is far away.
	u        *User
	requests protocol.Requests
	opaque   bool // nothing is known of messages
	ended    bool // the client has finished
	stopped  bool // the owner found no Room
	whole    bool // everything is kept, for replay = "session"
	unsafe   bool // an unsafe request was among them
	unasked  bool // the server has spoken without being asked
	goodbye  bool // the server closes by the protocol's rules
	idle     bool // no element was found in time, and nothing waited for one
	closing  bool // nothing more is taken from the client; what is left for it is written, then it is closed
	done     bool
	store    retrieval.Store[*request]
	sendable int64                               // the part of the store that may be sent: what a parser holds may not
	awaiting queue[*retrieval.Message[*request]] // requests whose replies are due, oldest first
	leg      *userLeg
	out      outlet
	heard    time.Time          // when the server last said or took something, or a reply has become due
	answered int64              // the end of the last request that a server has answered
	failures int                // legs that ended with a request in flight and brought nothing new
	record   *Record            // of the failover that is going on
	partial  protocol.Delivered // of the first awaiting reply, from legs before this one
	broken   *protocol.Unit     // lost its leg, and the client has not come to its end yet
	inUnit   *protocol.Unit     // of the last complete request
	silence  loop.Timer         // see listen
	script   *Script            // what is recorded, from the beginning; nil: nothing

	ID     uint64
	Client string
	Ends   whence.Ends // of the client's connection: each element is told, for its server
	token  Token
	began  time.Time

	// From the client.
	begin     int64 // where what is kept for replay = "session" begins: at the last sync point
	states    states
	unitSince time.Time

	cookie keptCookie // the last one that an element has set, as it came

	// To the client.
	history *history // for replay = "session"; else nil
	greeted bool     // the client has the server's greeting
	behind  []byte   // for the client, when it has the whole of the reply that is being joined

	// The search for a leg.
	legs          uint32
	from          string               // the element of the present leg, or the last one
	served        string               // the element that has carried the session last
	shunned       map[string]time.Time // elements that did not take the cookie, and until when they are not asked again; nil: none
	next          *plan                // what the coming leg has to send
	deadline      time.Time
	placed        time.Time  // when the leg was begun
	entered       string     // the element among whose sessions it counts; "": none
	inLine        bool       // it waits for room (queues)
	letIn         bool       // it was the first in its line, and has not been taken yet
	back          string     // the element that it has left because that is drained; "" once another one serves it
	returns       int        // how often it has gone back there
	departs       time.Time  // it does not leave before
	notYet        time.Time  // no leg before: the last one may still be alive
	failedOver    bool       // a leg that was open has failed
	statesRefused int        // how often a server has refused one of the states
	restores      int        // legs in a row that could not be restored
	unready       int        // legs whose servers did not serve yet, since the last reply
	timer         loop.Timer // retry, deadline, and the end of closing
	excused       bool       // this process stood still when the server seemed silent; it was looked at once more
	recordOf      uint32     // the leg whose end the record is about
	lastCause     string     // why the last leg ended
	life          *life      // for Trace.Ended; else nil
}

// Room is how many bytes of the client's the session can take now.
func (s *Session) Room() int {
	switch {
	case s.done || s.ended:
		return 0
	case s.closing:
		return loop.LargeBuffer // read and thrown away, so that closing does not become a reset
	}
	if s.retained() >= s.u.c.Memory {
		s.relieve()
	}
	room := s.u.c.Memory - s.retained()
	s.stopped = room <= 0
	return max(room, 0)
}

// messageBytes is what remembering a message costs, besides its bytes.
const messageBytes = 128

// retained is the memory that the session's retrieval takes.
func (s *Session) retained() int { return s.store.Len() + messageBytes*s.store.Messages() }

// Held is how many bytes of the client's are kept.
func (s *Session) Held() int { return s.store.Len() }

// Take is given the first n bytes of buffer, read from the client; n is at most Room. It reports whether it has kept the
// buffer, with the caller's hold on it.
func (s *Session) Take(buffer *loop.Buffer, n int) (kept bool) {
	if s.done || s.closing {
		return false
	}
	kept = s.store.Take(s.u.c.Loop.Buffers(), buffer, n)
	if err := s.parse(buffer.Bytes[:n]); err != nil {
		s.invalid(err)
		return kept
	}
	if s.leg != nil {
		s.leg.pump()
	}
	return kept
}

// parse finds the messages in p, which was appended to the store.
func (s *Session) parse(p []byte) error {
	for len(p) > 0 && !s.done && !s.closing {
		cut, r, err := s.requests.Next(p)
		if err != nil {
			return err
		}
		if s.script != nil {
			s.script.says(p[:cut.N], r, cut)
		}
		s.mark(cut, r)
		if !cut.Hold && (s.broken == nil || cut.End) {
			s.sendable = s.store.Marked()
		}
		p = p[cut.N:]
	}
	return nil
}

// mark notes a part of a message, and when enough is known of it, that its reply is due.
func (s *Session) mark(cut protocol.Cut, r *protocol.Request) {
	if last := s.store.Last(); last == nil || last.Complete() {
		k := &kept{}
		s.store.Begin(&k.message, &k.about)
	}
	about := s.store.Last().About
	about.Request = r
	about.goodbye = about.goodbye || cut.Close
	m := s.store.Mark(cut.N, about, cut.End)
	if cut.End {
		s.complete(m)
	}
	if cut.End && !s.opaque {
		s.life.asked()
	}
	if s.opaque {
		s.countStream(cut.N)
		return
	}
	if r.Expect == protocol.ExpectUnknown {
		s.u.traffic.add(false, 0, cut.N)
	}
	if !(cut.End || cut.Known) {
		return
	}
	if !about.queued && r.Expect != protocol.ExpectNone {
		about.queued = true
		s.awaiting.push(m)
		if s.idle { // the search for an element was nobody's until now
			s.idle = false
			s.deadline = s.u.c.Loop.Now().Add(s.u.c.Failover.Deadline)
		}
	}
	if cut.End && s.awaiting.len() > 0 && s.awaiting.first() == m {
		s.heard = s.u.c.Loop.Now()
	}
	s.expectReply()
	s.unsafe = s.unsafe || !r.Safe
	if cut.End {
		s.countMessage(m)
	}
	if s.broken != nil && cut.End {
		s.inBroken(m)
	}
}

// End says that the client has finished sending.
func (s *Session) End() {
	if s.done || s.ended {
		return
	}
	s.ended = true
	if s.script != nil {
		s.script.ended = true
	}
	if s.closing {
		s.maybeClosed()
		return
	}
	s.sendable = s.store.Marked()
	s.holdUnfinished()
	if s.leg != nil {
		s.leg.pump()
	}
}

// Broken says that the client's connection has failed. The server sees the same.
func (s *Session) Broken(err error) {
	if s.done {
		return
	}
	s.u.c.Trace.log('d', "client gone", "session", s.ID, "reason", err)
	s.because(EndClient, err.Error())
	if s.leg != nil {
		s.leg.abandon(CodePeer, "the client reset the connection")
	}
	s.over(true)
}

// Writable says that the client takes bytes again.
func (s *Session) Writable() {
	if s.done {
		return
	}
	if err := s.out.writable(); err != nil {
		s.Broken(err)
		return
	}
	if s.leg != nil {
		s.leg.consumed()
	}
	s.maybeClosed()
}

// settle releases what the acknowledgements of the element allow to release.
func (s *Session) settle() {
	if s.leg == nil {
		return
	}
	for m := range s.store.Kept() {
		if m.About.lost != nil {
			continue
		}
		end, sent := s.leg.spans.legOffset(m.End)
		if !m.Complete() || !sent || end > s.leg.acked {
			break
		}
		switch {
		case m.About.Expect == protocol.ExpectNone:
			s.carried(m)
		case s.u.c.Failover.Ack == AckDelivered:
			m.Released = true
		}
	}
	s.release()
	s.maybeClosed()
}

// release frees what need never be sent again, neither on another leg nor on this one, and lets the owner read on.
func (s *Session) release() {
	if s.leg == nil {
		return
	}
	if s.leg.restore == nil && !s.whole {
		need := s.store.Marked()
		if !s.opaque {
			need = s.store.Trim()
		}
		s.letGo(need)
	}
	if s.stopped && s.Room() > 0 {
		s.out.socket.ReadOn()
	}
}

// letGo frees the store before offset need, as far as the leg's element has it.
func (s *Session) letGo(need int64) {
	s.store.Release(max(s.store.Start(), min(need, s.leg.spans.logOffset(s.leg.acked), s.store.End())))
}

// relieve makes room when the store is full and waiting would not help: the history of the whole session, or a message that is
// larger than the store, cannot be kept. The session goes on, and what was given up is remembered: it can no longer be
// replayed.
func (s *Session) relieve() {
	first := s.store.First()
	if s.broken != nil && first != nil && !first.Complete() { // it is not sent before it is complete
		s.refuse("a request of a transaction that was lost is larger than retrieval.memory")
		return
	}
	if s.leg == nil || s.leg.acked == 0 || s.leg.restore != nil { // it would free nothing
		return
	}
	if s.whole {
		s.whole = false
		s.u.c.Trace.log('w', "session unprotected: its history passed retrieval.memory", "session", s.ID, "bytes", s.u.c.Memory)
		s.store.Trim()
	}
	first = s.store.First()
	switch {
	case s.opaque:
	case first == nil || first.Complete():
		if first != nil {
			s.letGo(first.Start)
		}
		return
	case !first.Lost:
		first.Lost = true
		s.u.c.Trace.log('w', "request unprotected: it passed retrieval.memory", "session", s.ID, "request", first.About.Label,
			"bytes", s.u.c.Memory)
	}
	s.letGo(s.store.Marked())
}

// maybeClosed ends the session when both sides have finished and everything has arrived.
func (s *Session) maybeClosed() {
	if g := s.leg; g != nil && !s.closing {
		if !s.ended || !g.end || !g.endSent || g.acked < g.sent {
			return
		}
		s.because(EndClosed, "")
		g.last(&message{typ: typeClosed})
		s.leg, s.closing = nil, true
	}
	switch {
	case !s.closing || !s.out.drained():
	case s.ended:
		s.over(false)
	case !s.timer.Armed(): // the client may want to finish, too; what it still sends goes nowhere
		s.u.c.Loop.Schedule(&s.timer, s.u.c.Loop.Now().Add(lingering))
	}
}

// over ends the session. The client is closed, or reset.
func (s *Session) over(abort bool) {
	if s.done {
		return
	}
	s.done = true
	s.u.c.Loop.Cancel(&s.timer)
	s.u.c.Loop.Cancel(&s.silence)
	s.report("the session ended before it was carried on")
	s.tellEnded()
	if abort {
		s.out.reset()
	} else {
		s.out.close()
	}
	s.store.Clear()
	s.script.drop()
	s.cookie.clear(s.u.c.Loop.Buffers())
	s.awaiting = queue[*retrieval.Message[*request]]{}
	delete(s.u.sessions, s.ID)
	delete(s.u.waiting, s)
	s.leaveLine()
	s.exit()
}

package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/retrieval"
)

// A session may be recorded from its beginning: what its client says, and what it is answered. Retrieval keeps of replies only a hash, which
// tells that another server answers differently, but not which byte is the first. What is recorded is a Script, by which the session can
// be rehearsed at an element that no client's session goes to (Rehearse).

// ScriptConfig says which sessions are recorded.
type ScriptConfig struct {
	Memory int         // bytes of one script; what is known of a message counts as in retrieval
	Sample uint32      // which share of the sessions; 0xffffffff is 100 %
	Scarce func() bool // reports that memory is short: then nothing more is recorded; nil: it never is
}

// Exchange is a message of the client and the reply to it. Positions are offsets in what was said, or heard, since the beginning.
type Exchange struct {
	Label    string // of the message, as its protocol calls it
	Safe     bool   // it may be repeated
	Expect   protocol.Expect
	Said     [2]int64 // from, to
	Heard    [2]int64 // from, to; nothing, if no reply is expected
	Complete bool     // its last byte has come
	Answered bool     // so has that of its reply
}

// Script is what was recorded of a session. It belongs to the loop's goroutine. A nil one takes everything and keeps nothing.
type Script struct {
	c         *ScriptConfig
	pool      *loop.Pool
	opaque    bool
	said      retrieval.Log
	heard     retrieval.Log
	exchanges []Exchange
	awaiting  int    // the first exchange whose reply is not complete
	ended     bool   // the client has finished
	pushed    bool   // what comes answers no request
	stopped   string // why nothing more is recorded; "": it is
	holders   int
	count     *int // of scripts that hold memory; this one is among them if it does
}

// lostReply is why nothing is recorded behind an answer of ours.
const lostReply = "a request was lost with its server, and answered by an error"

// newScript begins to record a session, if it is one of those.
func (u *User) newScript(opaque bool) *Script {
	c := u.c.Script
	if c == nil {
		return nil
	}
	var draw [4]byte
	u.c.Random(draw[:])
	if n := uint32(draw[0])<<24 | uint32(draw[1])<<16 | uint32(draw[2])<<8 | uint32(draw[3]); n > c.Sample || c.Sample == 0 {
		return nil
	}
	return &Script{c: c, pool: u.c.Loop.Buffers(), opaque: opaque, holders: 1, count: &u.scripts}
}

// Script is what was recorded of the session; nil: nothing is.
func (s *Session) Script() *Script { return s.script }

// records reports whether what passes is to be seen.
func (x *Script) records() bool { return x != nil && x.stopped == "" }

// hold keeps the script for somebody else, who drops it.
func (x *Script) hold() { x.holders++ }

// drop gives the memory back when nobody holds it any more. Of a nil script nothing is held.
func (x *Script) drop() {
	if x == nil {
		return
	}
	if x.holders--; x.holders == 0 {
		x.clear()
	}
}

func (x *Script) clear() {
	if x.size() > 0 {
		*x.count--
	}
	x.pool.Charge(-messageBytes * len(x.exchanges))
	x.said.Clear()
	x.heard.Clear()
	x.exchanges = nil
}

// stop ends the recording. What was recorded stays.
func (x *Script) stop(reason string) {
	if x.records() {
		x.stopped = reason
	}
}

// room reports whether n bytes more, and perhaps another message, may be recorded, and stops if they may not.
func (x *Script) room(n, messages int) bool {
	if x.c.Scarce != nil && x.c.Scarce() {
		x.stop("limits.memory was short")
		return false
	}
	if x.size()+n+messages*messageBytes > x.c.Memory {
		x.stop(fmt.Sprintf("it passed rehearsal.memory at %d bytes", x.c.Memory))
		return false
	}
	if x.size() == 0 {
		*x.count++
	}
	return true
}

// size is the memory that it takes, as it is counted.
func (x *Script) size() int { return x.said.Len() + x.heard.Len() + messageBytes*len(x.exchanges) }

// says takes a part of a message of the client.
func (x *Script) says(p []byte, r *protocol.Request, cut protocol.Cut) {
	if !x.records() {
		return
	}
	last := len(x.exchanges) - 1
	begins := last < 0 || x.exchanges[last].Complete
	more := 0
	if begins {
		more = 1
	}
	if !x.room(len(p), more) {
		return
	}
	if begins {
		x.pool.Charge(messageBytes)
		x.exchanges = append(x.exchanges, Exchange{Said: [2]int64{x.said.End(), x.said.End()}})
		last++
	}
	x.said.Append(x.pool, p)
	e := &x.exchanges[last]
	e.Said[1], e.Complete = x.said.End(), cut.End
	e.Label, e.Safe, e.Expect = r.Label, r.Safe, r.Expect
	switch {
	case x.opaque:
	case r.Expect == protocol.ExpectUnknown && cut.Known:
		x.stop("nothing is known of what followed " + r.Label)
	case e.Complete:
		x.unasked() // a message without a reply may be the first that waits
	}
}

// unasked passes over the messages that have no reply.
func (x *Script) unasked() {
	for x.awaiting < len(x.exchanges) && x.exchanges[x.awaiting].Complete && x.exchanges[x.awaiting].Expect == protocol.ExpectNone {
		x.exchanges[x.awaiting].Heard = [2]int64{x.heard.End(), x.heard.End()}
		x.awaiting++
	}
}

// pushes notes whether the bytes that come answer a request.
func (x *Script) pushes(are bool) {
	if x != nil {
		x.pushed = are
	}
}

// hears takes bytes of a server that the client gets.
func (x *Script) hears(p []byte) {
	if !x.records() || x.pushed && !x.opaque || len(p) == 0 {
		return
	}
	if x.awaiting >= len(x.exchanges) && !x.opaque {
		x.stop(errUnasked.Error())
		return
	}
	if !x.room(len(p), 0) {
		return
	}
	from := x.heard.End()
	x.heard.Append(x.pool, p)
	if x.opaque && len(x.exchanges) == 0 {
		return // the server speaks first
	}
	e := &x.exchanges[min(x.awaiting, len(x.exchanges)-1)]
	if e.Heard[1] == 0 {
		e.Heard[0] = from
	}
	e.Heard[1] = x.heard.End()
}

// answered takes the end of a reply.
func (x *Script) answered() {
	if !x.records() || x.awaiting >= len(x.exchanges) {
		return
	}
	e := &x.exchanges[x.awaiting]
	if e.Heard[1] == 0 { // it had no byte
		e.Heard = [2]int64{x.heard.End(), x.heard.End()}
	}
	e.Answered = true
	x.awaiting++
	x.unasked()
}

// Recorded is what a script comes to.
type Recorded struct {
	Messages int    // complete ones of the client
	Said     int64  // bytes of the client
	Heard    int64  // bytes that it was answered
	Stopped  string // why the recording has ended; "": it goes on
}

// Recorded tells what there is.
func (x *Script) Recorded() Recorded {
	r := Recorded{Said: x.said.End(), Heard: x.heard.End(), Stopped: x.stopped, Messages: len(x.exchanges)}
	if r.Messages > 0 && !x.exchanges[r.Messages-1].Complete && !x.opaque {
		r.Messages--
	}
	return r
}

// DropScripts gives back the memory of all scripts: it is short, and sessions need it more.
func (u *User) DropScripts() {
	if u.scripts == 0 {
		return
	}
	for _, s := range u.sessions {
		if x := s.script; x != nil && x.holders == 1 && x.size() > 0 {
			x.clear()
			x.stopped = "limits.memory was short: what was recorded was given back"
		}
	}
}

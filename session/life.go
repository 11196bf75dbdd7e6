package session

import (
	"time"

	"github.com/poolproxy/poolproxy/freeze"
)

// End says how a session ended.
type End string

// How sessions end.
const (
	EndClosed  End = "closed"          // in order: client and server have finished, and each has all of the other
	EndClient  End = "client_gone"     // the client's connection was reset, or failed
	EndServer  End = "server_reset"    // the server, which lives, reset its connection: that was passed on
	EndFailed  End = "failed"          // the server failed, and the session could not be carried on
	EndInvalid End = "invalid_request" // the client does not speak the protocol
	EndStopped End = "stopped"         // this process was stopped
)

// Ended is what remains of a session: a line of an access log.
type Ended struct {
	ID     uint64
	Client string
	Began  time.Time
	Time   time.Time // when it ended

	Legs        uint32
	Elements    []string // that have carried it, in their order; at most mostElements: then only the last one changes
	FromClient  int64    // bytes
	ToClient    int64    // bytes
	Requests    uint64   // messages of the client; 0 if the protocol knows none
	Replies     uint64   // to these, each counted once
	Failovers   int      // that it has come through: moved, resumed, or answered by an error
	Protection  Protection
	Unprotected string // why it was not protected when it ended
	How         End
	Why         string // of what did not end in order, in words
}

// mostElements bounds what is remembered of where a session has been.
const mostElements = 16

// life is what is kept for Ended, if somebody wants it. A nil one takes everything and keeps nothing.
type life struct {
	elements          []string
	requests, replies uint64
	failovers         int

	how         End // "": it has not ended
	why         string
	protection  Protection
	unprotected string
}

// at notes that an element carries the session.
func (l *life) at(element string) {
	if l == nil {
		return
	}
	n := len(l.elements)
	if n > 0 && l.elements[n-1] == element {
		return
	}
	l.elements = append(l.elements[:min(n, mostElements-1)], element)
}

func (l *life) asked() {
	if l != nil {
		l.requests++
	}
}

func (l *life) answered() {
	if l != nil {
		l.replies++
	}
}

func (l *life) survived() {
	if l != nil {
		l.failovers++
	}
}

// freeze shows it, of a session that goes on in another process.
func (l *life) freeze(c *freeze.Coder) {
	freeze.List(c, &l.elements, func(e *string) { c.Text(e) })
	c.Word(&l.requests, &l.replies)
	c.Count(&l.failovers)
	how, protection := string(l.how), string(l.protection)
	c.Text(&how, &l.why, &protection, &l.unprotected)
	l.how, l.protection = End(how), Protection(protection)
	c.Check(len(l.elements) <= mostElements, "it was at %d elements", len(l.elements))
}

// because notes how the session ends, and whether it was protected, before anything is taken apart for that. The first reason
// counts. What could not be carried on was not protected, whatever seemed so before.
func (s *Session) because(how End, why string) {
	l := s.life
	if l == nil || l.how != "" {
		return
	}
	l.how, l.why = how, why
	if l.protection, l.unprotected = Unprotected, why; how != EndFailed {
		l.protection, l.unprotected = s.protection()
	}
}

// tellEnded tells what remains of the session.
func (s *Session) tellEnded() {
	l := s.life
	if l == nil {
		return
	}
	s.because(EndClosed, "")
	if s.u.c.Trace.Ended == nil { // a rehearsal's
		return
	}
	s.u.c.Trace.Ended(Ended{ID: s.ID, Client: s.Client, Began: s.began, Time: s.u.c.Loop.Now(), Legs: s.legs, Elements: l.elements,
		FromClient: s.store.End(), ToClient: s.out.written(), Requests: l.requests, Replies: l.replies, Failovers: l.failovers,
		Protection: l.protection, Unprotected: l.unprotected, How: l.how, Why: l.why})
}

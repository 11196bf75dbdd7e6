package workload

import "time"

// EventKind is what a client has come to.
type EventKind uint8

// The kinds. Those of requests come on the session's writing side, those of replies on its reading side: at the same time, perhaps.
const (
	Sending      EventKind = iota // the request is about to be written; its bytes wait until Events has returned
	HalfSent                      // its first half is written (Request.Split); the second waits
	Sent                          // all of it is written
	HalfReceived                  // half of the reply's content has come; the client does not read on meanwhile
	Answered                      // the reply has come, and is right
	Refused                       // an error of the protocol has come in its place
	Ended                         // the session has; the last event
)

// String names the kind.
func (k EventKind) String() string {
	return [...]string{"sending", "half sent", "sent", "half received", "answered", "refused", "ended"}[k]
}

// Event is told by a Client, on its own goroutines, which wait until Events returns: so an orchestrator can strike at that very moment.
type Event struct {
	Kind    EventKind
	Session uint64
	Request Request // of Ended: none
	At      time.Time
	Gap     time.Duration // of Answered and Refused: how long the client had waited for anything
	Text    string        // of Refused: the error
}

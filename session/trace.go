package session

import "time"

// Trace is told what happens. Any function may be nil. They are called on the loop's goroutine and must return soon.
type Trace struct {
	// Log is told of things that an operator may want to read: a peer that broke the rules, an association that came or went.
	// Level is 'd'ebug, 'i'nfo, 'w'arn.
	Log func(level byte, message string, args ...any)

	// Failover is told of the outcome of each failover, resumption, and session that could not be carried on.
	Failover func(Record)

	// Ended is told of each session that has ended, once. What sessions come to is only kept if it is there when they begin.
	Ended func(Ended)

	// Refused is told of each leg, or resumption, that a pool element refuses.
	Refused func(what string, code Code)
}

func (t *Trace) refused(what string, code Code) {
	if t.Refused != nil {
		t.Refused(what, code)
	}
}

func (t *Trace) log(level byte, message string, args ...any) {
	if t.Log != nil {
		t.Log(level, message, args...)
	}
}

// Kinds of records.
const (
	KindResumed = "resumed" // the association broke, the same leg went on
	KindMoved   = "moved"   // a new leg
	KindEnded   = "ended"   // the session could not be carried on

	KindAnswered = "answered" // no element was found in time: what waited was answered by an error, and the session waits
)

// Record is what remains of one failover.
type Record struct {
	Time     time.Time     `json:"time"` // when the failure was noticed
	Session  uint64        `json:"session"`
	Leg      uint32        `json:"leg"` // the one that carries the session on, or the last one
	From     string        `json:"from"`
	To       string        `json:"to"`
	Kind     string        `json:"kind"`           // resumed | moved | answered | ended
	Cause    string        `json:"cause"`          // how it was noticed, in words
	Detector string        `json:"detector"`       // reset | end of file | closed | heartbeats | association | reply timeout | health check | restore | element | drain | silence | refused | chaos
	Detect   time.Duration `json:"detect_ns"`      // from the last sign of life until noticing, where silence is what was noticed
	Fence    time.Duration `json:"fence_ns"`       // from noticing until the old leg was certain to be dead; 0: at once, or it did not matter
	Choose   time.Duration `json:"choose_ns"`      // from noticing until the element was chosen
	Connect  time.Duration `json:"connect_ns"`     // from noticing until the new server was connected, or the leg resumed
	Restored time.Duration `json:"restored_ns"`    // from noticing until states and callbacks were done; 0: there were none
	Replayed time.Duration `json:"replayed_ns"`    // from noticing until all was sent again; 0: there was nothing
	First    time.Duration `json:"first_reply_ns"` // from noticing until the first new byte for the client; 0: none was due
	Messages int           `json:"replayed_messages"`
	Bytes    int64         `json:"replayed_bytes"`
	Skipped  int64         `json:"discarded_reply_bytes"`         // fetched again, compared, not passed on
	Saved    int64         `json:"reply_bytes_not_fetched_twice"` // left out by asking for the rest only
	Tried    int           `json:"elements_tried"`
	Lost     int           `json:"replies_answered_by_an_error"`
	Verdict  string        `json:"verdict"` // for an ended session: why, and what would change that

	// Unprotected says of an ended session that it was not protected as the failure was noticed, for the reason in Verdict: what was under way could
	// not be repeated. One that ended without it was to be carried on, and could not be.
	Unprotected bool `json:"unprotected"`
}

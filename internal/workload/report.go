package workload

import (
	"fmt"
	"time"
)

// End is how a session ended.
type End string

// The ends.
const (
	EndPeace   End = "peace"   // the client had said all, closed its side, and the server closed its
	EndClosed  End = "closed"  // an end of file before that
	EndReset   End = "reset"   // a reset
	EndTimeout End = "timeout" // nothing came for as long as the client waits, or the context's deadline has passed
	EndStopped End = "stopped" // the context was cancelled
	EndFault   End = "fault"   // something came that nobody can go on behind
	EndRefused End = "refused" // the connection was not made
	EndError   End = "error"   // another error of the connection
)

// FaultKind is what a client saw go wrong by itself.
type FaultKind string

// The kinds of faults. What was not answered at all is no fault yet: it is in Report.Unanswered.
const (
	FaultDoubled   FaultKind = "doubled"   // a reply came a second time
	FaultReordered FaultKind = "reordered" // a reply came before another that was due first, which came later
	FaultMixed     FaultKind = "mixed"     // bytes of another reply, of another session, or of nobody
	FaultTruncated FaultKind = "truncated" // an end of file within a reply, which looks like completion
)

// Fault is one of them.
type Fault struct {
	Kind   FaultKind `json:"kind"`
	Number uint64    `json:"number"` // of the request concerned; 0: of none
	Text   string    `json:"text"`
}

func (f Fault) String() string {
	if f.Number == 0 {
		return fmt.Sprintf("%s: %s", f.Kind, f.Text)
	}
	return fmt.Sprintf("%s: request %d: %s", f.Kind, f.Number, f.Text)
}

// Refusal is an error of the protocol in place of a reply.
type Refusal struct {
	Number uint64 `json:"number"`
	Unsafe bool   `json:"unsafe"`
	Undone bool   `json:"undone"` // it says that the request was not carried out
	Text   string `json:"text"`
}

// Report is what one session has seen. It can be written as JSON, for judges in other processes.
type Report struct {
	Kind     Kind   `json:"kind"`
	Session  uint64 `json:"session"`
	Sent     int64  `json:"sent"` // requests of which a first byte was written
	Answered int64  `json:"answered"`
	Bytes    int64  `json:"bytes"` // of content that came, and was right

	Unsafe     []uint64  `json:"unsafe,omitempty"`     // the unsafe requests that were sent
	Unanswered []uint64  `json:"unanswered,omitempty"` // requests that were neither answered nor refused
	Refused    []Refusal `json:"refused,omitempty"`
	Parting    bool      `json:"parting,omitempty"` // the last that came, in full, was a refusal: an end behind it is no surprise
	Faults     []Fault   `json:"faults,omitempty"`

	End     End           `json:"end"`
	EndText string        `json:"end_text,omitempty"`
	Gaps    Histogram     `json:"gaps"` // how long the client waited for each answer, and for nothing else
	Longest time.Duration `json:"longest"`
	At      time.Time     `json:"at"` // when the longest wait ended
}

// String is one line for people.
func (r *Report) String() string {
	return fmt.Sprintf("session %x (%s): sent %d, answered %d, refused %d, unanswered %d, faults %v, end %s %s, longest wait %v",
		r.Session, r.Kind, r.Sent, r.Answered, len(r.Refused), len(r.Unanswered), r.Faults, r.End, r.EndText, r.Longest)
}

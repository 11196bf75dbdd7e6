package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// FindingKind is what has gone wrong.
type FindingKind string

// What a verdict finds. Lost, Doubled and Mixed are the three that must be none.
const (
	Lost      FindingKind = "lost"      // a request of a protected session was not answered, or an answered one was never carried out
	Doubled   FindingKind = "doubled"   // a reply came twice, or an unsafe request was carried out twice
	Mixed     FindingKind = "mixed"     // bytes of another reply, session or request; or an error says "not carried out" of what was
	Reordered FindingKind = "reordered" // replies, or what was carried out, were not in the order of the requests
	Truncated FindingKind = "truncated" // a reply, or a session, ended early by what looks like a proper end
	Broken    FindingKind = "broken"    // a protected session ended though its client had more to say
)

// Finding is one thing that has gone wrong.
type Finding struct {
	Kind    FindingKind `json:"kind"`
	Session uint64      `json:"session"`
	Number  uint64      `json:"number"` // of the request; 0: of none
	Text    string      `json:"text"`
}

func (f Finding) String() string {
	if f.Number == 0 {
		return fmt.Sprintf("%s: session %x: %s", f.Kind, f.Session, f.Text)
	}
	return fmt.Sprintf("%s: session %x, request %d: %s", f.Kind, f.Session, f.Number, f.Text)
}

// Verdict is what is to be said of a run.
type Verdict struct {
	Sessions   int64     `json:"sessions"`
	Sent       int64     `json:"sent"`
	Answered   int64     `json:"answered"`
	Refused    int64     `json:"refused"`     // unsafe requests that got the protocol's error, as is promised
	InDoubt    int64     `json:"in_doubt"`    // unsafe requests without an answer: of unprotected sessions, or stopped ones
	CarriedOut int64     `json:"carried_out"` // unsafe requests, by the journals
	Bytes      int64     `json:"bytes"`       // of content, each compared
	Findings   []Finding `json:"findings"`    // by session and number
	Gaps       Histogram `json:"gaps"`
}

// Good reports that nothing has gone wrong.
func (v *Verdict) Good() bool { return len(v.Findings) == 0 }

// Count is how many findings are of a kind.
func (v *Verdict) Count(kind FindingKind) (n int64) {
	for _, f := range v.Findings {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// String is one line: the summary and the figures.
func (v *Verdict) String() string {
	return fmt.Sprintf("%s (%d sessions, %d requests, %d answered, %d refused, %d unsafe ones carried out, %d bytes)",
		v.Summary(), v.Sessions, v.Sent, v.Answered, v.Refused, v.CarriedOut, v.Bytes)
}

// Summary is "0 lost, 0 doubled, 0 mixed", and what else has gone wrong.
func (v *Verdict) Summary() string {
	text := fmt.Sprintf("%d lost, %d doubled, %d mixed", v.Count(Lost), v.Count(Doubled), v.Count(Mixed))
	for _, kind := range []FindingKind{Reordered, Truncated, Broken} {
		if n := v.Count(kind); n > 0 {
			text += fmt.Sprintf(", %d %s", n, kind)
		}
	}
	return text
}

// Add takes the findings and figures of another verdict in, of other sessions.
func (v *Verdict) Add(o *Verdict) {
	v.Sessions += o.Sessions
	v.Sent += o.Sent
	v.Answered += o.Answered
	v.Refused += o.Refused
	v.InDoubt += o.InDoubt
	v.CarriedOut += o.CarriedOut
	v.Bytes += o.Bytes
	v.Findings = append(v.Findings, o.Findings...)
	v.Gaps.Merge(&o.Gaps)
}

func (v *Verdict) find(kind FindingKind, session, number uint64, format string, args ...any) {
	v.Findings = append(v.Findings, Finding{kind, session, number, fmt.Sprintf(format, args...)})
}

// Promise is what sessions may rely on.
type Promise struct {
	// Protected: every request is answered, once and in order; unsafe ones may be refused by an error of the protocol. Not protected:
	// the session may end at any time, but by the protocol's error or a reset, never by what looks like a proper end.
	Protected bool

	// Journals: the entries are all that the servers have carried out, so that an answered unsafe request must be among them. Without it
	// they are only looked at for what is there twice.
	Journals bool

	// Refusals: safe requests may be refused, too (there was no element for longer than deadline).
	Refusals bool
}

// Judge says what has gone wrong in sessions, by what their clients saw and what all servers together carried out. Entries of
// sessions without a report are left out.
func Judge(reports []*Report, entries []Entry, promise Promise) *Verdict {
	v := &Verdict{}
	done := carriedOut(reports, entries, v)
	for _, r := range reports {
		v.Sessions++
		v.Sent += r.Sent
		v.Answered += r.Answered
		v.Bytes += r.Bytes
		v.Gaps.Merge(&r.Gaps)
		for _, f := range r.Faults {
			v.find(FindingKind(f.Kind), r.Session, f.Number, "%s", f.Text)
		}
		v.judgeRefused(r, promise)
		v.judgeUnanswered(r, promise)
		v.judgeEnd(r, promise)
		if r.Kind != Stream {
			v.judgeUnsafe(r, done[r.Session], promise)
		}
	}
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.Number, b.Number))
	})
	return v
}

// judgeRefused looks at the errors that came in place of replies.
func (v *Verdict) judgeRefused(r *Report, promise Promise) {
	for _, f := range r.Refused {
		switch {
		case strings.Contains(f.Text, errWrong.Error()):
			v.find(Mixed, r.Session, f.Number, "the server got another request than was sent: %s", f.Text)
		case !f.Unsafe && promise.Protected && !promise.Refusals:
			v.find(Lost, r.Session, f.Number, "it is safe, and was refused: %s", f.Text)
		default:
			v.Refused++
		}
	}
}

// judgeUnanswered looks at what got neither a reply nor an error.
func (v *Verdict) judgeUnanswered(r *Report, promise Promise) {
	for _, number := range r.Unanswered {
		if promise.Protected && r.End != EndStopped && !endedByServer(r) {
			v.find(Lost, r.Session, number, "it was never answered; the session's end: %s %s", r.End, r.EndText)
		} else if _, unsafe := slices.BinarySearch(r.Unsafe, number); unsafe {
			v.InDoubt++
		}
	}
}

// judgeEnd looks at how the session ended.
func (v *Verdict) judgeEnd(r *Report, promise Promise) {
	switch r.End {
	case EndPeace, EndStopped, EndFault:
		return
	case EndClosed:
		if truncated(r) {
			v.find(Truncated, r.Session, 0, "an end of file, though %d requests wait and no error was given", len(r.Unanswered))
			return
		}
	case EndTimeout:
		v.find(Broken, r.Session, 0, "it hangs: %s", r.EndText)
		return
	}
	if promise.Protected && !endedByServer(r) {
		v.find(Broken, r.Session, 0, "it ended: %s %s, and was refused: %v", r.End, r.EndText, r.Refused)
	}
}

// endedByServer: the server could not write its journal, has said so in place of the last reply, and has ended the connection (Server.serve).
// That is an end which a server chose, and clients are told of it as of any. One that sends its next request before that comes gets no
// answer to it, as without a proxy.
func endedByServer(r *Report) bool {
	last := len(r.Refused) - 1
	return r.End == EndClosed && r.Parting && last >= 0 && strings.Contains(r.Refused[last].Text, errJournal.Error())
}

// truncated: the session ended by an end of file while requests waited, without an error of the protocol before it; one that came earlier, and
// was followed by replies, is none. A reply that was cut has been told of already.
func truncated(r *Report) bool {
	for _, f := range r.Faults {
		if f.Kind == FaultTruncated {
			return false
		}
	}
	return len(r.Unanswered) > 0 && !r.Parting
}

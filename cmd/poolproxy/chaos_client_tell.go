package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

const (
	toldWait  = 500 * time.Millisecond // a reply that was waited for so long is worth a line
	toldLines = 20                     // lines a second; what is more is counted
)

// teller prints what happens, as it happens. Safe for concurrent use.
type teller struct {
	to io.Writer

	mu     sync.Mutex
	second int64 // to which count belongs
	count  int
	left   int // lines that were left out
}

// newTeller prints to standard output, or beside it if that is for programs.
func newTeller(c *chaosClient) *teller {
	if c.json {
		return &teller{to: c.stderr}
	}
	return &teller{to: c.stdout}
}

func (t *teller) line(format string, args ...any) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Unix() != t.second {
		if t.left > 0 {
			fmt.Fprintf(t.to, "             and %d more lines\n", t.left)
		}
		t.second, t.count, t.left = now.Unix(), 0, 0
	}
	if t.count++; t.count > toldLines {
		t.left++
		return
	}
	fmt.Fprintf(t.to, "%s %s\n", now.Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// event is told by sessions.
func (t *teller) event(e workload.Event) {
	switch {
	case e.Kind == workload.Refused:
		how := "safe"
		if e.Request.Unsafe {
			how = "unsafe"
		}
		t.line("session %x: request %d (%s) was refused: %s", e.Session, e.Request.Number, how, e.Text)
	case e.Kind == workload.Answered && e.Gap >= toldWait:
		t.line("session %x: the reply to request %d came after %v", e.Session, e.Request.Number, e.Gap.Round(time.Millisecond))
	}
}

// ended is told how sessions have ended.
func (t *teller) ended(r *workload.Report) {
	for _, f := range r.Faults {
		t.line("session %x: %v", r.Session, f)
	}
	if r.End != workload.EndPeace || len(r.Unanswered) > 0 {
		t.line("session %x ended: %s %s; %d requests were not answered", r.Session, r.End, r.EndText, len(r.Unanswered))
	}
}

// chaosVerdict is what -json prints.
type chaosVerdict struct {
	Good      bool               `json:"good"`
	Lost      int64              `json:"lost"`
	Doubled   int64              `json:"doubled"`
	Mixed     int64              `json:"mixed"`
	Reordered int64              `json:"reordered"`
	Truncated int64              `json:"truncated"`
	Broken    int64              `json:"broken"`
	Known     bool               `json:"known"` // it is known what the servers have carried out (-journal, -redis): else doubled is of replies alone
	Verdict   *workload.Verdict  `json:"verdict"`
	Reports   []*workload.Report `json:"reports"` // of the sessions that did not end in peace, or had something refused
}

// proved reports whether the verdict shows that all went well: if nothing was answered nothing is shown.
func proved(v *workload.Verdict) bool { return v.Good() && v.Answered > 0 }

// verdict prints it. known: the servers have said what they have carried out, or nothing must not be carried out twice.
func (c *chaosClient) verdict(v *workload.Verdict, reports []*workload.Report, known bool) error {
	if c.json {
		out := chaosVerdict{Good: proved(v), Known: known, Lost: v.Count(workload.Lost), Doubled: v.Count(workload.Doubled), Mixed: v.Count(workload.Mixed),
			Reordered: v.Count(workload.Reordered), Truncated: v.Count(workload.Truncated), Broken: v.Count(workload.Broken), Verdict: v}
		for _, r := range reports {
			if r.End != workload.EndPeace || len(r.Refused)+len(r.Faults) > 0 {
				out.Reports = append(out.Reports, r)
			}
		}
		return json.NewEncoder(c.stdout).Encode(out)
	}
	fmt.Fprintf(c.stdout, "\n%d sessions, %d requests: %d answered (%d bytes compared), %d unsafe ones refused as is promised\n",
		v.Sessions, v.Sent, v.Answered, v.Bytes, v.Refused)
	if len(c.journals)+len(c.redis) > 0 {
		fmt.Fprintf(c.stdout, "unsafe requests that the servers carried out: %d\n", v.CarriedOut)
	}
	longest := ""
	for _, r := range reports {
		if r.Longest == v.Gaps.Max() && r.Longest > 0 {
			longest = " (at " + r.At.Format("15:04:05.000") + ")"
		}
	}
	fmt.Fprintf(c.stdout, "waits for a reply: %v%s\n", &v.Gaps, longest)
	for i, f := range v.Findings {
		if i == 50 {
			fmt.Fprintf(c.stdout, "and %d more\n", len(v.Findings)-i)
			break
		}
		fmt.Fprintln(c.stdout, f)
	}
	unsafe := 0
	for _, r := range reports {
		unsafe += len(r.Unsafe)
	}
	if unsafe > 0 && !known {
		fmt.Fprintf(c.stdout, "%d unsafe requests were sent, and nobody has said what the servers carried out (-journal): what they did twice, or not at all, is not in this:\n", unsafe)
	}
	if v.Answered == 0 {
		fmt.Fprintln(c.stdout, "nothing was answered, so nothing is proved:")
	}
	_, err := fmt.Fprintln(c.stdout, v.Summary())
	return err
}

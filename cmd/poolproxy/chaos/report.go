package chaos

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// Report is what became of it all.
type Report struct {
	Seed    uint64        `json:"seed"`
	Took    time.Duration `json:"took_ns"`
	Stopped bool          `json:"stopped"` // before its time
	Rounds  int           `json:"rounds"`
	Kinds   []KindReport  `json:"kinds"` // those that were done, and "other": failovers of elements that nothing was done to

	Lost   []Lost `json:"lost"`   // sessions that were protected, and were lost
	Unseen int    `json:"unseen"` // sessions that ended of which no record was seen: nobody knows whether they were protected
	Missed bool   `json:"missed"` // there were more failovers at a time than a process keeps records: the numbers are at least these

	Unknown []string `json:"unknown"` // why it is not known whether protected sessions were lost; none: it is
}

// KindReport is what became of one kind of disturbance.
type KindReport struct {
	Kind   string `json:"kind"`
	Done   int    `json:"done"`
	Failed int    `json:"failed"` // the process did not do it
	Hit    int    `json:"hit"`    // associations, legs, elements

	Moved       int `json:"moved"`
	Resumed     int `json:"resumed"`
	Answered    int `json:"answered"` // failovers for which no element was found in time: the requests were answered by an error
	Unprotected int `json:"ended_unprotected"`
	Lost        int `json:"lost"`
	Replies     int `json:"replies_answered_by_an_error"`

	Gaps int           `json:"gaps"` // how many of these the next ones are of
	P50  time.Duration `json:"gap_p50_ns"`
	P99  time.Duration `json:"gap_p99_ns"`
	Max  time.Duration `json:"gap_max_ns"`
}

// Lost is a session that was protected, and was lost.
type Lost struct {
	Strike int    `json:"number"` // of the disturbance; 0: none is known
	Admin  string `json:"admin"`
	proxy.Record
}

func (l Lost) String() string {
	after := ""
	if l.Strike > 0 {
		after = fmt.Sprintf(" after #%d", l.Strike)
	}
	return printable(fmt.Sprintf("session %d of pool_user %q (%s), at element %q%s: %s; noticed by: %s", l.Session, l.User, l.Admin, l.From, after, l.Verdict, l.Cause))
}

// Good reports whether no protected session was lost, nor may have been.
func (r *Report) Good() bool { return len(r.Lost) == 0 && r.Unseen == 0 && len(r.Unknown) == 0 }

// report makes the report of the tally.
func (t *tally) report(a *Attack) *Report {
	r := &Report{Seed: a.Seed, Took: time.Since(a.begun), Stopped: a.stopped, Rounds: a.rounds, Lost: t.lost, Unseen: t.unseenEndings(), Missed: t.missed, Unknown: t.unknown(a)}
	for _, kind := range Kinds {
		if k := t.kinds[kind]; k != nil {
			r.Kinds = append(r.Kinds, k.report(kind))
		}
	}
	if k := t.other.report("other"); k.Gaps+k.Answered+k.Unprotected+k.Lost > 0 {
		r.Kinds = append(r.Kinds, k)
	}
	return r
}

func (k *kindTally) report(kind string) KindReport {
	slices.Sort(k.gaps)
	return KindReport{Kind: kind, Done: k.done, Failed: k.failed, Hit: k.hits, Moved: k.moved, Resumed: k.resumed, Answered: k.answered, Lost: k.lost,
		Unprotected: k.unprotected, Replies: k.replies, Gaps: len(k.gaps), P50: quantile(k.gaps, 50), P99: quantile(k.gaps, 99), Max: quantile(k.gaps, 100)}
}

// quantile is the smallest of sorted durations that so many percent do not exceed; 0 if there are none.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// Text is the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	how := ""
	if r.Stopped {
		how = ", when it was stopped"
	}
	fmt.Fprintf(&b, "\n%v%s, %s of disturbances, -seed %d\n\n", r.Took.Round(time.Second/10), how, plural(r.Rounds, "round"), r.Seed)
	r.table(&b)
	for _, k := range r.Kinds {
		if k.Kind == "other" {
			b.WriteString("other: failovers of elements to which nothing was being done here.\n")
		}
	}
	if r.Missed {
		b.WriteString("There were more failovers at a time than a process keeps records of: the numbers of failovers are at least these.\n")
	}
	unprotected, replies := 0, 0
	for _, k := range r.Kinds {
		unprotected, replies = unprotected+k.Unprotected, replies+k.Replies
	}
	if unprotected > 0 {
		fmt.Fprintf(&b, "%s ended that had no protection; poolproxy status says why they have none.\n", plural(unprotected, "session"))
	}
	if replies > 0 {
		fmt.Fprintf(&b, "%s answered by the protocol's own error, since repeating was not allowed.\n", plural(replies, "request"))
	}
	r.verdict(&b)
	return b.String()
}

// table is what was done and what it led to.
func (r *Report) table(b *strings.Builder) {
	if len(r.Kinds) == 0 {
		b.WriteString("Nothing was disturbed.\n")
		return
	}
	tabs := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tabs, "KIND\tTIMES\tHIT\tMOVED\tRESUMED\tANSWERED\tENDED UNPROTECTED\tLOST\tGAP P50\tP99\tMAX")
	for _, k := range r.Kinds {
		gaps := "-\t-\t-"
		if k.Gaps > 0 {
			gaps = fmt.Sprintf("%v\t%v\t%v", rough(k.P50), rough(k.P99), rough(k.Max))
		}
		times := fmt.Sprint(k.Done)
		if k.Failed > 0 {
			times += fmt.Sprintf(" (%d not done)", k.Failed)
		}
		fmt.Fprintf(tabs, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", k.Kind, times, k.Hit, k.Moved, k.Resumed, k.Answered, k.Unprotected, k.Lost, gaps)
	}
	tabs.Flush()
	if slices.ContainsFunc(r.Kinds, func(k KindReport) bool { return k.Gaps > 0 }) {
		b.WriteString("Gaps are as the pool users have recorded them: from the last sign of life where silence was what they noticed, else from noticing on.\n")
	}
	b.WriteString("\n")
}

// rough is a duration with as many digits as anybody reads.
func rough(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// verdict is what it all comes to.
func (r *Report) verdict(b *strings.Builder) {
	for _, l := range r.Lost[:min(len(r.Lost), 20)] {
		fmt.Fprintf(b, "LOST: %v\n", l)
	}
	switch {
	case len(r.Lost) > 0:
		fmt.Fprintf(b, "%s LOST that should have been carried on.\n", plural(len(r.Lost), "PROTECTED SESSION"))
	case r.Unseen > 0:
		fmt.Fprintf(b, "%s ended of which no record was left: whether they were protected is not known. A smaller -count, or a longer -every, would tell.\n",
			plural(r.Unseen, "session"))
	case len(r.Unknown) == 0:
		b.WriteString("No protected session was lost.\n")
	}
	for _, why := range r.Unknown {
		fmt.Fprintf(b, "NOT KNOWN whether protected sessions were lost: %s.\n", printable(why))
	}
}

package workload

import "strings"

// execution is how often a request was carried out, and where first.
type execution struct {
	times  int64
	server string
	others []string // the servers of the further times
}

// carriedOut sorts entries by session and number, of those sessions that have a report. What servers have seen that nobody of this
// workload says is a finding.
func carriedOut(reports []*Report, entries []Entry, v *Verdict) map[uint64]map[uint64]*execution {
	done := make(map[uint64]map[uint64]*execution, len(reports))
	for _, r := range reports {
		done[r.Session] = make(map[uint64]*execution)
	}
	last := make(map[[2]any]uint64) // by server and session
	for _, e := range entries {
		if e.Bad != "" {
			v.find(Mixed, 0, 0, "server %s: %s", e.Server, e.Bad)
			continue
		}
		of, ours := done[e.Session]
		if !ours {
			continue
		}
		x := of[e.Number]
		if x == nil {
			of[e.Number] = &execution{times: e.Times, server: e.Server}
		} else {
			x.times += e.Times
			x.others = append(x.others, e.Server)
		}
		at := [2]any{e.Server, e.Session}
		if e.Number < last[at] {
			v.find(Reordered, e.Session, e.Number, "server %s carried it out behind request %d", e.Server, last[at])
		}
		last[at] = e.Number
	}
	return done
}

// judgeUnsafe compares what a session's unsafe requests were told with what was done.
func (v *Verdict) judgeUnsafe(r *Report, done map[uint64]*execution, promise Promise) {
	told := make(map[uint64]string, len(r.Refused)+len(r.Unanswered))
	for _, number := range r.Unanswered {
		told[number] = "was not answered"
	}
	for _, f := range r.Refused {
		told[f.Number] = "may have been carried out"
		if f.Undone {
			told[f.Number] = "was not carried out"
		}
	}
	sent := make(map[uint64]bool, len(r.Unsafe))
	for _, number := range r.Unsafe {
		sent[number] = true
		x := done[number]
		switch {
		case x == nil && promise.Journals && told[number] == "":
			v.find(Lost, r.Session, number, "it was answered, and no server has carried it out")
		case x == nil:
		case x.times != 1:
			v.find(Doubled, r.Session, number, "it was carried out %d times: by %s", x.times, strings.Join(append([]string{x.server}, x.others...), ", "))
		case told[number] == "was not carried out":
			v.find(Mixed, r.Session, number, "the client was told that it was not carried out; %s has", x.server)
		}
		if x != nil {
			v.CarriedOut += x.times
		}
	}
	for number, x := range done {
		if !sent[number] {
			v.find(Mixed, r.Session, number, "%s has carried it out, and the client never sent it", x.server)
		}
	}
}

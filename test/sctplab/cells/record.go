//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// record is what the run has seen, named as in test/chaos.
type record struct {
	Began    time.Time                 `json:"began"`
	Took     time.Duration             `json:"took"`
	Machine  string                    `json:"machine"`
	Strikes  int64                     `json:"strikes"`
	Sessions int64                     `json:"sessions"`
	Requests int64                     `json:"requests"`
	Answered int64                     `json:"answered"`
	Refused  int64                     `json:"refused"`
	Unsafe   int64                     `json:"unsafe_carried_out"`
	Bytes    int64                     `json:"bytes"`
	Guarded  int64                     `json:"protected_sessions"`
	Cells    map[string]*cellRecord    `json:"cells"`    // by failure/state/protocol/mapping
	Failures map[string]*failureRecord `json:"failures"` // by failure
	Findings []string                  `json:"findings"`
}

type cellRecord struct {
	Strikes  int64              `json:"strikes"`
	Sessions int64              `json:"sessions"`
	Findings int64              `json:"findings"`
	Gaps     workload.Histogram `json:"gaps"` // from the strike to the next answer
}

type failureRecord struct {
	Strikes int64                          `json:"strikes"`
	How     string                         `json:"how,omitempty"`
	Gaps    map[string]*workload.Histogram `json:"gaps"` // by mapping
}

func newRecord() *record {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	return &record{Began: time.Now().UTC(), Machine: fmt.Sprintf("%d emulated processors, Linux %s", runtime.NumCPU(), strings.TrimSpace(string(release))),
		Cells: map[string]*cellRecord{}, Failures: map[string]*failureRecord{}, Findings: []string{}}
}

// note takes what one strike did to the sessions in.
func (r *record) note(f failure, subjects []*subject, entries map[workload.Kind][]workload.Entry) {
	r.Strikes++
	of := &failureRecord{Strikes: 1, How: f.how, Gaps: map[string]*workload.Histogram{"sctp": {}}}
	r.Failures[f.id] = of
	for _, s := range subjects {
		v := workload.Judge([]*workload.Report{s.report}, entries[s.kind], workload.Promise{Protected: true, Journals: true})
		r.Sessions, r.Guarded = r.Sessions+1, r.Guarded+1
		r.Requests, r.Answered, r.Refused = r.Requests+v.Sent, r.Answered+v.Answered, r.Refused+v.Refused
		r.Unsafe, r.Bytes = r.Unsafe+v.CarriedOut, r.Bytes+v.Bytes
		name := fmt.Sprintf("%s/%s/%s/sctp", f.id, s.state, s.kind)
		c := r.Cells[name]
		if c == nil {
			c = &cellRecord{Strikes: 1}
			r.Cells[name] = c
		}
		c.Sessions++
		c.Findings += int64(len(v.Findings))
		gap := s.next.Sub(s.struck)
		c.Gaps.Add(gap)
		of.Gaps["sctp"].Add(gap)
		for _, x := range v.Findings {
			r.Findings = append(r.Findings, fmt.Sprintf("%s: %v", name, x))
		}
		if s.next.IsZero() {
			r.Findings = append(r.Findings, name+": nothing was answered behind the strike")
		}
	}
	r.Took = time.Since(r.Began)
}

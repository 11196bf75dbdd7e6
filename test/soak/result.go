//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// result is what a run has found, as soak.json has it.
type result struct {
	Begun    time.Time     `json:"begun"`
	Duration time.Duration `json:"duration_ns"`
	Sessions int           `json:"sessions"` // at a time
	Every    time.Duration `json:"every_ns"`
	Sample   time.Duration `json:"sample_ns"`
	machine
	Strikes  map[string]int `json:"strikes"`
	Traffic  []kindResult   `json:"traffic"`
	Before   sample         `json:"before"` // any session
	After    sample         `json:"after"`  // all sessions had ended
	Trends   []trend        `json:"trends"`
	Findings []string       `json:"findings"` // what is not as it should be
	Good     bool           `json:"good"`
	Series   []sample       `json:"series"`
}

type kindResult struct {
	Kind    workload.Kind     `json:"kind"`
	Verdict *workload.Verdict `json:"verdict"`
}

type machine struct {
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
}

func describe() machine {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return machine{runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version()}
}

// save writes soak.json and soak.csv.
func (r *result) save(folder string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "soak.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var csv strings.Builder
	csv.WriteString("seconds")
	for _, p := range processes {
		for _, m := range measures {
			fmt.Fprintf(&csv, ",%s %s", p.name, m.name)
		}
	}
	csv.WriteString("\n")
	for i := range r.Series {
		fmt.Fprintf(&csv, "%.1f", r.Series[i].Seconds)
		for _, p := range processes {
			for _, m := range measures {
				fmt.Fprintf(&csv, ",%.0f", m.of(p.of(&r.Series[i])))
			}
		}
		csv.WriteString("\n")
	}
	return os.WriteFile(filepath.Join(folder, "soak.csv"), []byte(csv.String()), 0o644)
}

func readResult(path string) (*result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, r.judge()
}

// String is the result for people.
func (r *result) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%v with %d sessions at a time, %d kills and cuts\n", r.Duration, r.Sessions, r.struck())
	for _, k := range r.Traffic {
		fmt.Fprintf(&out, "%-7s %v; waits: p50 %v, p99 %v, max %v\n", k.Kind, k.Verdict, k.Verdict.Gaps.Quantile(0.5), k.Verdict.Gaps.Quantile(0.99), k.Verdict.Gaps.Max())
	}
	for _, x := range r.Trends {
		fmt.Fprintf(&out, "%v\n", x)
	}
	if r.Good {
		out.WriteString("soak: nothing grows, nothing was lost, doubled or mixed\n")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&out, "soak: FOUND: %s\n", f)
	}
	return out.String()
}

func (r *result) struck() (n int) {
	for _, times := range r.Strikes {
		n += times
	}
	return n
}

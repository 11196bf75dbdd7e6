//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"
)

// What -short measures when it is not told.
var (
	shortSystems   = []string{"haproxy", "poolproxy-stream", "poolproxy-line", "poolproxy-http", "poolproxy-redis"}
	shortWorkloads = []string{"down-8", "requests-1", "requests-64", "requests-512", "steady", "connect", "idle-1000",
		"mixed", "stall", "kill", "freeze", "kill-1", "http", "redis", "redis-16"}
)

// baseline is what a whole run has measured of poolproxy, in few words: what -short compares with.
type baseline struct {
	Date     string         `json:"date"`
	Revision string         `json:"poolproxy"`
	Machine  string         `json:"machine"`
	Figures  []baselineLine `json:"figures"`
}

// baselineLine is one figure of one system under one congestion control: the median of its rounds, and that of the ratios to haproxy.
type baselineLine struct {
	Congestion string   `json:"congestion"`
	Workload   string   `json:"workload"`
	Figure     string   `json:"figure"`
	System     string   `json:"system"`
	Value      float64  `json:"value"`
	Ratio      *float64 `json:"ratio,omitempty"` // nil: HAProxy has no such figure, or it is 0
}

// baseline is what this run comes to.
func (w *whole) baseline() baseline {
	b := baseline{Date: time.Now().UTC().Format("2006-01-02"), Revision: w.revision, Machine: cpuModel()}
	for i := range w.parts {
		r := &w.parts[i].Results
		for _, work := range w.workloads {
			for _, f := range work.figures {
				for _, s := range w.systems {
					values := r.values(work.name, s.name, f.name)
					known := spreadOf(values)
					if s.needs != "poolproxy" || known.n == 0 {
						continue
					}
					line := baselineLine{w.parts[i].Congestion, work.name, f.name, s.name, rounded(known.median), nil}
					if ratio := spreadOf(ratios(values, r.values(work.name, baseSystem, f.name))); ratio.n > 0 {
						median := rounded(ratio.median)
						line.Ratio = &median
					}
					b.Figures = append(b.Figures, line)
				}
			}
		}
	}
	return b
}

// rounded keeps four significant digits: the rest is noise, and would be noise in every diff.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// writeBaseline writes a line for each figure, so that changes can be read.
func writeBaseline(path string, b baseline) error {
	var out strings.Builder
	head, err := json.Marshal(baseline{Date: b.Date, Revision: b.Revision, Machine: b.Machine, Figures: []baselineLine{}})
	if err != nil {
		return err
	}
	out.WriteString(strings.TrimSuffix(string(head), "]}"))
	for i, f := range b.Figures {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n" + string(line))
	}
	out.WriteString("\n]}\n")
	if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
		return fmt.Errorf("writing what -short compares with: %w", err)
	}
	return nil
}

// find is the line of a figure, under the given congestion control or, if there is none, under any; nil if there is none at all.
func (b *baseline) find(congestion, workload, figure, system string) *baselineLine {
	var found *baselineLine
	for i := range b.Figures {
		l := &b.Figures[i]
		if l.Workload == workload && l.Figure == figure && l.System == system && (found == nil || l.Congestion == congestion) {
			found = l
		}
	}
	return found
}

// worse tells whether a figure has become worse by more than half: halved, or doubled where less is better. Where it was 0 and less is
// better, anything else is worse.
func worse(now, then float64, less bool) bool {
	if less {
		return now > 2*then
	}
	return now < then/2
}

// compare prints the ratios of this run beside those of the last whole run, and warns of what has become worse by more than half. It never
// fails for that: a short run is rough, and the machine may be another one.
func (w *whole) compare(out io.Writer) error {
	var then baseline
	text, err := os.ReadFile(w.settings.baseline)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(out, "\nRatio to haproxy. There is no %s to compare with: a whole run with -write makes it.\n\n", w.settings.baseline)
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &then); err != nil {
			return fmt.Errorf("%s: %w; a whole run with -write makes it anew", w.settings.baseline, err)
		}
		fmt.Fprintf(out, "\nRatio to haproxy, now and in docs/performance.md (%s, %s, %s):\n\n", then.Date, then.Revision, then.Machine)
	}
	warnings := w.compareLines(out, w.baseline(), &then)
	switch {
	case len(warnings) > 0:
		fmt.Fprint(out, "\nWARNING: worse by more than half; a busy machine does that, too, so look again before you believe it:\n")
		fmt.Fprint(out, strings.Join(warnings, ""))
	case len(then.Figures) > 0:
		fmt.Fprintln(out, "\nNothing has become worse by more than half.")
	}
	return nil
}

// compareLines writes a line for each figure that has a ratio, and for those that say something by themselves. A p99 of a short sample is
// shown, but nothing to warn of.
func (w *whole) compareLines(out io.Writer, now baseline, then *baseline) (warnings []string) {
	for _, n := range now.Figures {
		f := w.figure(n.Workload, n.Figure)
		a, ok := n.comparable(f)
		if !ok {
			continue
		}
		was, b := "–", math.NaN()
		if t := then.find(n.Congestion, n.Workload, n.Figure, n.System); t != nil {
			if b, ok = t.comparable(f); ok {
				was = number(b)
			}
		}
		line := fmt.Sprintf("%-13s %-17s %-32s %8s %8s", n.Workload, n.System, f.label(), number(a), was)
		if noisy, _, _ := w.parts[0].Results.marks(n.Workload, n.System); noisy > 0 {
			line += fmt.Sprintf("  ~%d", noisy)
		}
		line += "\n"
		fmt.Fprint(out, line)
		if was != "–" && worse(a, b, f.less) && !strings.HasPrefix(f.name, "p99") {
			warnings = append(warnings, "  "+line)
		}
	}
	return warnings
}

// comparable is what can be compared between two runs: the ratio, or the figure itself where that is no matter of the machine.
func (l *baselineLine) comparable(f figure) (float64, bool) {
	switch {
	case f.own:
		return l.Value, true
	case l.Ratio != nil:
		return *l.Ratio, true
	default:
		return 0, false
	}
}

// figure looks one up; without a name if there is none.
func (w *whole) figure(workload, name string) figure {
	for _, work := range w.workloads {
		for _, f := range work.figures {
			if work.name == workload && f.name == name {
				return f
			}
		}
	}
	return figure{}
}

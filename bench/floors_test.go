//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFloorsAreMeasured: each line names a workload, a figure and systems that exist and go together.
func TestFloorsAreMeasured(t *testing.T) {
	all := allWorkloads(time.Second)
	for _, f := range allFloors {
		i := slices.IndexFunc(all, func(w workload) bool { return w.name == f.workload })
		if i < 0 {
			t.Errorf("%s: there is no workload %q", f.text, f.workload)
			continue
		}
		w := all[i]
		k := slices.IndexFunc(w.figures, func(g figure) bool { return g.name == f.figure })
		if k < 0 {
			t.Errorf("%s: there is no figure %q", f.text, f.figure)
			continue
		}
		if w.figures[k].less != (f.goal < f.floor) && f.goal != f.floor {
			t.Errorf("%s: the goal is on the wrong side of the floor", f.text)
		}
		for _, name := range []string{f.system, f.peer} {
			n := slices.IndexFunc(allSystems, func(s system) bool { return s.name == name })
			if name != "" && (n < 0 || !allSystems[n].does(w)) {
				t.Errorf("%s: %q does not do %s", f.text, name, w.name)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	rate, pause := floor{floor: 1.25, goal: 1.5}, floor{floor: 10, goal: 2}
	for _, c := range []struct {
		f     floor
		value float64
		less  bool
		want  string
	}{
		{rate, 1.6, false, "goal reached"}, {rate, 1.4999, false, "goal reached"}, {rate, 1.3, false, "floor reached"},
		{rate, 1.2, false, "**not reached**"}, {rate, math.NaN(), false, "not measured"},
		{pause, 2, true, "goal reached"}, {pause, 9, true, "floor reached"}, {pause, 11, true, "**not reached**"},
	} {
		if got := c.f.verdict(c.value, c.less); got != c.want {
			t.Errorf("%v: %q, want %q", c.value, got, c.want)
		}
	}
}

// wholeOf is a run with one workload, in which poolproxy-line does share times of what HAProxy does, twice.
func wholeOf(share float64) *whole {
	w := &whole{systems: []system{{name: baseSystem}, {name: "poolproxy-line", needs: "poolproxy"}}}
	w.workloads = []workload{{name: "requests-64", figures: requestFigures[:1]}}
	r := results{Rounds: 2}
	for i := range 2 {
		r.Samples = append(r.Samples, sample{Workload: "requests-64", System: baseSystem, Round: i, Values: map[string]float64{"rate": 1000}},
			sample{Workload: "requests-64", System: "poolproxy-line", Round: i, Values: map[string]float64{"rate": 1000 * share}})
	}
	w.parts = []part{{"reno", r}}
	return w
}

func TestFloorTable(t *testing.T) {
	table := wholeOf(1.3).floorTable()
	for _, want := range []string{
		"| replies/s at 64 connections | poolproxy-line | haproxy | 1.25 | 1.50 | 1.30 | floor reached |",
		"| connect-request-close per s | poolproxy-line | haproxy | 1.20 | 1.35 |  | not measured |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing in\n%s", want, table)
		}
	}
}

// TestCompare: what has halved is warned of, and nothing else; without a file there is nothing to compare with; a broken one
// is an error.
func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	say := func(share float64) string {
		var out strings.Builder
		w := wholeOf(share)
		w.settings.baseline = path
		if err := w.compare(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := say(1); !strings.Contains(text, "There is no "+path) {
		t.Errorf("without a file: %s", text)
	}
	if err := writeBaseline(path, wholeOf(1.5).baseline()); err != nil {
		t.Fatal(err)
	}
	if text := say(0.8); !strings.Contains(text, "0.80") || !strings.Contains(text, "1.50") || strings.Contains(text, "WARNING") {
		t.Errorf("0.8 after 1.5:\n%s", text)
	}
	if text := say(0.7); !strings.Contains(text, "WARNING") {
		t.Errorf("0.7 after 1.5:\n%s", text)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	w := wholeOf(1)
	w.settings.baseline = path
	if err := w.compare(&strings.Builder{}); err == nil {
		t.Error("a broken file was taken")
	}
}

// What is reported and what is written name what was measured as it was at the start: by then a run may have changed the working tree.
func TestRevisionOfTheStart(t *testing.T) {
	w := wholeOf(1)
	w.revision = "c0ffee"
	if got := w.baseline().Revision; got != w.revision {
		t.Errorf("the baseline names %q", got)
	}
	if text := w.report(false); !strings.Contains(text, "poolproxy: c0ffee\n") {
		t.Errorf("the report begins with:\n%s", w.machineLines())
	}
}

func TestWorse(t *testing.T) {
	for _, c := range []struct {
		now, then float64
		less      bool
		want      bool
	}{{0.5, 1, false, false}, {0.49, 1, false, true}, {2, 1, true, false}, {2.1, 1, true, true}, {0, 0, true, false}, {1, 0, true, true}} {
		if got := worse(c.now, c.then, c.less); got != c.want {
			t.Errorf("worse(%v, %v, %v) = %v", c.now, c.then, c.less, got)
		}
	}
}

//go:build linux

package main

import (
	"encoding/xml"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// pointsAt makes points of medians.
func pointsAt(medians ...float64) []point {
	var all []point
	for i, v := range medians {
		all = append(all, point{at: i, spread: spread{median: v, low: v * 0.9, high: v * 1.1, n: 3}})
	}
	return all
}

// TestPlot: a plot is well-formed, says what it must, and has every point within its frame.
func TestPlot(t *testing.T) {
	for name, values := range map[string][]float64{"linear": {10, 20, 30}, "logarithmic": {1, 40, 3000}, "one": {5}, "none": nil} {
		p := plot{title: `a <title> & "more"`, x: "sessions", y: "µs", labels: []string{"1", "10", "100"},
			curves: []curve{{name: "one <curve>", points: pointsAt(values...)}}}
		picture := p.svg()
		decoder, circles := xml.NewDecoder(strings.NewReader(picture)), 0
		for {
			token, err := decoder.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", name, err, picture)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
				circles++
			}
		}
		if circles != len(values) {
			t.Errorf("%s: %d points are drawn, want %d", name, circles, len(values))
		}
		s := p.scale()
		for _, v := range values {
			if y := s.y(v); y < frameTop || y > frameTop+frameH {
				t.Errorf("%s: %v stands at %v, outside of the frame", name, v, y)
			}
		}
		if s.log != (name == "logarithmic") || len(s.ticks) < 2 || len(s.ticks) > 8 {
			t.Errorf("%s: logarithmic %v, ticks %v", name, s.log, s.ticks)
		}
	}
}

// TestSayOfCurves: flat and linear curves are said to be so, the parts of others have the reason that fits, or the text says that there is
// none.
func TestSayOfCurves(t *testing.T) {
	known := map[string]reasons{"known": {falls: "because it is shared", rises: "because it is full"}}
	for _, c := range []struct {
		name   string
		values []float64
		want   string
	}{
		{"known", []float64{1, 1.2, 1.1, 1.29}, "- known: flat, from 1.00 at 1 to 1.29 at 1,000 µs.\n"},
		{"known", []float64{5, 5.1, 6.9, 26}, "- known: linear, 4.9"},
		{"known", []float64{9, 3, 2.5, 2.9}, "- known: falls from 9.00 at 1 to 2.50 at 100: because it is shared.\n"},
		{"known", []float64{9, 3, 2.5, 4}, "- known: falls from 9.00 at 1 to 2.50 at 100: because it is shared; rises from 2.50 at 100 to 4.00 at 1,000: because it is full.\n"},
		{"known", []float64{2, 6, 5, 1}, "- known: rises from 2.00 at 1 to 6.00 at 10: because it is full; falls from 6.00 at 10 to 1.00 at 1,000: because it is shared.\n"},
		{"unknown", []float64{9, 3, 2.5, 2.4}, "- unknown: falls from 9.00 at 1 to 2.40 at 1,000: **not explained yet**.\n"},
		{"known", []float64{7}, "- known: flat, from 7.00 at 1 to 7.00 at 1 µs.\n"},
	} {
		p := plot{x: "sessions", y: "µs", xs: []float64{1, 10, 100, 1000}, labels: []string{"1", "10", "100", "1,000"},
			curves: []curve{{name: c.name, points: pointsAt(c.values...)}}}
		if got := p.say(known); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
}

func TestGrowthTable(t *testing.T) {
	p := plot{x: "sessions", y: "µs", labels: []string{"1", "10"}, curves: []curve{{name: "a", points: pointsAt(2, 3)}, {name: "b", points: pointsAt(4)}}}
	want := "| sessions | a, µs | b, µs |\n| ---: | ---: | ---: |\n| 1 | 2.00 (1.80–2.20) | 4.00 (3.60–4.40) |\n| 10 | 3.00 (2.70–3.30) | |\n"
	if got := p.table(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestSeriesAreWhole: each series has systems that can do it, files of its own, markers in the document, and reasons for systems that it has.
func TestSeriesAreWhole(t *testing.T) {
	document, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, s := range allSeries() {
		if _, err := growthMarkers(s.name).replace(string(document), ""); err != nil {
			t.Errorf("docs/performance.md: %v", err)
		}
		if len(s.points) < 2 || s.rounds == 0 {
			t.Errorf("%s has %d points, %d rounds", s.name, len(s.points), s.rounds)
		}
		for _, name := range s.systems {
			i := slices.IndexFunc(allSystems, func(y system) bool { return y.name == name })
			if i < 0 || !allSystems[i].does(s.workload(s.points[0])) {
				t.Errorf("%s: %q does not do it", s.name, name)
			}
		}
		for _, f := range s.figures {
			if files[f.file] || f.about == "" {
				t.Errorf("%s: two plots are called %q, or it has no title (%q)", s.name, f.file, f.about)
			}
			files[f.file] = true
			for name := range f.why {
				if name != "" && !slices.Contains(s.systems, name) {
					t.Errorf("%s: there are reasons for %q, which is not measured", s.name, name)
				}
			}
		}
	}
}

// TestSeries measures the ends of each series with a plain proxy, which has no history to keep.
func TestSeries(t *testing.T) {
	b := newTestBench(t, "io.Copy")
	b.systems[0].class |= classHistory | classCrowd
	b.workloads = nil
	for _, s := range allSeries() {
		if s.workload(s.points[0]).plan != "" {
			continue
		}
		for _, x := range []float64{s.points[0], min(s.points[len(s.points)-1], 1<<20)} {
			w := s.workload(x)
			w.class, w.name, w.figures, w.job.Length = classRequests, s.name+size(x), []figure{growthCPU}, 30*time.Millisecond
			w.job.Connections = min(w.job.Connections, 500) // for the limit of open files
			b.workloads = append(b.workloads, w)
		}
	}
	b.runWell(t, func(s sample) bool { return s.Error == "" && s.Values[growthCPU.name] > 0 })
	if len(b.results.Samples) != 16 {
		t.Errorf("%d samples, want 16", len(b.results.Samples))
	}
	for _, s := range b.results.Samples {
		if s.Error != "" || s.Values[growthCPU.name] <= 0 {
			t.Errorf("%s: %v %s", s.Workload, s.Values, s.Error)
		}
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 1: "1", 1000: "1000", 1024: "1K", 5000: "5000", 64 << 20: "64M", 1<<20 + 1: "1048577"} {
		if got := size(x); got != want {
			t.Errorf("size(%v) = %q, want %q", x, got, want)
		}
	}
	for x, want := range map[float64]string{1: "1", 10: "10", 1000: "1,000", 19500: "19,500"} {
		if got := count(x); got != want {
			t.Errorf("count(%v) = %q, want %q", x, got, want)
		}
	}
}

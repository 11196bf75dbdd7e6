//go:build linux

package main

import (
	"encoding/xml"
	"io"
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

// TestSayOfCurves: what is not flat has a reason, or the text says that there is none.
func TestSayOfCurves(t *testing.T) {
	s := series{why: map[string]string{"known": "because it is so"}}
	p := plot{y: "µs", labels: []string{"1", "10"}}
	for _, c := range []struct {
		name string
		last float64
		want string
	}{{"known", 2, "Because it is so."}, {"unknown", 2, "**not explained yet**"}, {"known", 1.2, "Flat."}} {
		p.curves = []curve{{name: c.name, points: pointsAt(1, c.last)}}
		if got := s.say(p, &bench{}); !strings.Contains(got, c.want) || !strings.Contains(got, "1.00 at 1, ") {
			t.Errorf("%s, to %v: %q; want %q", c.name, c.last, got, c.want)
		}
	}
}

// TestSeries measures the ends of each series with a plain proxy, which has no history to keep.
func TestSeries(t *testing.T) {
	b := newTestBench(t, "io.Copy")
	b.systems[0].class |= classHistory
	b.workloads = nil
	for _, s := range allSeries {
		for _, x := range []int{s.points[0], min(s.points[len(s.points)-1], 1<<20)} {
			w := s.workload(x)
			w.name, w.figures, w.job.Length = s.name+short(x), []figure{growthFigure}, 30*time.Millisecond
			w.job.Connections = min(w.job.Connections, 500) // for the limit of open files
			b.workloads = append(b.workloads, w)
		}
		for _, name := range s.systems {
			if !slices.ContainsFunc(allSystems, func(s system) bool { return s.name == name }) {
				t.Errorf("%s: there is no system %q", s.name, name)
			}
		}
	}
	b.run()
	if len(b.results.Samples) != 2*len(allSeries) {
		t.Errorf("%d samples, want %d", len(b.results.Samples), 2*len(allSeries))
	}
	for _, s := range b.results.Samples {
		if s.Error != "" || s.Values[growthFigure.name] <= 0 {
			t.Errorf("%s: %v %s", s.Workload, s.Values, s.Error)
		}
	}
}

func TestShort(t *testing.T) {
	for x, want := range map[int]string{0: "0", 1: "1", 1000: "1000", 1024: "1K", 5000: "5000", 64 << 20: "64M", 1<<20 + 1: "1048577"} {
		if got := short(x); got != want {
			t.Errorf("short(%d) = %q, want %q", x, got, want)
		}
	}
}

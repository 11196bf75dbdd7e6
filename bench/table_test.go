package main

import (
	"strings"
	"testing"
)

// someResults has three rounds of two systems: b is twice a, noisy once; in the last round it failed.
func someResults() tableOf {
	w := workload{name: "w", title: "work", figures: []figure{{name: "rate", unit: "1/s"}, {name: "CPU", unit: "µs", less: true}}}
	r := &results{Rounds: 3}
	for i, rate := range []float64{1000, 1200, 1100} {
		r.Samples = append(r.Samples, sample{Workload: "w", System: "a", Round: i, Values: map[string]float64{"rate": rate}})
		b := sample{Workload: "w", System: "b", Round: i, Values: map[string]float64{"rate": 2 * rate}}
		switch i {
		case 1:
			b.Foreign = 0.5
		case 2:
			b.Values, b.Error = nil, "it\nbroke"
		}
		r.Samples = append(r.Samples, b)
	}
	return tableOf{workloads: []workload{w}, systems: []string{"a", "b"}, results: r}
}

func TestTables(t *testing.T) {
	tables := someResults()
	for _, c := range []struct{ name, got, want string }{
		{"figures", tables.figures(), `
| figure | a | b |
| --- | ---: | ---: |
| work: rate, 1/s ↑ | 1,100 (1,000–1,200) | 2,200 (2,000–2,400) ~1 !1 |
| work: CPU, µs ↓ |  | !1 |
`},
		{"ratios", tables.ratioTable("a"), `
| figure | b |
| --- | ---: |
| work: rate, 1/s ↑ | **2.00** (2.00–2.00) |
`},
		{"rounds", tables.roundTable("a"), `
| figure | b |
| --- | ---: |
| work: rate, 1/s ↑ | 2.00 2.00 - |
`},
		{"failures", tables.failures(), "- b, work: 1 of 3 rounds failed: it broke\n"},
	} {
		if strings.TrimSpace(c.got) != strings.TrimSpace(c.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, c.got, c.want)
		}
	}
	if !tables.comparable("a") || tables.comparable("c") {
		t.Error("comparable: a has figures, c has not")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234.4: "1,234", 1234567: "1,234,567", -12345: "-12,345", -123456: "-123,456",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestReplaceMarked(t *testing.T) {
	markerBegin, markerEnd := resultMarkers.begin, resultMarkers.end
	document := "before\n" + markerBegin + "\nold\n" + markerEnd + "\nafter\n"
	got, err := resultMarkers.replace(document, "new\n")
	want := "before\n" + markerBegin + "\n\nnew\n\n" + markerEnd + "\nafter\n"
	if err != nil || got != want {
		t.Errorf("replace = %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"", markerBegin, markerEnd + markerBegin} {
		if _, err := resultMarkers.replace(bad, "new"); err == nil {
			t.Errorf("replace(%q) found both markers", bad)
		}
	}
}

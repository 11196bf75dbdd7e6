package proxy

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/metrics.md has every metric, with its labels and what it is, and no other one.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, m := range Metrics() {
		labels := strings.Join(m.Labels, ", ")
		fmt.Fprintf(&want, "| `poolproxy_%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Help)
	}
	if !strings.Contains(string(page), "| --- | --- | --- | --- |\n"+want.String()+"\n") {
		t.Errorf("the table of docs/metrics.md should be:\n%s", want.String())
	}
}

// Names, labels and units follow Prometheus's conventions.
func TestMetricsAreNamedByConvention(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, m := range Metrics() {
		if !name.MatchString(m.Name) || seen[m.Name] || len(m.Labels) > mostLabels || !strings.HasSuffix(m.Help, ".") || strings.Contains(m.Help, "|") {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
		if total := strings.HasSuffix(m.Name, "_total"); total != (m.Kind == Counter) {
			t.Errorf("%s is a %s", m.Name, m.Kind)
		}
		if m.Kind == Histogram && (!strings.HasSuffix(m.Name, "_seconds") || !slices.IsSorted(m.Buckets)) {
			t.Errorf("%s has no unit, or its buckets are in no order", m.Name)
		}
		for _, l := range m.Labels {
			if !name.MatchString(l) || l == "le" || l == "name" && m.Labels[0] != "side" {
				t.Errorf("%s has a label %s", m.Name, l)
			}
		}
	}
}

// Package grafana_test holds that the dashboard asks for nothing that the proxy does not tell.
package grafana_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/proxy"
)

// known are the series that there are, with their labels.
func known() map[string][]string {
	series := map[string][]string{"poolproxy_info": {"version"}}
	for _, m := range proxy.Metrics() {
		name := "poolproxy_" + m.Name
		if m.Kind != proxy.Histogram {
			series[name] = m.Labels
			continue
		}
		for _, suffix := range []string{"_sum", "_count", "_bucket"} {
			series[name+suffix] = append([]string{"le"}, m.Labels...)
		}
	}
	return series
}

type target struct {
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
}

type panel struct {
	ID      int            `json:"id"`
	Title   string         `json:"title"`
	GridPos map[string]int `json:"gridPos"`
	Targets []target       `json:"targets"`
}

type dashboard struct {
	Title      string  `json:"title"`
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

func load(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("poolproxy.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil || d.Title == "" || d.UID == "" || len(d.Panels) == 0 {
		t.Fatalf("%v in %+v", err, d)
	}
	return d
}

var (
	series   = regexp.MustCompile(`(poolproxy_\w+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+)=~?"`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
	legend   = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variable = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`)
)

// Each series that is asked for exists, with the labels that it is chosen and grouped by; legends name labels that are left.
func TestEveryMetricExists(t *testing.T) {
	d, all := load(t), known()
	asked := map[string]bool{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			var labels []string
			for _, m := range series.FindAllStringSubmatch(q.Expr, -1) {
				has, is := all[m[1]]
				if !is {
					t.Errorf("%s: there is no %s", p.Title, m[1])
				}
				asked[strings.TrimSuffix(m[1], "_bucket")] = true
				labels = append(slices.Clone(has), "job", "instance")
				for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
					if !slices.Contains(labels, l[1]) {
						t.Errorf("%s: %s has no label %s", p.Title, m[1], l[1])
					}
				}
			}
			var by []string
			for _, g := range grouping.FindAllStringSubmatch(q.Expr, -1) {
				by = append(by, strings.Split(g[1], ", ")...)
			}
			for _, l := range by {
				if !slices.Contains(labels, l) {
					t.Errorf("%s: grouped by %s, which there is not: %s", p.Title, l, q.Expr)
				}
			}
			for _, l := range legend.FindAllStringSubmatch(q.LegendFormat, -1) {
				if !slices.Contains(by, l[1]) {
					t.Errorf("%s: the legend has %s, which is not grouped by", p.Title, l[1])
				}
			}
		}
	}
	if len(asked) < 15 {
		t.Errorf("it asks for %d metrics only", len(asked))
	}
}

// Variables are declared, panels have ids of their own and do not lie on each other, parentheses close.
func TestDashboardIsWhole(t *testing.T) {
	d := load(t)
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if m := series.FindStringSubmatch(v.Definition); m != nil && known()[m[1]] == nil {
			t.Errorf("variable %s asks for %s", v.Name, m[1])
		}
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		for x := range p.GridPos["w"] {
			for y := range p.GridPos["h"] {
				at := [2]int{p.GridPos["x"] + x, p.GridPos["y"] + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		for _, q := range p.Targets {
			if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
				t.Errorf("%s: %s", p.Title, q.Expr)
			}
			for _, v := range variable.FindAllStringSubmatch(q.Expr, -1) {
				if !variables[v[1]+v[2]] && v[2] != "__rate_interval" {
					t.Errorf("%s: there is no variable %s%s", p.Title, v[1], v[2])
				}
			}
		}
	}
}

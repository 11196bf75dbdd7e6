package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/pool"
)

// Every policy of RFC 5356 can be had with what it needs.
func TestPolicies(t *testing.T) {
	for _, p := range pool.Standard() {
		var lines []string
		for _, name := range p.Needs() {
			lines = append(lines, name+" = "+map[string]string{"weight": "7", "priority": "7", "load": `"25%"`, "degradation": `"0.5 %"`}[name])
		}
		l := loadText(t, values(p.String(), strings.Join(lines, "\n")))
		if len(l.Diagnostics) != 0 || l.Config.Pools[1].Policy != p {
			t.Fatalf("%v: %v", p, l.Diagnostics)
		}
		got := l.Config.Pools[1].Elements[0]
		want := pool.Element{Name: "a", Address: got.Address, Weight: 1}
		for _, name := range p.Needs() {
			switch name {
			case "weight":
				want.Weight = 7
			case "priority":
				want.Priority = 7
			case "load":
				want.Load = 0x40000000
			case "degradation":
				want.Degradation = 21474836
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %+v, not %+v", p, got, want)
		}
	}
}

// What is not said of weights and priorities has a default.
func TestPolicyDefaults(t *testing.T) {
	for _, policy := range []string{"weighted_round_robin", "weighted_random", "priority", "round_robin"} {
		l := loadText(t, values(policy, ""))
		if e := l.Config.Pools[1].Elements[0]; len(l.Diagnostics) != 0 || e.Weight != 1 || e.Priority != 0 {
			t.Errorf("%s: %+v, %v", policy, e, l.Diagnostics)
		}
	}
}

// Under priority equals may have weights, all of them 0 too (RFC 2782).
func TestPriorityWeights(t *testing.T) {
	for _, weight := range []uint32{0, 7} {
		l := loadText(t, values("priority", fmt.Sprintf("priority = 3\nweight = %d", weight)))
		if e := l.Config.Pools[1].Elements[0]; len(l.Diagnostics) != 0 || e.Weight != weight || e.Priority != 3 {
			t.Errorf("%+v, %v", e, l.Diagnostics)
		}
	}
}

func TestShares(t *testing.T) {
	for text, want := range map[string]uint32{"0%": 0, "100%": math.MaxUint32, "100.000000%": math.MaxUint32, "50%": 1 << 31, "0.000001%": 43, "010%": 429496730} {
		l := loadText(t, values("least_used", fmt.Sprintf("load = %q", text)))
		if len(l.Diagnostics) != 0 || l.Config.Pools[1].Elements[0].Load != want {
			t.Errorf("%s: %d, %v", text, l.Config.Pools[1].Elements[0].Load, l.Diagnostics)
		}
	}
}

// The mistake is found where it is, to the column.
func TestPolicyMistakeHasItsPlace(t *testing.T) {
	l := loadText(t, minimal+`pool "p" {
  policy = "least_used"
  element "a" {
    address = "10.0.0.1:1"
    load    = "10%"
  }
  element "b" { address = "10.0.0.2:1" }
  element "c" {
    address = "10.0.0.3:1"
    weight  = 2
  }
}
`)
	var got []string
	base := strings.Count(minimal, "\n")
	for _, d := range l.Diagnostics {
		got = append(got, fmt.Sprintf("%s %d:%d %s", filepath.Base(d.Subject.Filename), d.Subject.Start.Line-base, d.Subject.Start.Column, d.Summary))
	}
	want := []string{`a.hcl 7:3 Element "b" has no load: policy least_used needs it`, `a.hcl 8:3 Element "c" has no load: policy least_used needs it`,
		`a.hcl 10:15 "weight" has no effect under policy least_used`}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q", got)
	}
}

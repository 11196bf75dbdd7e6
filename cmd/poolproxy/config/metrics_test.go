package config

import (
	"strings"
	"testing"
)

// Metrics are sent where the block says; what is no address is told with its place.
func TestMetrics(t *testing.T) {
	const rest = "\ndns { listen = \"127.0.0.1:5353\" }\npool \"p\" {\n  element \"a\" { address = \"127.0.0.1:1\" }\n}\n"
	if l := loadText(t, rest); l.Failed() || l.Config.Metrics.Statsd.IsValid() {
		t.Errorf("%v %v", l.Diagnostics, l.Config.Metrics)
	}
	if l := loadText(t, `metrics { statsd = "127.0.0.1:8125" }`+rest); l.Failed() || l.Config.Metrics.Statsd.String() != "127.0.0.1:8125" {
		t.Errorf("%v %v", l.Diagnostics, l.Config.Metrics)
	}
	for text, want := range map[string]string{
		`metrics { statsd = "127.0.0.1" }`:       "8125",
		`metrics { statsd = 8125 }`:              "8125",
		`metrics { statsd = "127.0.0.1:0" }`:     "0",
		`metrics { stats = "127.0.0.1:8125" }`:   "statsd",
		"metrics {}\nmetrics {}":                 "metrics",
		`metrics "x" { statsd = "127.0.0.1:1" }`: "metrics",
	} {
		l := loadText(t, text+rest)
		if !l.Failed() || !strings.Contains(l.Diagnostics.Error()+l.Diagnostics[0].Detail+l.Diagnostics[0].Summary, want) {
			t.Errorf("%s: %v", text, l.Diagnostics)
		}
	}
}

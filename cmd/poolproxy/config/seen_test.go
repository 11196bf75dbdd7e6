package config

import (
	"strings"
	"testing"
)

// What the blocks say is read; mistakes are told with what to write.
func TestAccessLogAndTraces(t *testing.T) {
	const rest = "\n" + minimal
	if l := loadText(t, rest); l.Failed() || l.Config.Access.File != "" || l.Config.Traces.OTLP != "" {
		t.Errorf("%v %v %v", l.Diagnostics, l.Config.Access, l.Config.Traces)
	}
	l := loadText(t, "access_log { file = \"/var/log/x\" }\ntraces { otlp = \"http://127.0.0.1:4318\" }"+rest)
	if l.Failed() || l.Config.Access.File != "/var/log/x" || l.Config.Traces.OTLP != "http://127.0.0.1:4318" {
		t.Errorf("%v %v %v", l.Diagnostics, l.Config.Access, l.Config.Traces)
	}
	if l := loadText(t, `access_log { file = "stdout" }`+rest); l.Failed() || l.Config.Access.File != "stdout" {
		t.Errorf("%v %v", l.Diagnostics, l.Config.Access)
	}
	for text, want := range map[string]string{
		`access_log { file = "access.log" }`: "from the root",
		`access_log { file = "" }`:           "0 bytes",
		`access_log {}`:                      `"file" is missing`,
		`access_log { path = "/x" }`:         "file",
		`traces {}`:                          `"otlp" is missing`,
		`traces { otlp = "127.0.0.1:4318" }`: "http://127.0.0.1:4318",
		`traces { otlp = "grpc://x:4317" }`:  "http://HOST:PORT",
		`traces { otlp = "" }`:               "0 bytes",
	} {
		if l := loadText(t, text+rest); !l.Failed() || !strings.Contains(l.Diagnostics[0].Detail+l.Diagnostics[0].Summary, want) {
			t.Errorf("%s: %v", text, l.Diagnostics)
		}
	}
}

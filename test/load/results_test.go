//go:build linux

package load

import (
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

var write = flag.Bool("write", false, "write what was measured to results.json, which docs/limits.md is about")

// figure is one of what was measured.
type figure struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// report is results.json.
type report struct {
	Date       string              `json:"date"`
	Processors int                 `json:"processors"`
	Figures    map[string][]figure `json:"figures"` // by the test
}

var (
	found   = report{Figures: map[string][]figure{}}
	finding sync.Mutex
)

// tell notes a figure, and shows it.
func tell(t *testing.T, what string, value float64, unit string) {
	t.Helper()
	finding.Lock()
	defer finding.Unlock()
	found.Figures[t.Name()] = append(found.Figures[t.Name()], figure{what, value, unit})
	t.Logf("%s: %.4g %s", what, value, unit)
}

// save writes what was measured, if that is wanted. Figures of tests that did not run stay.
func save() error {
	if !*write {
		return nil
	}
	old := report{Figures: map[string][]figure{}}
	if text, err := os.ReadFile("results.json"); err == nil {
		if err := json.Unmarshal(text, &old); err != nil {
			return err
		}
	}
	for name, figures := range found.Figures {
		old.Figures[name] = figures
	}
	old.Date, old.Processors = time.Now().UTC().Format(time.DateOnly), runtime.NumCPU()
	text, err := json.MarshalIndent(old, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile("results.json", append(text, '\n'), 0o644)
}

const mib = 1 << 20

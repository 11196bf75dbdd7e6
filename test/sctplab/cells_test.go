//go:build linux

package sctplab

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// recordVariable names the file that TestCells writes its record to, of which docs/reliability.md is made.
const recordVariable = "POOLPROXY_SCTP_RECORD"

// TestCells is the part of test/chaos's table for mapping sctp: nothing is lost, doubled or mixed, whatever strikes in whatever state.
func TestCells(t *testing.T) {
	t.Parallel()
	s := sidecars(t, "cells")
	s.Programs = append(s.Programs, Build(t, "./cells"))
	r := Open(t).Run(t, s)
	r.Check(t)
	text := r.File(t, "cells/cells.json")
	var seen struct {
		Cells map[string]struct {
			Strikes, Sessions, Findings int64
			Gaps                        workload.Histogram
		}
		Findings []string
	}
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, c := range seen.Cells {
		names = append(names, name)
		if c.Strikes == 0 || c.Sessions == 0 {
			t.Errorf("%s: nothing was struck", name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		gaps := seen.Cells[name].Gaps
		t.Logf("%-40s next answer %v after the strike", name, gaps.Max())
	}
	if len(names) != 5*4*2 {
		t.Errorf("there are %d cells, not 5 failures x 4 states x 2 protocols", len(names))
	}
	for _, f := range seen.Findings {
		t.Error(f)
	}
	if path := os.Getenv(recordVariable); path != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

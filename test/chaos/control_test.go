//go:build linux

package chaos

import (
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// controls are pools that must be found to break the promise: whose unsafe requests are carried out again, and whose servers do not reply alike.
var controls = []dialect{
	{name: "repeats", kind: workload.Line, protocol: dialects[0].protocol, failover: "    unsafe = \"replay\"\n"},
	{name: "differs", kind: workload.Line, protocol: dialects[0].protocol, differs: true},
	{name: "differs+session", kind: workload.Stream, protocol: `protocol "stream" {}`, failover: "    replay = \"session\"\n", differs: true},
}

// control is a cell that has to be found wrong.
type control struct {
	dialect string
	state   state
	finds   []workload.FindingKind // at least one of these
	besides []workload.FindingKind // and no others than these
}

// controlled are those that are played. Where a part of a reply is with the client it is compared with what comes again, and the session ends,
// unless what differs is behind that part.
var controlled = []control{
	{dialect: "repeats", state: stateInFlight, finds: []workload.FindingKind{workload.Doubled}},
	{dialect: "differs", state: stateInFlight, finds: []workload.FindingKind{workload.Mixed}, besides: []workload.FindingKind{workload.Lost}},
	{dialect: "differs", state: stateHalfReply, finds: []workload.FindingKind{workload.Mixed, workload.Broken}, besides: []workload.FindingKind{workload.Lost}},
	{dialect: "differs+session", state: stateHalfReply, finds: []workload.FindingKind{workload.Mixed, workload.Broken},
		besides: []workload.FindingKind{workload.Lost}},
}

// TestControl is the matrix's negative control: with the same steps, failures and judges it must find what is wrong on purpose; and where
// every upgrade comes to nothing all cells during an upgrade must be missed.
func TestControl(t *testing.T) {
	needs(t, "ip")
	w, err := newWorld(plan{name: "control", level: "debug", mappings: bothMappings, dialects: controls, upgrade: "/nonexistent"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for _, e := range controlled {
		for _, c := range w.columns {
			if c.dialect.name == e.dialect {
				t.Run(e.state.id+"/"+c.name, func(t *testing.T) { e.play(t, w, c) })
			}
		}
	}
	t.Run("upgrade", func(t *testing.T) {
		r, columns := newRun(seed()), w.columns[:2]
		missed, err := r.step(w, columns, failures[0], stateUpgrade, r.record.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(missed) != len(columns) || r.record.Strikes != 0 || r.record.Failed == 0 || !strings.Contains(r.missed, "came to nothing") {
			t.Errorf("no upgrade has succeeded, and %d of %d columns are missed (%s): %+v", len(missed), len(columns), r.missed, r.record)
		}
	})
}

// play plays the cell until something is found, as it must be soon: half of the requests are held before they are carried out, and then
// there is nothing to be doubled; and content that is short may differ nowhere.
func (e *control) play(t *testing.T, w *world, c *column) {
	r := newRun(seed())
	r.kept = mostKept // these findings are as they should be
	for try := uint64(0); len(r.errs) == 0 && try < tries; try++ {
		if _, err := r.step(w, []*column{c}, failures[0], e.state, r.record.Seed+try); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range r.record.Findings {
		t.Log(f)
	}
	count := func(kinds []workload.FindingKind) (n int) {
		for _, kind := range kinds {
			n += r.record.count(kind)
		}
		return n
	}
	found := count(e.finds)
	if len(r.errs) == 0 || found == 0 {
		t.Errorf("nothing was found of %v (seed %d, %d strikes): the matrix cannot fail", e.finds, r.record.Seed, r.record.Strikes)
	}
	if found+count(e.besides) != len(r.record.Findings) {
		t.Errorf("there are other findings than %v and %v", e.finds, e.besides)
	}
}

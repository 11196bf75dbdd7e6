//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Variables of the environment beside cellVariable.
const (
	eventsVariable   = "POOLPROXY_EVENTS"   // how many strikes TestChaos lets fall
	durationVariable = "POOLPROXY_DURATION" // or for how long it does
	seedVariable     = "POOLPROXY_SEED"     // of what is drawn by chance
	worldsVariable   = "POOLPROXY_WORLDS"   // how many of them are struck at once
	resultVariable   = "POOLPROXY_RESULT"   // where the record is written, beside the logs
)

// seed is that of the run.
func seed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64); err == nil {
		return n
	}
	return rand.Uint64()
}

// bothMappings are those that can be had here; sctp is played in the laboratory.
var bothMappings = []string{"tcp", "none"}

// wanted reports whether a cell is to be played: all, but for POOLPROXY_CELL.
func wanted(f failure, s state, c *column) bool {
	want := strings.Split(os.Getenv(cellVariable), "/")
	for i, part := range strings.Split(f.id+"/"+s.id+"/"+c.dialect.name+"/"+c.mapping, "/") {
		if i < len(want) && want[i] != "" && want[i] != part {
			return false
		}
	}
	return f.senseless(c, s) == ""
}

// TestMatrix plays every cell there is: each failure in each state, in all columns at once; those that it did not meet, again. With
// POOLPROXY_CELL=failure/state/protocol/mapping, of which parts may be empty, it plays only those, with the sidecars' logs at level debug.
func TestMatrix(t *testing.T) {
	needs(t, "ip", "etcd", "redis-server")
	r := newRun(seed())
	t.Logf("seed %d", r.record.Seed)
	t.Cleanup(func() { r.end(t) })
	r.matrix(t)
}

// matrix plays it, in one world, and the row that needs etcd in another.
func (r *run) matrix(t *testing.T) {
	for _, etcd := range []bool{false, true} {
		if !anyWanted(etcd) {
			continue
		}
		p := plan{name: "matrix", level: "debug", mappings: bothMappings, dialects: dialects, etcd: etcd}
		if etcd {
			p.name = "etcd"
		}
		w, err := newWorld(p)
		if err != nil {
			t.Fatal(err)
		}
		err = r.rows(w)
		w.close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// anyWanted reports whether anything is to be played in a world.
func anyWanted(etcd bool) bool {
	want, _, _ := strings.Cut(os.Getenv(cellVariable), "/")
	return want == "" || etcd == (want == "etcd-leader")
}

// tries is how often a cell is played that is missed. One that cannot be struck at all is a failure; a cut of mapping none, with a request
// at its server, is too short to meet a packet one time in four.
const tries = 12

// rows plays all cells of a world.
func (r *run) rows(w *world) error {
	for _, f := range failures {
		if f.needsEtcd != w.plan.etcd {
			continue
		}
		for _, s := range states {
			var columns []*column
			for _, c := range w.columns {
				if wanted(f, s, c) {
					columns = append(columns, c)
				}
			}
			for try := uint64(0); len(columns) > 0 && try < tries; try++ {
				missed, err := r.step(w, columns, f, s, r.record.Seed+try)
				if err != nil {
					return err
				}
				columns = missed
			}
			if len(columns) > 0 {
				return fmt.Errorf("%s/%s: %s was missed %d times; the last time %s", f.id, s.id, columns[0].name, tries, r.missed)
			}
		}
	}
	return nil
}

// step plays one step and notes what came of it.
func (r *run) step(w *world, columns []*column, f failure, s state, seed uint64) (missed []*column, err error) {
	one := newStep(w, columns, f, s, seed)
	all, err := one.play()
	if err != nil {
		return nil, fmt.Errorf("%s/%s at %s, with logs in %s: %w", f.id, s.id, columns[0].name, w.dir, err)
	}
	missed = r.note(one, all)
	for i := range all {
		if o := &all[i]; !o.good {
			name := cellName(f, s, o.column)
			r.fail(fmt.Errorf("%s: %v\n  again: %s=%s %s=%d go test ./test/chaos -run TestMatrix -count=1\n  logs: %s", name, o.verdict.Findings,
				cellVariable, name, seedVariable, r.record.Seed, r.keepLogs(w, o)))
		}
	}
	return missed, nil
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// end tells what the run has seen.
func (r *run) end(t *testing.T) {
	for _, err := range r.errs {
		t.Error(err)
	}
	c := &r.record
	t.Logf("%d strikes (%d missed) in %s, %.1f a second; %d sessions, %d of them protected; %d requests, %d bytes; %d findings", c.Strikes, c.Missed,
		c.Took.Round(time.Second), float64(c.Strikes)/c.Took.Seconds(), c.Sessions, c.Protected, c.Requests, c.Bytes, len(c.Findings))
	if c.Upgrades > 0 {
		t.Logf("%d upgrades of sidecars; %d came to nothing for no reason that is known", c.Upgrades, c.Failed)
	}
	for _, f := range failures {
		if of := c.Failures[f.id]; of != nil {
			t.Logf("%-22s %6d strikes; tcp: %v; none: %v", f.name, of.Strikes, of.Gaps["tcp"], of.Gaps["none"])
		}
	}
	if err := r.save(); err != nil {
		t.Error(err)
	}
}

// save writes the record where it is wanted.
func (r *run) save() error {
	path := os.Getenv(resultVariable)
	if path == "" {
		return nil
	}
	return r.write(path)
}

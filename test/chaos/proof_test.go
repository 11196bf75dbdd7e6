//go:build linux

package chaos

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// quietTarget is a host of which no packet has been seen, in a world without processes, and two columns.
func quietTarget() *target {
	w := &world{exchange: newExchange(), said: map[string]string{}}
	w.hosts = []*host{{name: "a", address: netip.AddrFrom4([4]byte{10, 77, 0, 11})}}
	t := &target{world: w, random: rand.New(rand.NewPCG(1, 8))}
	for i, d := range dialects[:2] {
		t.columns = append(t.columns, &column{world: w, name: d.name, dialect: d, mapping: "tcp", number: i})
	}
	return t
}

// from is a packet of the host's, from a column's port.
func (t *target) from(c *column, flags byte) *packet {
	b := segment(direction{t.portOf(c), netip.MustParseAddrPort("10.77.0.1:30000")}, 1)
	b[33] = flags
	p, _ := parse(b)
	return p
}

// What meets no packet, or no connection, of a column is no strike at it.
func TestStrikesOnNothingAreMissed(t *testing.T) {
	for _, f := range failures {
		if !f.onCable && f.id != "reset" {
			continue
		}
		quiet := quietTarget()
		if heal, err := f.strike(quiet); err != nil || heal() != nil {
			t.Fatal(err)
		}
		for _, c := range quiet.columns {
			if quiet.unproved(c) == "" {
				t.Errorf("%s has met nothing of %s, and counts", f.id, c.name)
			}
		}
	}
}

// What meets packets of one column is a strike at that one, and none at the other; neither is what only passes.
func TestCutsCountPackets(t *testing.T) {
	for name, f := range map[string]*fault{"lost": {from: true, lose: 1}, "late": {from: true, delay: time.Hour}, "passes": {from: true}, "other direction": {to: true, lose: 1}} {
		at := quietTarget()
		heal := disturb(at, f)
		at.world.exchange.forward(at.from(at.columns[1], flagACK))
		if err := heal(); err != nil {
			t.Fatal(err)
		}
		at.world.exchange.forward(at.from(at.columns[0], flagACK)) // too late
		first, second := at.unproved(at.columns[0]), at.unproved(at.columns[1])
		if first == "" || (second == "") != (name == "lost" || name == "late") {
			t.Errorf("%s: %q, %q", name, first, second)
		}
	}
}

// A connection that was reset is a strike at its column; the same once more is none.
func TestResetsCountConnections(t *testing.T) {
	at := quietTarget()
	p := at.from(at.columns[1], flagSYN|flagACK)
	p.from, p.to = p.to, p.from
	at.world.exchange.flows.see(p)
	awaitConnections(at)
	for i, want := range []bool{true, false} {
		at.proofs = nil
		if _, err := injectResets(at); err != nil {
			t.Fatal(err)
		}
		if at.unproved(at.columns[0]) == "" || (at.unproved(at.columns[1]) == "") != want {
			t.Errorf("reset %d: %q, %q", i, at.unproved(at.columns[0]), at.unproved(at.columns[1]))
		}
	}
}

// What was not struck is missed, and not noted as a strike.
func TestMissedIsNotCounted(t *testing.T) {
	at := quietTarget()
	r := newRun(1)
	missed := r.note(&step{target: *at, failure: failures[0]}, []outcome{{column: at.columns[0], failure: failures[0], state: stateIdle, missed: "nothing", verdict: none}})
	if len(missed) != 1 || r.record.Strikes != 0 || r.record.Missed != 1 || r.missed != "nothing" {
		t.Errorf("missed %d; %+v; %q", len(missed), r.record, r.missed)
	}
}

// A session that has ended when the failure strikes is not struck; one that ends by it is.
func TestEndedIsNotStruck(t *testing.T) {
	for name, want := range map[string]bool{"before": false, "behind": true, "never struck": false} {
		b, now := &subject{}, time.Now()
		switch name {
		case "before":
			b.event(workload.Event{Kind: workload.Ended, At: now})
			b.hit(now.Add(time.Millisecond))
		case "behind":
			b.hit(now)
			b.event(workload.Event{Kind: workload.Ended, At: now.Add(time.Millisecond)})
		default:
			b.event(workload.Event{Kind: workload.Ended, At: now})
		}
		if b.met() != want {
			t.Errorf("%s: met %v", name, b.met())
		}
	}
}

// Where a cell is none it says why: no session that is not protected lives during a failover, and only there.
func TestFailoverOfWhatEndsIsNoCell(t *testing.T) {
	for _, f := range failures {
		for _, s := range states {
			for _, d := range dialects {
				c := &column{dialect: d, mapping: "tcp"}
				if none := f.senseless(c, s) != ""; none != (d.unprotected && s == stateFailover) {
					t.Errorf("%s: %v", cellName(f, s, c), none)
				}
			}
		}
	}
}

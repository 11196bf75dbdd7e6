package proxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// severalPaths is an association that has two paths, of which the first does not work.
type severalPaths struct{ mapping.Association }

func (severalPaths) Remote() netip.AddrPort { return netip.MustParseAddrPort("10.0.0.1:7001") }

func (severalPaths) Paths() []mapping.Path {
	return []mapping.Path{{Address: netip.MustParseAddrPort("10.0.0.1:7001"), State: mapping.PathInactive, RTT: 2, RTO: 3, PMTU: 1500},
		{Address: netip.MustParseAddrPort("[2001:db8::1]:7001"), State: mapping.PathActive, PMTU: 1280}}
}

func TestPathsOf(t *testing.T) {
	got := fmt.Sprintf("%+v", pathsOf(severalPaths{}))
	const want = "[{Address:10.0.0.1 State:inactive Primary:true RTT:2ns RTO:3ns PMTU:1500}" +
		" {Address:2001:db8::1 State:active Primary:false RTT:0s RTO:0s PMTU:1280}]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := pathsOf(struct{ mapping.Association }{}); got != nil {
		t.Errorf("an association that knows no paths has %+v", got)
	}
}

// A change of a path is one line of the log, of the level that it deserves, a count, and a record; the last of them are kept.
func TestPathChanges(t *testing.T) {
	sink := metrics.NewInmemSink(time.Hour, time.Hour)
	meter, err := metrics.New(&metrics.Config{FilterDefault: true}, sink)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := &Shard{log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info}), metrics: meter, loop: looptest.NewWorld(1).Host("h")}
	m := s.watched(mapping.SCTPMapping{UDPPort: 9}, "pool_user", "u")
	const n = 5*keptRecords + 1 // an odd number: the last state is inactive
	for i := range n {
		state := []mapping.PathState{mapping.PathInactive, mapping.PathActive}[i%2]
		m.PathChanged(severalPaths{}, netip.MustParseAddrPort("10.1.0.1:7001"), state)
	}
	if m.UDPPort != 9 || strings.Count(log.String(), "[WARN]") != n/2+1 || strings.Count(log.String(), "[INFO]") != n/2 ||
		!strings.Contains(log.String(), "path changed: pool_user=u remote=10.0.0.1:7001 path=10.1.0.1 state=inactive") {
		t.Errorf("the log says: %s", log.String()[:300])
	}
	counted := sink.Data()[0].Counters
	for state, want := range map[string]int{"inactive": n/2 + 1, "active": n / 2} {
		if got := counted["path_changes_total;side=pool_user;name=u;state="+state]; got.AggregateSample == nil || got.Count != want {
			t.Errorf("%s was counted %+v, want %d", state, got.AggregateSample, want)
		}
	}
	var status Status
	s.common = newSpread(Config{}, []loop.Loop{s.loop}, nil)
	s.status(&status)
	status.finish()
	if all := status.PathChanges; len(all) != keptRecords || len(s.changes) > 2*keptRecords || all[keptRecords-1].State != "inactive" ||
		all[keptRecords-2].State != "active" || all[0].Remote != "10.0.0.1:7001" {
		t.Errorf("%d changes are shown, the last %+v", len(all), all[len(all)-1])
	}
}

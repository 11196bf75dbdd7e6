//go:build linux

package sctplab

import (
	"encoding/json"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// sidecars is a scenario with poolproxy, on the hosts of scenarios/star.sh.
func sidecars(t *testing.T, name string, programs ...string) Scenario {
	t.Helper()
	s := Named(name)
	s.Script = Named("star").Script + s.Script
	s.Programs = append([]string{Build(t, "../../cmd/poolproxy"), "nginx", "curl", "tcpdump"}, programs...)
	return s
}

// status is a status that the scenario has left in a file.
func (r Result) status(t *testing.T, name string) (s proxy.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.File(t, name)), &s); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// moved are the failovers in a status, each of which must have moved its session.
func moved(t *testing.T, s proxy.Status) []proxy.Record {
	t.Helper()
	for _, r := range s.Failovers {
		if r.Kind != "moved" {
			t.Errorf("a failover that moved nothing: %+v", r)
		}
	}
	return s.Failovers
}

// Real programs between SCTP sidecars on two networks: the serving nginx is killed, which moves the session; then a network is cut,
// which must not, and is seen in the status. The scenario compares what curl got.
func TestNginxAndCurl(t *testing.T) {
	t.Parallel() // with TestSilence, which waits most of its time
	r := Open(t).Run(t, sidecars(t, "nginx"))
	r.Check(t)
	s := r.status(t, "cut.json")
	all := moved(t, r.status(t, "after.json"))
	if len(all) != 1 || all[0].First <= 0 || all[0].Saved <= 0 {
		t.Fatalf("failovers: %+v; want one, of the killed nginx, under the download", all)
	}
	if len(s.Sessions) != 1 || s.Sessions[0].Leg != all[0].Leg || s.Sessions[0].State != "open" {
		t.Errorf("sessions after the cut, which no leg must notice: %+v", s.Sessions)
	}
	t.Logf("kill -9 of nginx: first byte after %v, %d bytes not fetched twice", all[0].First, all[0].Saved)
	checkPaths(t, s, all[0].To)
	checkResumed(t, r.status(t, "resumed.json"))
	legs := 0
	for _, a := range r.status(t, "element.json").Associations {
		if a.RTO <= 0 || a.PMTU != 1500 || len(a.Paths) != 2 {
			t.Errorf("the element's association: %+v", a)
		}
		legs += a.Sessions
	}
	if legs != 1 {
		t.Errorf("%d legs at the element, not 1", legs)
	}
}

// checkResumed looks for the sessions of the pool_user v that were resumed, on different shards.
func checkResumed(t *testing.T, s proxy.Status) {
	t.Helper()
	n := 0
	for _, r := range s.Failovers {
		if r.User == "v" {
			n++
			if r.Kind != "resumed" || r.From != "b" || r.To != "b" {
				t.Errorf("%+v; want it resumed", r)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d sessions were resumed, want 2", n)
	}
}

// checkPaths looks for the cut: the path to the element on the first network is inactive, the other is not.
func checkPaths(t *testing.T, s proxy.Status, element string) {
	t.Helper()
	host := map[string]string{"a": "2", "b": "3"}[element]
	found := false
	for _, a := range s.Associations {
		if a.Remote != "10.2.1."+host+":7001" {
			continue
		}
		found = true
		states := map[string]string{}
		for _, p := range a.Paths {
			states[p.Address] = p.State
		}
		other := states["10.2.2."+host] // failing: one message was late
		if states["10.2.1."+host] != "inactive" || other != "active" && other != "failing" || len(states) != 2 {
			t.Errorf("paths to %s: %v", element, states)
		}
		if a.Mapping != "sctp" || !a.Up || a.Sessions != 1 || a.RTT <= 0 || a.RTO <= 0 || a.PMTU != 1500 {
			t.Errorf("the association: %+v", a)
		}
	}
	if !found {
		t.Errorf("no association with %s: %+v", element, s.Associations)
	}
	if c := s.PathChanges; len(c) != 1 || c[0].Path != "10.2.1."+host || c[0].State != "inactive" || c[0].Side != "pool_user" || c[0].Name != "u" {
		t.Errorf("changes of paths: %+v", c)
	}
}

// The default heartbeats give a silent peer up after 3 s: a sidecar that is frozen, whose kernel goes on answering, and a host that is
// cut off from both networks. rsplib, cut off in the same moment, finds it after half a minute, and never finds a frozen peer.
func TestSilence(t *testing.T) {
	t.Parallel()
	r := Open(t).Run(t, sidecars(t, "silence", Rsplib...))
	r.Check(t)
	const limit = 3*time.Second + 30*time.Millisecond
	all := moved(t, r.status(t, "cut.json"))
	if len(all) != 2 {
		t.Fatalf("%d failovers, want one of a frozen sidecar and one of a silent cut: %+v", len(all), all)
	}
	for i, what := range []string{"frozen", "cut off"} {
		// Before the failover begins its association is resumed in vain, for resume = "1s". Above there is room for a slow machine; without
		// heartbeats it would be half a minute, as with rsplib.
		if d := all[i].Detect; all[i].Detector != "heartbeats" || d < 3*time.Second || d > limit+15*time.Second {
			t.Errorf("%s: noticed after %v by %q, want %v by heartbeats: %+v", what, d, all[i].Detector, limit, all[i])
		}
		t.Logf("%s: noticed %v after the last sign of life, the first byte %v later", what, all[i].Detect, all[i].First)
	}
	events := r.File(t, "events.log")
	cut, ours, theirs := at(t, events, "is cut off"), at(t, events, "ok: the session has moved"), at(t, events, "ok: rsplib has moved")
	t.Logf("seen from outside after the cut: poolproxy's session has moved after %.1f s, rsplib's after %.1f s", ours-cut, theirs-cut)
	if ours-cut > 25 { // as above
		t.Errorf("the session moved %.1f s after the cut", ours-cut)
	}
}

// at is when the last event with these words was, in seconds.
func at(t *testing.T, events, words string) float64 {
	t.Helper()
	found := regexp.MustCompile(`\[([0-9.]+)\] [^\n]*`+regexp.QuoteMeta(words)).FindAllStringSubmatch(events, -1)
	if len(found) == 0 {
		t.Fatalf("no %q in:\n%s", words, events)
	}
	seconds, err := strconv.ParseFloat(found[len(found)-1][1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

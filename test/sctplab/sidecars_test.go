//go:build linux

package sctplab

import (
	"encoding/json"
	"testing"

	"github.com/poolproxy/poolproxy/proxy"
)

// sidecars is a scenario with poolproxy, on the hosts of scenarios/star.sh.
func sidecars(t *testing.T, name string, programs ...string) Scenario {
	t.Helper()
	s := Named(name)
	s.Script = Named("star").Script + s.Script
	s.Programs = append([]string{Build(t, "../../cmd/poolproxy")}, programs...)
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

// Real programs between SCTP sidecars on two networks: the serving nginx is killed, which moves the session; then the network
// in use is cut, which must not.
func TestNginxAndCurl(t *testing.T) {
	r := Open(t).Run(t, sidecars(t, "nginx", "nginx", "curl"))
	r.Check(t)
}

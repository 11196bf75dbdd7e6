//go:build linux

package sctplab

import (
	"testing"
	"time"
)

// TestMapping runs the tests of package mapping that need SCTP, those that every mapping must pass among them.
func TestMapping(t *testing.T) {
	Open(t).RunTests(t, GoTest{Package: "../../mapping", Args: []string{"-test.run=SCTP"}, Race: true, Limit: 15 * time.Minute})
}

// TestManyAddresses runs one of them on a host with more addresses than a first question leaves room for.
func TestManyAddresses(t *testing.T) {
	Open(t).RunTests(t, GoTest{Package: "../../mapping", Args: []string{"-test.run=SCTPHostOfManyAddresses"},
		Setup: "ip link add many type dummy; ip link set many up; i=1; while [ $i -le 120 ]; do ip addr add 10.99.0.$i/24 dev many; i=$((i+1)); done"})
}

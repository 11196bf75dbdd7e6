//go:build linux

package sctplab

import (
	"testing"
	"time"
)

// TestMapping runs the tests of package mapping that need SCTP, those that every mapping must pass among them.
func TestMapping(t *testing.T) {
	Open(t).RunTests(t, GoTest{Package: "../../mapping", Args: []string{"-test.run=SCTP"}, Race: true, Limit: 6 * time.Minute})
}

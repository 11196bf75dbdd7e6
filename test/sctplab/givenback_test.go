//go:build linux

package sctplab

import (
	"testing"
	"time"
)

// TestGivenBack compares what a kernel gives back of an association whose peer is killed with what retrieval names.
func TestGivenBack(t *testing.T) {
	Open(t).RunTests(t, GoTest{Package: "./givenback", Args: []string{"-test.run=SCTP"}, Limit: 3 * time.Minute})
}

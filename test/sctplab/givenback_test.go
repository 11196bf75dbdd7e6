//go:build linux

package sctplab

import (
	"testing"
)

// TestGivenBack compares what a kernel gives back of an association whose peer is killed with what retrieval names.
func TestGivenBack(t *testing.T) {
	// With one processor packets are seen in the order in which SCTP takes them: with two, an abort passes an acknowledgement now and then.
	Open(t).RunTests(t, GoTest{Package: "./givenback", Args: []string{"-test.run=SCTP"},
		Setup: "echo 0 > /sys/devices/system/cpu/cpu1/online"})
}

//go:build linux

package sctplab

import "testing"

// native is a scenario with our sidecar, the plain client and rsplib.
func native(t *testing.T, name string) Scenario {
	s := Named(name)
	s.Programs = append([]string{Build(t, "../../cmd/poolproxy"), Build(t, "./talk")}, Rsplib...)
	return s
}

func TestNativeEcho(t *testing.T) {
	l := Open(t)
	l.Run(t, native(t, "native_echo")).Check(t)
}

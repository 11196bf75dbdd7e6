//go:build linux

package sctplab

import "testing"

// Nobody is left for a while, and who comes back has another process's port: the cookie is all that there is of the session.
func TestNativeComeback(t *testing.T) {
	t.Parallel() // it waits most of its time, as the next one does
	r := Open(t).Run(t, native(t, "native_comeback"))
	r.Check(t)
	checkEchoes(t, r, "native.pcap", 4)
	if all := r.status(t, "status.json").Associations; len(all) != 1 || all[0].RTO <= 0 || all[0].PMTU <= 0 || len(all[0].Paths) != 1 {
		t.Errorf("the associations in the status: %+v", all)
	}
}

// Paths that flap under a download end no leg; that sidecars are killed and frozen meanwhile is found.
func TestFlappingPaths(t *testing.T) {
	t.Parallel()
	r := Open(t).Run(t, sidecars(t, "flap"))
	r.Check(t)
	moved(t, r.status(t, "after.json"))
}

// Peers of native sidecars are anybody: rubbish, huge messages, cookies without end and silence harm nobody but who sends them.
func TestNativeRude(t *testing.T) {
	t.Parallel()
	s := native(t, "native_rude")
	s.Programs = append(s.Programs, Build(t, "./element"), Build(t, "./rude"))
	Open(t).Run(t, s).Check(t)
}

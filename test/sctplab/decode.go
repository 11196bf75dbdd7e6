//go:build linux

package sctplab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Decode has tshark on this machine, which knows ASAP and rsplib's protocols, read a capture of a scenario: for every packet that
// passes the display filter, the fields. A field that occurs several times in a packet, which bundles chunks, is joined with commas.
func (r Result) Decode(t testing.TB, capture, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-n", "-r", filepath.Join(r.Dir, capture), "-Y", filter, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(locate(t, "tshark"), args...)
	var stderr strings.Builder // always has a line when root runs it
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	var packets [][]string
	for line := range strings.Lines(string(out)) {
		packets = append(packets, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return packets
}

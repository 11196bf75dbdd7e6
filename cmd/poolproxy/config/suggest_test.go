package config

import "testing"

func TestNearest(t *testing.T) {
	mappings := []string{"tcp", "none", "sctp"}
	for given, want := range map[string]string{"stcp": "sctp", "sctpp": "sctp", "tpc": "tcp", "tcpp": "tcp", "noen": "none", "udp": "", "": ""} {
		if got := nearest(given, mappings); got != want {
			t.Errorf("%q: %q was meant, not %q", given, want, got)
		}
	}
}

//go:build linux

package sctplab

import (
	"strings"
	"testing"
)

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

func TestNativePingPong(t *testing.T) {
	r := Open(t).Run(t, native(t, "native_pingpong"))
	r.Check(t)
	checkEchoes(t, r, "native.pcap", 5)
}

// checkEchoes has all associations with elements that carry messages, but the first, begin with the cookie that the element before has
// sent last.
func checkEchoes(t *testing.T, r Result, capture string, associations int) {
	t.Helper()
	const elements = "sctp.data_payload_proto_id && (sctp.port == 7001 || sctp.port == 7002)"
	var firsts []string
	seen, cookie := map[string]bool{}, ""
	for _, p := range r.Decode(t, capture, elements, "sctp.srcport", "sctp.dstport", "sctp.data_payload_proto_id", "asap.message_type", "asap.cookie") {
		toElement := p[1] == "7001" || p[1] == "7002"
		ppid, _, _ := strings.Cut(p[2], ",")
		switch {
		case toElement && !seen[p[0]+" "+p[1]]:
			seen[p[0]+" "+p[1]] = true
			firsts = append(firsts, ppid)
			if len(firsts) > 1 && (ppid != "11" || p[3] != "12" || p[4] != cookie || cookie == "") {
				t.Errorf("association %d with %s begins with PPID %s, ASAP %q, cookie %q; want 11, 12 (COOKIE_ECHO), %q", len(firsts), p[1], ppid, p[3], p[4], cookie)
			}
		case !toElement && p[4] != "":
			all := strings.Split(p[4], ",")
			cookie = all[len(all)-1]
		}
	}
	if len(firsts) != associations || firsts[0] != "33" {
		t.Errorf("associations with elements begin with PPIDs %q; want %d of them, the first with 33", firsts, associations)
	}
}

func TestNativeFrozen(t *testing.T) {
	l := Open(t)
	l.Run(t, native(t, "native_frozen")).Check(t)
}

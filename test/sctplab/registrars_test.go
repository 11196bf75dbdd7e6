//go:build linux

package sctplab

import (
	"slices"
	"testing"
)

// Our pool_elements and our pool_user at three of rsplib's registrars, whose programs find the elements, too; what the scenario cannot
// see is in the capture. The scenario kills the home registrar, an element under a session, and another registrar.
func TestRegistrars(t *testing.T) {
	t.Parallel() // it waits most of its time
	l := Open(t)
	s := Named("registrars")
	s.Programs = append([]string{Build(t, "../../cmd/poolproxy"), Build(t, "./element")}, Rsplib...)
	r := l.Run(t, s)
	r.Check(t)
	const capture = "registrars.pcap"
	if bad := r.Decode(t, capture, "asap && _ws.malformed", "frame.number"); len(bad) > 0 {
		t.Errorf("tshark finds %d malformed packets of ASAP: %v", len(bad), bad)
	}
	checkTakeover(t, r, capture)

	// The element that was killed under the session is reported by the pool user, to its new registrar.
	reports := r.Decode(t, capture, "asap.message_type == 9", "ip.src", "ip.dst", "asap.pe_identifier")
	if len(reports) == 0 {
		t.Error("no ENDPOINT_UNREACHABLE")
	}
	for _, p := range reports {
		if p[0] != "10.3.1.6" || p[2] != reports[0][2] {
			t.Errorf("ENDPOINT_UNREACHABLE from %s of %s: only the pool user has met a dead element, and only one", p[0], p[2])
		}
	}
}

// checkTakeover looks for keep-alives with the H flag to all four elements, from one registrar, and for their answers, behind which each
// element registers itself there.
func checkTakeover(t *testing.T, r Result, capture string) {
	t.Helper()
	packets := r.Decode(t, capture, "asap.message_type in {1, 7, 8}", "ip.src", "ip.dst", "asap.message_type", "asap.h_bit", "asap.pe_identifier",
		"asap.pool_element_pe_identifier")
	var asked, answered, registered []string // element and its address
	home := ""
	note := func(all *[]string, who string) {
		if !slices.Contains(*all, who) {
			*all = append(*all, who)
		}
	}
	for _, p := range packets {
		src, dst, kind := p[0], p[1], p[2]
		switch {
		case kind == "7" && p[3] == "1":
			if home == "" {
				home = src
			}
			if src != home {
				t.Errorf("%s takes over, and so does %s", home, src)
			}
			note(&asked, dst+" "+p[4])
		case home == "" || dst != home:
		case kind == "8":
			note(&answered, src+" "+p[4])
		case kind == "1":
			note(&registered, src+" "+p[5])
		}
	}
	if len(asked) != 4 {
		t.Errorf("keep-alives with the H flag to %v, not to 4 elements", asked)
	}
	for _, who := range asked {
		if !slices.Contains(answered, who) {
			t.Errorf("%s has not answered the registrar %s; who has: %v", who, home, answered)
		}
		if !slices.Contains(registered, who) {
			t.Errorf("%s has not registered at %s; who has: %v", who, home, registered)
		}
	}
}

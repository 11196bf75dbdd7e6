//go:build linux

package sctplab

import (
	"strings"
	"testing"
	"time"
)

// rsplib among itself has to fail over, with the cookie first at the new element: then the lab is sound, and so is the decoder.
func TestRsplib(t *testing.T) {
	l := Open(t)
	s := Named("rsplib")
	s.Programs = Rsplib
	r := l.Run(t, s)
	r.Check(t)
	const toElements = "sctp.data_payload_proto_id && (sctp.dstport == 7001 || sctp.dstport == 7002)"
	var first []string
	seen := map[string]bool{}
	for _, p := range r.Decode(t, "rsplib.pcap", toElements, "sctp.dstport", "sctp.data_payload_proto_id", "asap.message_type") {
		if !seen[p[0]] {
			seen[p[0]] = true
			first = append(first, "PPID "+p[1]+" ASAP "+p[2])
		}
	}
	// PPID 33 is ping-pong, 11 is ASAP, and 12 its COOKIE_ECHO.
	if got, want := strings.Join(first, "; "), "PPID 33 ASAP ; PPID 11 ASAP 12"; got != want {
		t.Errorf("the pool user's first messages to its two elements: %s, want %s", got, want)
	}
}

// What hangs has to end, with its files.
func TestLimit(t *testing.T) {
	s := Scenario{Name: "limit", Script: "echo here > file; sleep 1000", Limit: time.Second}
	r := Open(t).Run(t, s)
	if file := r.File(t, "file"); r.Status != 143 || file != "here\n" {
		t.Errorf("exit status %d, want 143; the file holds %q", r.Status, file)
	}
}

// Every fate of a test has to come out as it is: else the lab would call broken mappings sound.
func TestVerdicts(t *testing.T) {
	l := Open(t)
	for _, c := range []struct {
		name   string
		test   GoTest
		status int
		fates  string
	}{
		{"static", GoTest{}, 1, "TestPass pass TestSkip skip TestFail fail TestRace pass TestPanic pass"},
		{"race", GoTest{Race: true}, 1, "TestPass pass TestSkip skip TestFail fail TestRace fail TestPanic pass"},
		{"panic", GoTest{Env: []string{"PANIC=1"}}, 2, "TestPass pass TestSkip skip TestFail fail TestRace pass TestPanic run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test.Package = "./testdata/verdicts"
			verdicts, rest, status := l.judge(t, c.test)
			var fates []string
			for _, v := range verdicts {
				fates = append(fates, v.name, v.fate)
				if v.name == "TestPass" && !strings.Contains(v.output, "printed") {
					t.Errorf("the output of TestPass is lost: %q", v.output)
				}
			}
			if got := strings.Join(fates, " "); got != c.fates || status != c.status {
				t.Errorf("exit status %d: %s\nwant %d: %s\n%s", status, got, c.status, c.fates, rest)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	l := Open(t)
	s := Named("paths")
	s.Programs = []string{Build(t, "./probe"), "tcpdump"}
	l.Run(t, s).Check(t)
}

func TestFacts(t *testing.T) {
	l := Open(t)
	s := Named("facts")
	s.Programs = []string{Build(t, "./probe"), "tcpdump"}
	l.Run(t, s).Check(t)
}

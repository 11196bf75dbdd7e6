//go:build linux

package sctplab

import (
	"strings"
	"testing"
)

func TestRsplib(t *testing.T) {
	s := Named("rsplib")
	s.Programs = Rsplib
	Open(t).Run(t, s).Check(t)
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

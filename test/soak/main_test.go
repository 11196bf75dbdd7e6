//go:build linux

package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// TestSmoke is a soak of a few seconds: everything in it works, and nobody finds anything.
func TestSmoke(t *testing.T) {
	if os.Getenv("POOLPROXY_CHECK") != "1" {
		t.Skip("make check runs it (or POOLPROXY_CHECK=1)")
	}
	o := options{duration: 8 * time.Second, sessions: 60, every: time.Second, sample: 500 * time.Millisecond, out: t.TempDir(), log: t.Logf}
	r, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if !r.Good {
		t.Errorf("found: %q", r.Findings)
	}
	for _, what := range []string{serverKilled, sidecarKilled, pathReset} {
		if r.Strikes[what] == 0 {
			t.Errorf("%s did not happen", what)
		}
	}
	for _, k := range r.Traffic {
		if k.Verdict.Answered < 20 {
			t.Errorf("%s: only %d answers", k.Kind, k.Verdict.Answered)
		}
	}
	if err := r.save(o.out); err != nil {
		t.Fatal(err)
	}
	again, err := readResult(o.out + "/soak.json")
	if err != nil || again.String() != r.String() || again.document(o.out) != nil {
		t.Errorf("the result that was read is another one: %v, %v", again, err)
	}
}

// TestMain lets the test's program be a server, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serverRole {
		main()
		return
	}
	os.Exit(m.Run())
}

// hour is the result of an hour in which nothing is wrong but what spoil does to its samples.
func hour(spoil func(*sample, float64)) *result {
	r := &result{Duration: time.Hour, Strikes: map[string]int{serverKilled: 1800},
		Traffic: []kindResult{{workload.Line, &workload.Verdict{Sent: 1}}}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 720 {
		warm := min(1, float64(i)/200) // it grows at first
		l := look{Goroutines: 12 + float64(random.IntN(3)), Descriptors: 300 + float64(random.IntN(20)), Heap: (20 + 10*random.Float64()) * (1 << 20),
			Resident: (40 + 30*warm + 2*random.Float64()) * (1 << 20), Buffers: random.Float64() * (1 << 20), Sessions: 300}
		s := sample{Seconds: float64(5 * i), User: l, Element: l}
		spoil(&s, float64(i)/720)
		r.Series = append(r.Series, s)
	}
	return r
}

// TestJudge: noise is no leak, and a leak of one thing at each second strike is found.
func TestJudge(t *testing.T) {
	for name, x := range map[string]struct {
		spoil func(s *sample, share float64)
		want  string
	}{
		"nothing":                {func(*sample, float64) {}, ""},
		"goroutines, user":       {func(s *sample, share float64) { s.User.Goroutines += 100 * share }, "pool_user    goroutines"},
		"goroutines, element":    {func(s *sample, share float64) { s.Element.Goroutines += 10 * share }, "pool_element goroutines"},
		"descriptors":            {func(s *sample, share float64) { s.User.Descriptors += 90 * share }, "pool_user    descriptors"},
		"heap":                   {func(s *sample, share float64) { s.Element.Heap += share * (10 << 20) }, "pool_element heap in use"},
		"resident memory":        {func(s *sample, share float64) { s.Element.Resident += share * (10 << 20) }, "pool_element resident memory"},
		"buffers":                {func(s *sample, share float64) { s.User.Buffers += share * (3 << 20) }, "pool_user    buffers"},
		"only in the first half": {func(s *sample, share float64) { s.User.Goroutines += 50 * min(share, 0.5) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := hour(x.spoil)
			if err := r.judge(); err != nil {
				t.Fatal(err)
			}
			switch {
			case x.want == "" && !r.Good:
				t.Errorf("found: %q", r.Findings)
			case x.want != "" && (len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0], x.want)):
				t.Errorf("found: %q, want one of %s", r.Findings, x.want)
			}
		})
	}
}

// TestJudgeLeftOver: what is left when all sessions have ended is found, and so is what went wrong with them.
func TestJudgeLeftOver(t *testing.T) {
	for name, spoil := range map[string]func(r *result){
		"a leg":         func(r *result) { r.After.Element.Sessions = 1 },
		"goroutines":    func(r *result) { r.After.User.Goroutines += 6 },
		"descriptors":   func(r *result) { r.After.User.Descriptors += 17 },
		"buffers":       func(r *result) { r.After.User.Buffers += 1 << 20 },
		"a lost reply":  func(r *result) { r.Traffic[0].Verdict.Findings = []workload.Finding{{Kind: workload.Lost}} },
		"no strike":     func(r *result) { r.Strikes = nil },
		"nothing asked": func(r *result) { r.Traffic[0].Verdict.Sent = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			r := hour(func(*sample, float64) {})
			spoil(r)
			if err := r.judge(); err != nil || r.Good || len(r.Findings) != 1 {
				t.Errorf("found: %q, %v", r.Findings, err)
			}
		})
	}
}

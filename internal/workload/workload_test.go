package workload

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// startServer serves a kind in this process. The journal's path is returned.
func startServer(t *testing.T, kind Kind, holds Holds) (address, journal string) {
	t.Helper()
	journal = filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(journal, "a", kind)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Kind: kind, Journal: j, Holds: holds}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		j.Close()
	})
	return l.Addr().String(), journal
}

// Sessions of all kinds and ways end in peace, and nothing is found.
func TestPeace(t *testing.T) {
	for _, kind := range []Kind{Line, Length, HTTP, Stream} {
		for _, window := range []int{1, 50} {
			t.Run(fmt.Sprintf("%s/%d", kind, window), func(t *testing.T) {
				address, journal := startServer(t, kind, Holds{})
				var wait sync.WaitGroup
				reports := make([]*Report, 5)
				for i := range reports {
					wait.Go(func() {
						plan := Plan{Kind: kind, Seed: uint64(i), Requests: 200, Unsafe: 0.2, Split: 0.1}
						c := Client{Kind: kind, Address: address, Session: 77<<24 + uint64(i) + 1, Next: plan.Next, Window: window, Together: i%2 == 0}
						reports[i] = c.Run(context.Background())
					})
				}
				wait.Wait()
				entries, err := ReadJournal(journal)
				if err != nil {
					t.Fatal(err)
				}
				v := Judge(reports, entries, Promise{Protected: true, Journals: true})
				if !v.Good() || v.Answered != 1000 || kind != Stream && (v.CarriedOut < 100 || v.CarriedOut > 300) {
					t.Errorf("%v\n%v\n%v", v, v.Findings, reports)
				}
			})
		}
	}
}

// An orchestrator learns where a request is, and everything waits for it.
func TestEventsAndHolds(t *testing.T) {
	for _, kind := range []Kind{Line, Length, HTTP, Stream} {
		t.Run(string(kind), func(t *testing.T) {
			holds := Holds{t.TempDir()}
			address, _ := startServer(t, kind, holds)
			var mu sync.Mutex
			var seen []string
			next := func(n uint64) (Request, bool) {
				r := Request{Size: 100_000, Carry: 1000, Split: true, Hold: Hold{HoldPlace(n), 30 * time.Millisecond}}
				if kind == Redis {
					r.Carry, r.Hold = 0, Hold{}
				}
				return r, n < uint64(holdPlaces)
			}
			events := func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, fmt.Sprint(e.Request.Number, " ", e.Kind))
			}
			c := Client{Kind: kind, Address: address, Session: 5, Next: next, Events: events}
			report := c.Run(context.Background())
			if v := Judge([]*Report{report}, nil, Promise{Protected: true}); !v.Good() {
				t.Error(v.Findings)
			}
			at := func(n int, what EventKind) int { return slices.Index(seen, fmt.Sprint(n, " ", what)) }
			for n := 1; n < int(holdPlaces); n++ {
				asked := []int{at(n, Sending), at(n, HalfSent), at(n, Sent)}
				told := []int{at(n, HalfSent), at(n, HalfReceived), at(n, Answered)} // Sent may come later than what it brings
				if !slices.IsSorted(asked) || !slices.IsSorted(told) || asked[0] < 0 || told[1] < 0 {
					t.Errorf("request %d: events %v", n, seen)
				}
			}
			if len(seen) != 5*(int(holdPlaces)-1)+1 || seen[len(seen)-1] != "0 ended" {
				t.Errorf("events %v", seen)
			}
			for n := uint64(1); n < uint64(holdPlaces) && kind != Redis; n++ {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				if err := holds.Wait(ctx, &Request{Session: 5, Number: n}); err != nil {
					t.Error(err)
				}
				cancel()
				if holds.begin(&Request{Session: 5, Number: n}) {
					t.Errorf("request %d would be held again", n)
				}
			}
			if report.Longest < 30*time.Millisecond && kind != Redis {
				t.Errorf("longest wait %v", report.Longest)
			}
		})
	}
}

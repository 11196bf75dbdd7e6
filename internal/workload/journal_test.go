package workload

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A line that was cut spoils nothing else, and nothing was carried out by it.
func TestJournalIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path, "a", Line)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { j.Close() }()
	note := func(number uint64) {
		if err := j.did(&Request{Session: 0x1f, Number: number}); err != nil {
			t.Fatal(err)
		}
	}
	note(1)
	for cut := range 40 { // the disk was full in the middle of a line
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		last := whole[strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n')+1:]
		f.Write(last[:min(cut, len(last)-1)])
		f.Close()
		if cut%2 == 0 {
			j.short.Store(true)
		} else { // and its server died by that; the next one begins behind it
			j.Close()
			if j, err = OpenJournal(path, "a", Line); err != nil {
				t.Fatal(err)
			}
		}
		note(uint64(cut) + 2)
	}
	entries, err := ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint64]int)
	for _, e := range entries {
		seen[e.Number]++
	}
	for n := uint64(1); n <= 41; n++ {
		if seen[n] != 1 {
			t.Errorf("%d is there %d times", n, seen[n])
		}
	}
}

// A server whose disk is full carries nothing out that it cannot write down, and says so.
func TestFullDisk(t *testing.T) {
	j, err := OpenJournal("/dev/full", "a", Length)
	if err != nil {
		t.Skip("SKIPPED: no /dev/full: ", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Kind: Length, Journal: j}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	next := func(n uint64) (Request, bool) { return Request{Size: 10, Unsafe: n == 3}, n <= 4 }
	r := (&Client{Kind: Length, Address: l.Addr().String(), Session: 1, Next: next}).Run(context.Background())
	l.Close()
	s.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if r.Answered != 2 || len(r.Refused) != 1 || r.Refused[0].Number != 3 || !strings.Contains(r.Refused[0].Text, "space") {
		t.Errorf("%v %v", r, r.Refused)
	}
}

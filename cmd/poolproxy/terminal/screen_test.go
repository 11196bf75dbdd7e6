package terminal

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/poolproxy/poolproxy/admin/board"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sample is a proxy with one of everything.
func sample() *board.View {
	load, age := .37, 4.0
	v := &board.View{Version: "1.2.3", Started: at.Add(-90 * time.Minute),
		Pools: []board.Pool{{Handle: "web", Policy: "least_used", Mapping: "tcp", Elements: 2, Alive: 1, Sessions: 3, Source: "etcd.prod", Age: &age}},
		Elements: []board.Element{{Pool: "web", Name: "a", Address: "10.0.0.1:7001", Alive: true, Sessions: 3, Load: &load, Draining: "its operator has drained it"},
			{Pool: "web", Name: "b\x1b[2J", Address: "10.0.0.2:7001", Failures: 4}},
		Sides: []board.Side{{Side: "pool_user", Name: "front", Listen: "127.0.0.1:80", To: "web", What: "http", Well: true, Sessions: 3}},
		Failovers: []board.Failover{{Time: at, User: "front", Session: 9, From: "b", To: "a", Kind: "moved", Cause: "heartbeats", Connect: 8, First: 12},
			{Time: at, User: "front", Session: 10, From: "b", Kind: "ended", Cause: "reset", Verdict: "not safe"}},
		Enrolled: []board.Registration{{Element: "own", Pool: "web", Source: "etcd.prod", Name: "own", Address: "10.0.0.9:1", State: "waiting", Since: at, Problem: "nobody listens"}},
	}
	for i := range 3 {
		v.Sessions = append(v.Sessions, board.Session{ID: uint64(i + 1), User: "front", Client: "192.0.2.1:5", Element: "a", Leg: 1, State: "open", Since: at.Add(-time.Minute),
			Up: 1000, Down: 2048, Protection: "protected", Leaves: "drained"})
	}
	v.Sessions[2].Protection, v.Sessions[2].Reason, v.Sessions[2].Stays = "degraded", "in a transaction since 03:00:00", "in a transaction since 03:00:00"
	return v
}

func drawnAs(s *state, l *look, width, height int, colours bool) string {
	return strings.Join(screen(s, l, width, height, at.Add(time.Second), colours), "\n")
}

// Each view has what it is for; nothing that a peer has said moves the cursor.
func TestViews(t *testing.T) {
	s := &state{view: sample(), address: "127.0.0.1:7878", told: at}
	for view, want := range [][]string{
		{"poolproxy 1.2.3 · up 1 h", "127.0.0.1:7878", "● live", "Sessions 3", "Protected 66.7 %", "Elements alive 1 / 2", "median 12 ms", "in a transaction since …", "Drains",
			"3 left", "2 × it is about to leave", "Pools", "least_used", "pool_user  front"},
		{"ELEMENT", "10.0.0.1:7001  alive", "37.0 %", "draining: its operator", "b?[2J", "failed, 4 times"},
		{"SESSION", "leaving", "1000 B", "2.0 KiB", "degraded", "stays: in a transaction"},
		{"FROM → TO", "b → a", "cccccccccccccccc11111111", "heartbeats", "reset; not safe", "F fence"},
		{"etcd.prod", "4 s", "ok", "waiting for 1 s: nobody listens"},
	} {
		got := drawnAs(s, &look{view: view}, 150, 40, false)
		for _, x := range want {
			if !strings.Contains(got, x) {
				t.Errorf("%s has no %q:\n%s", views[view], x, got)
			}
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("%q", got)
		}
		if coloured := drawnAs(s, &look{view: view}, 150, 40, true); strings.Contains(coloured, "\x1b[2J") || !strings.Contains(coloured, "\x1b[32m") {
			t.Errorf("%q", coloured)
		}
	}
	if first, last := strings.Index(drawnAs(s, &look{view: 3}, 150, 40, false), "ended"), strings.Index(drawnAs(s, &look{view: 3}, 150, 40, false), "moved"); first > last {
		t.Error("the newest failover is not the first")
	}
}

// However small or large the terminal, the screen has its size.
func TestSizes(t *testing.T) {
	s := &state{view: sample(), address: strings.Repeat("x", 300), told: at}
	for i := range 500 {
		s.view.Sessions = append(s.view.Sessions, board.Session{ID: uint64(100 + i), Reason: strings.Repeat("because ", i)})
	}
	for view := range views {
		for _, width := range []int{0, 1, 2, 10, 79, 80, 200} {
			for _, height := range []int{1, 2, 3, 4, 5, 24, 100} {
				lines := screen(s, &look{view: view, top: 7}, width, height, at, false)
				if len(lines) != height {
					t.Fatalf("%s at %dx%d: %d lines", views[view], width, height, len(lines))
				}
				for _, l := range lines {
					if n := utf8.RuneCountInString(l); n > width {
						t.Fatalf("%s at %dx%d: a line of %d: %q", views[view], width, height, n, l)
					}
				}
			}
		}
	}
}

// What is wrong is said, and what was known stays on the screen.
func TestProblems(t *testing.T) {
	s := &state{address: "x"}
	s.take(answer{err: fmt.Errorf("nothing listens there\x1b[0m")}, at)
	if got := drawnAs(s, &look{}, 120, 20, false); !strings.Contains(got, "● nothing listens there?[0m") {
		t.Error(got)
	}
	s.take(answer{view: *sample()}, at)
	s.take(answer{err: fmt.Errorf("nothing listens there")}, at)
	if got := drawnAs(s, &look{}, 150, 40, false); !strings.Contains(got, "no answer for 1 s, shown is what was: nothing listens there") || !strings.Contains(got, "least_used") {
		t.Error(got)
	}
	next := *sample()
	next.Started = at
	s.take(answer{view: next}, at)
	if got := drawnAs(s, &look{}, 120, 20, false); !strings.Contains(got, "● live  (it was started anew 1 s ago)") {
		t.Error(got)
	}
	if got := drawnAs(&state{view: &board.View{}}, &look{view: 2}, 80, 10, false); !strings.Contains(got, "no session is there") {
		t.Error(got)
	}
}

// Keys choose views, scroll within what there is, and find.
func TestKeys(t *testing.T) {
	s := &state{view: sample()}
	for i := range 100 {
		s.view.Sessions = append(s.view.Sessions, board.Session{ID: uint64(1000 + i), Client: fmt.Sprint("client-", i)})
	}
	l := &look{}
	press := func(text string) (end bool) {
		for _, k := range parseKeys(text) {
			end = l.press(k, 10) || end
		}
		screen(s, l, 120, 14, at, false)
		return end
	}
	for _, c := range []struct {
		keys      string
		view, top int
		find      string
	}{
		{"3", 2, 0, ""}, {"\x1b[B\x1b[B", 2, 2, ""}, {"\x1b[A", 2, 1, ""}, {"\x1b[6~", 2, 11, ""}, {"\x1b[F", 2, 95, ""}, {"\x1b[A", 2, 94, ""}, {"\x1b[5~", 2, 84, ""},
		{"\x1b[H", 2, 0, ""}, {"\x1b[A", 2, 0, ""}, {"/Client-7", 2, 0, "client-7"}, {"q\x7f\x7f8\r", 2, 0, "client-8"}, {"\x1b", 2, 0, ""}, {"\t\t\t", 0, 0, ""},
		{"\x1b[D", 4, 0, ""}, {"\x1b[99z\x1b[", 4, 0, ""}, {"/ü\x1b", 4, 0, ""},
	} {
		if press(c.keys) || l.view != c.view || l.top != c.top || l.find != c.find {
			t.Fatalf("%q: %+v", c.keys, l)
		}
	}
	press("3/client-99\r")
	if got := drawnAs(s, l, 120, 14, false); !strings.Contains(got, "client-99") || strings.Contains(got, "client-98") || !strings.Contains(got, "found: client-99") {
		t.Error(got)
	}
	if !press("q") || !press("/x\x03") {
		t.Error("it does not end")
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("\x1b[A\x1b[5~q\x03/x\xff\x1b[")
	f.Fuzz(func(t *testing.T, text string) {
		s, l := &state{view: sample()}, &look{}
		for _, k := range parseKeys(text) {
			l.press(k, 10)
		}
		for _, x := range screen(s, l, 60, 20, at, false) {
			if utf8.RuneCountInString(x) > 60 || strings.ContainsAny(x, "\x1b\n\r") {
				t.Fatalf("%q draws %q", text, x)
			}
		}
	})
}

package pool

import (
	"testing"
	"time"
)

// What is seen here is told others, once in a while; what others tell is not told back, nor what only one session had to do with.
func TestUnreachable(t *testing.T) {
	p := New("p", RoundRobin, at("ab"))
	var told string
	p.OnUnreachable(func(e Element) {
		told += e.Name
		p.States() // it is not called with the lock held
	})
	p.Failed(start, "a")
	p.Reported(start, []string{"b"})
	if told != "" {
		t.Fatal(told)
	}
	for range 1000 {
		p.Unreachable(start, "a")
		p.Unreachable(start, "nobody")
	}
	p.Unreachable(start.Add(ReportPause-1), "b")
	p.Unreachable(start.Add(ReportPause-1), "a")
	if told != "ab" {
		t.Fatal(told)
	}
	if s := p.States()[0]; s.Failures != 1002 || p.Failures("a") != 1002 {
		t.Errorf("%+v", s)
	}
	p.Unreachable(start.Add(ReportPause), "a")
	if told != "aba" {
		t.Error(told)
	}
	p.OnUnreachable(nil)
	p.Unreachable(start.Add(time.Hour), "a")
}

// An element that was reported has a pause like one that failed, and then the next session looks at it.
func TestReported(t *testing.T) {
	p := New("p", RoundRobin, at("abc"))
	p.Serves("a")
	p.Reported(start, []string{"a", "nobody", "a"})
	if got := choices(p, start, 4); got != "bcbc" {
		t.Error(got)
	}
	if _, ok := p.Suspect(start.Add(FirstPause - 1)); ok {
		t.Error("its pause has not passed")
	}
	if e, ok := p.Suspect(start.Add(FirstPause)); !ok || e.Name != "a" {
		t.Error("nobody looks at it")
	}
	if p.Failures("a") != 0 || !p.Serves("a") {
		t.Error("what is known of it is not outdated, but that it serves is news")
	}
}

// Somebody who reports without end what is not so takes little from an element, and nothing from a pool.
func TestReportedFalsely(t *testing.T) {
	p := New("p", RoundRobin, at("ab"))
	taken := map[string]int{}
	const step = 10 * time.Millisecond
	for now := start; now.Before(start.Add(10 * time.Second)); now = now.Add(step) {
		p.Reported(now, []string{"a"})
		p.Reported(now, []string{"b"})
		e, wait, ok := p.Choose(now)
		if !ok {
			if wait > FirstPause {
				t.Fatal("a session waits for ", wait)
			}
			continue
		}
		if suspect, ok := p.Suspect(now); ok {
			e = suspect
		}
		p.Serves(e.Name)
		taken[e.Name]++
	}
	most := int(10 * time.Second / step)
	if n := taken["a"] + taken["b"]; n < most*9/10 || taken["a"] < most*2/5 || taken["b"] < most*2/5 {
		t.Error(taken)
	}
	p = New("p", RoundRobin, at("a"))
	p.Failed(start, "a")
	p.Failed(start, "a")
	retry := p.States()[0].Retry
	p.Reported(start, []string{"a"})
	if s := p.States()[0]; !s.Retry.Equal(retry) || s.Failures != 2 {
		t.Errorf("a report made the pause of one that has failed longer: %+v", s)
	}
}

package pool

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// of makes a pool of elements called by the letters; with priority the first is the most wanted.
func of(policy Policy, names string) *Pool {
	var elements []Element
	for i, name := range names {
		elements = append(elements, Element{Name: string(name), Address: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i+1)),
			Priority: uint32(100 - i)})
	}
	return New("things", policy, elements)
}

// choices are the names of n choices at that time; "-" where there was none.
func choices(p *Pool, now time.Time, n int) string {
	var b strings.Builder
	for range n {
		if e, _, ok := p.Choose(now); ok {
			b.WriteString(e.Name)
		} else {
			b.WriteString("-")
		}
	}
	return b.String()
}

func TestRoundRobin(t *testing.T) {
	p := of(RoundRobin, "abc")
	if got := choices(p, start, 7); got != "abcabca" {
		t.Error(got)
	}
	p.Failed(start, "c")
	if got := choices(p, start, 5); got != "babab" {
		t.Errorf("c has failed: %s", got)
	}
	p.Alive("c")
	p.Failed(start, "c")
	p.Alive("c")
	if p.Failures("c") != 2 || p.Failures("a") != 0 || p.Failures("x") != 0 {
		t.Errorf("failures of c %d, of a %d", p.Failures("c"), p.Failures("a"))
	}
	if got := choices(p, start, 4); got != "cabc" {
		t.Errorf("c is back: %s", got)
	}
	if e, _, _ := p.Choose(start); e.Address.Port() != 1 || e.Priority != 100 {
		t.Errorf("chosen: %+v", e)
	}
}

func TestPriority(t *testing.T) {
	p := New("things", Priority, []Element{{Name: "low", Priority: 1}, {Name: "high", Priority: 9}, {Name: "also high", Priority: 9}})
	choose := func(want string) {
		t.Helper()
		if e, _, _ := p.Choose(start); e.Name != want {
			t.Errorf("%s, not %s", e.Name, want)
		}
	}
	choose("high")
	choose("also high")
	choose("high")
	p.Failed(start, "high")
	choose("also high")
	choose("also high")
	p.Failed(start, "also high")
	choose("low")
	p.Alive("high")
	choose("high")
	choose("high")
}

// An element whose pause has passed is tried only when no element is believed alive, whatever the policy.
func TestFailedComeLast(t *testing.T) {
	for _, policy := range []Policy{RoundRobin, Priority} {
		p := of(policy, "ab")
		p.Failed(start, "a")
		if got := choices(p, start.Add(time.Hour), 3); got != "bbb" {
			t.Errorf("%v: %s", policy, got)
		}
		p.Failed(start, "b")
		if got := choices(p, start.Add(time.Hour), 3); got != "ab-" && got != "ba-" {
			t.Errorf("%v: %s", policy, got)
		}
	}
}

func TestPauses(t *testing.T) {
	p := of(RoundRobin, "a")
	now := start
	for i, pause := range []time.Duration{50, 100, 200, 250, 250} {
		pause *= time.Millisecond
		p.Failed(now, "a")
		if s := p.States()[0]; s.Failures != i+1 || !s.Retry.Equal(now.Add(pause)) {
			t.Errorf("after failure %d: %+v, pause %v", i+1, s, s.Retry.Sub(now))
		}
		if _, wait, ok := p.Choose(now.Add(pause / 5)); ok || wait != pause-pause/5 {
			t.Errorf("within pause %d: %v, %v", i+1, wait, ok)
		}
		now = now.Add(pause)
		if got := choices(p, now, 2); got != "a-" { // one try at a time
			t.Errorf("behind pause %d: %s", i+1, got)
		}
	}
	if _, wait, _ := p.Choose(now); wait != LastPause {
		t.Errorf("while it is being tried: wait %v", wait)
	}
	if got := choices(p, now.Add(LastPause), 1); got != "a" {
		t.Error("a try whose outcome is never told is repeated")
	}
	p.Alive("a")
	if s := p.States()[0]; s.Failures != 0 || !s.Retry.IsZero() || choices(p, now, 3) != "aaa" {
		t.Errorf("alive again: %+v", s)
	}
	p.Failed(now, "a")
	if s := p.States()[0]; s.Retry.Sub(now) != FirstPause {
		t.Errorf("the first failure after that: pause %v", s.Retry.Sub(now))
	}
}

// A failure count of any size is no overflow.
func TestManyFailures(t *testing.T) {
	p := of(RoundRobin, "a")
	for range 200 {
		p.Failed(start, "a")
	}
	if got := p.States()[0].Retry.Sub(start); got != LastPause {
		t.Error(got)
	}
}

// The shortest pause is what is waited for when all have failed.
func TestWaitsForTheFirst(t *testing.T) {
	p := of(RoundRobin, "abc")
	for i, name := range []string{"a", "b", "b", "c", "c", "c"} {
		p.Failed(start.Add(time.Duration(i)), name)
	}
	if _, wait, ok := p.Choose(start); ok || wait != FirstPause {
		t.Errorf("%v, %v", wait, ok)
	}
}

func TestEmpty(t *testing.T) {
	p := New("nothing", RoundRobin, nil)
	e, wait, ok := p.Choose(start)
	if ok || wait != LastPause || e.Name != "" || len(p.States()) != 0 || p.Others(start, "a") {
		t.Errorf("%+v, %v, %v", e, wait, ok)
	}
	p.Failed(start, "a") // unknown names are nobody's
	p.Alive("a")
}

func TestOthers(t *testing.T) {
	p := of(RoundRobin, "ab")
	if !p.Others(start, "a") || !p.Others(start, "b") || !p.Others(start, "nobody") {
		t.Error("both live")
	}
	p.Failed(start, "b")
	if p.Others(start, "a") || !p.Others(start, "b") {
		t.Error("b has failed")
	}
	if !p.Others(start.Add(FirstPause), "a") {
		t.Error("b may be tried again")
	}
	if of(RoundRobin, "a").Others(start, "a") {
		t.Error("there is only one")
	}
}

// States are a copy.
func TestStatesAreACopy(t *testing.T) {
	p := of(Priority, "ab")
	p.States()[0].Name = "x"
	if got := choices(p, start, 1); got != "a" {
		t.Error(got)
	}
}

// Shards share a pool: run with -race.
func TestFromManyGoroutines(t *testing.T) {
	p := of(RoundRobin, "abc")
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for i := range 200 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				if e, _, ok := p.Choose(now); ok && i%3 == 0 {
					p.Failed(now, e.Name)
				} else if ok {
					p.Alive(e.Name)
				}
				p.Others(now, "a")
				p.States()
			}
		})
	}
	g.Wait()
	for _, s := range p.States() {
		p.Alive(s.Name)
	}
	if got := []byte(choices(p, start, 3)); len(slices.Compact(slices.Sorted(slices.Values(got)))) != 3 {
		t.Errorf("the round has %s", got)
	}
}

func TestPolicyWords(t *testing.T) {
	if RoundRobin.String() != "round_robin" || Priority.String() != "priority" {
		t.Error("the words of the configuration")
	}
}

// That an element serves is news when it is first known, and again after each failure.
func TestServes(t *testing.T) {
	p := of(RoundRobin, "ab")
	if !p.Serves("a") || p.Serves("a") || !p.Serves("b") || p.Serves("nobody") {
		t.Error("the first time is news, and only that")
	}
	p.Failed(start, "a")
	p.Alive("a") // in touch; whether it serves is another question
	if !p.Serves("a") || p.Serves("a") {
		t.Error("behind a failure it is news")
	}
	p.Failed(start, "a")
	if p.Serves("a"); p.States()[0].Failures != 0 {
		t.Error("who serves is alive")
	}
}

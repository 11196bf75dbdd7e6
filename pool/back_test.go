package pool

import (
	"net/netip"
	"testing"
	"time"
)

// An element that is named now and then (DNS may answer with some of many) and has failed is not taken for a new one each time: sessions
// would have to find out again and again that nobody is there.
func TestBackAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	all := at("abc")
	p := New("p", RoundRobin, all)
	p.Failed(now, "b")
	failures := p.Failures("b")
	for range 5 {
		now = now.Add(time.Second)
		p.Learn(now, News{Elements: []Element{all[0], all[2]}})
		now = now.Add(time.Second)
		p.Learn(now, News{Elements: all})
		for range 4 {
			if c, ok := p.ChooseFor(now, Wish{}); !ok || c.Name == "b" {
				t.Fatal("a session is sent to it: ", c)
			}
		}
	}
	if e, ok := p.Suspect(now); !ok || e.Name != "b" {
		t.Error("nobody looks at it: ", e)
	}
	if got := p.Failures("b"); got != failures {
		t.Errorf("%d failures, not %d", got, failures)
	}
	p.Serves("b")
	p.Learn(now, News{Elements: all[:1]})
	p.Learn(now, News{Elements: all})
	if s := p.States(); len(p.gone) != 0 || s[2].Failures != 0 {
		t.Errorf("of one that serves nothing is remembered: %v", s)
	}
}

// Somewhere else, registered anew, or long after, it is a new one. What is remembered is bounded.
func TestBackAnew(t *testing.T) {
	elsewhere, anew, same := at("b")[0], at("b")[0], at("b")[0]
	elsewhere.Address = netip.MustParseAddrPort("10.9.9.9:1")
	anew.Revision = 9
	for _, c := range []struct {
		name  string
		back  Element
		after time.Duration
		want  int
	}{
		{"elsewhere", elsewhere, time.Second, 0}, {"registered anew", anew, time.Second, 0}, {"soon", same, time.Second, 1},
		{"long after", same, Memory + time.Second, 0},
	} {
		now := time.Unix(1000, 0)
		p := New("p", RoundRobin, at("ab"))
		p.Failed(now, "b")
		p.Learn(now, News{Elements: at("a")})
		p.Learn(now.Add(c.after), News{Elements: append(at("a"), c.back)})
		if s := p.States(); s[1].Failures != c.want || len(p.gone) != 0 {
			t.Errorf("%s: %d failures, not %d; %d remembered", c.name, s[1].Failures, c.want, len(p.gone))
		}
	}
	now := time.Unix(1000, 0)
	p := New("p", RoundRobin, nil)
	for i := range 3 * mostGone {
		e := Element{Name: string(rune('a'+i%26)) + time.Duration(i).String(), Address: at("a")[0].Address}
		p.Learn(now, News{Elements: []Element{e}})
		p.Failed(now, e.Name)
	}
	if len(p.gone) != mostGone {
		t.Errorf("%d are remembered", len(p.gone))
	}
	p.Learn(now.Add(Memory+time.Second), News{Elements: at("a")})
	if len(p.gone) > 1 {
		t.Errorf("%d are remembered for ever", len(p.gone))
	}
}

package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// Whatever there is: no more elements are disturbed than the radius says, and of each pool one living element is left alone, unless the radius is said,
// and as large as the pool.
func TestRadius(t *testing.T) {
	hit := 0
	for seed := range uint64(3000) {
		chance := rand.New(rand.NewPCG(seed, 1))
		var names []string
		for i := range 1 + chance.IntN(5) {
			names = append(names, fmt.Sprint("e", i))
		}
		user := newFakeProcess("user").user("p", names...)
		for i := range user.status.Pools[0].Elements {
			user.status.Pools[0].Elements[i].Alive = chance.IntN(4) > 0
		}
		processes := []*process{{peer: user.peer, chaos: user.chaos, status: user.status}}
		for i, name := range names {
			if chance.IntN(3) == 0 {
				continue // nobody asks it
			}
			p := newFakeProcess("host-"+name).element(name, fmt.Sprintf("10.0.0.%d:7001", i+1))
			if chance.IntN(4) == 0 {
				p.chaos.Active = []proxy.Disturbance{{ID: "c1", Kind: proxy.ChaosStall, Side: sideElement, Name: name}}
			}
			processes = append(processes, &process{peer: p.peer, chaos: p.chaos, status: p.status})
		}
		c := Settings{Kinds: Kinds, Radius: 1 + chance.IntN(4), RadiusSaid: chance.IntN(2) == 0, HoldMin: 1, HoldMax: 1, Count: 1, Seed: seed}
		f := newField(processes, "")
		already := disturbed(f)
		strikes := c.round(f, 3, 1)
		hit += len(strikes)
		now := disturbed(f)
		if len(now) != len(already)+len(strikes) || len(strikes) > 0 && len(now) > c.Radius {
			t.Fatalf("seed %d: %d were disturbed, %d are, radius %d", seed, len(already), len(now), c.Radius)
		}
		left := 0
		for _, e := range f.pools["p"].elements {
			if e.lives() && !e.disturbed {
				left++
			}
		}
		if len(strikes) > 0 && left == 0 && !(c.RadiusSaid && c.Radius >= len(names)) {
			t.Fatalf("seed %d: nobody is left of %d, radius %d, said %v", seed, len(names), c.Radius, c.RadiusSaid)
		}
	}
	if hit < 1000 {
		t.Errorf("only %d were chosen at all", hit)
	}
}

// disturbed are the elements to which something is done.
func disturbed(f *field) (all []*element) {
	f.everyElement(func(e *element) {
		if e.disturbed {
			all = append(all, e)
		}
	})
	return all
}

// What refuses says what to write where.
func TestRefuses(t *testing.T) {
	_, all := deployment()
	silent := newFakeProcess("silent").user("q", "x")
	silent.chaos.Allowed = nil
	lonely := newFakeProcess("lonely").user("q", "x")
	for name, c := range map[string]struct {
		on    []*fakeProcess
		pool  string
		said  bool
		wants []string // none: it does not refuse
	}{
		"allowed":         {all, "p", false, nil},
		"not allowed":     {append([]*fakeProcess{silent}, all...), "q", false, []string{`pool "q"`, `chaos = true    in pool "q", at silent`}},
		"nobody allows":   {[]*fakeProcess{silent}, "", false, []string{"nothing here may be disturbed", "poolproxy reload"}},
		"unknown pool":    {all, "r", false, []string{`pool "r"`, "they have p"}},
		"the only one":    {[]*fakeProcess{lonely}, "", false, []string{`element "x" is the last living one`, "-radius 1, said by you"}},
		"though":          {[]*fakeProcess{lonely}, "", true, nil},
		"no pool user":    {all[1:], "", false, []string{"name the pool_user's process, too"}},
		"though, so said": {all[1:], "", true, nil},
		"nothing there":   {[]*fakeProcess{newFakeProcess("empty")}, "", false, []string{"neither pool_users nor pool_elements"}},
	} {
		var e events
		a := attackOn(c.on, &e)
		a.Pool, a.RadiusSaid = c.pool, c.said
		err := a.Prepare(t.Context())
		if (err == nil) != (c.wants == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.wants {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", name, err, want)
			}
		}
		if text := e.text(); err == nil && (!strings.Contains(text, "at most 1 element at a time") || !strings.Contains(text, "Ctrl-C")) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// An element that two pools have is one, and is not disturbed for the sake of the one that was named.
func TestElementOfTwoPools(t *testing.T) {
	user := newFakeProcess("user").user("p", "a", "b").user("q", "one", "b")
	host := newFakeProcess("host").element("a", "10.0.0.1:7001")
	f := newField([]*process{{peer: user.peer, chaos: user.chaos, status: user.status}, {peer: host.peer, chaos: host.chaos, status: host.status}}, "p")
	for _, x := range f.targets {
		if x.block.Side == sideElement {
			t.Errorf("%v is a target", x)
		}
	}
	if len(f.targets) != 2 {
		t.Errorf("%d targets", len(f.targets))
	}
}

// An element that was found dead since it was disturbed here lives again when that is over, though its pool users have not found out; not one that is
// found dead again. Its health check does not make it live: it does not know whether pool users reach it.
func TestForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		user, all := deployment()
		a := attackOn(all, &e)
		a.forgiven = make(map[string]int)
		lives := func(failures int, after time.Duration, health string) bool {
			t.Helper()
			time.Sleep(after)
			user.status.Pools[0].Elements[0].Alive, user.status.Pools[0].Elements[0].Failures = failures == 0, failures
			all[1].status.Elements[0].Health = health
			f, err := a.look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(a.strikes) == 0 {
				a.strikes = []*struck{{strike: &strike{target: f.targets[0]}}}
			}
			return f.pools["p"].elements["a"].lives()
		}
		if lives(2, 0, "healthy") || !lives(2, 0, "") || lives(0, 0, "ill") {
			t.Error("before")
		}
		a.strikes[0].over = time.Now()
		for i, c := range []struct {
			failures int
			after    time.Duration
			lives    bool
		}{{3, time.Second, true}, {4, time.Second, true}, {4, time.Minute, true}, {5, 0, false}, {0, 0, true}, {1, 0, false}} {
			if got := lives(c.failures, c.after, ""); got != c.lives {
				t.Errorf("%d: %d failures: %v", i, c.failures, got)
			}
		}
	})
}

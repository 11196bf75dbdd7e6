package proxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// everyWay runs a test for associations of mapping tcp, at either side, in TLS too, and for servers' connections of mapping none.
func everyWay(t *testing.T, test func(r *chaosRig, side string)) {
	for _, way := range []struct {
		name  string
		id    mapping.ID
		inTLS bool
		side  string
	}{{"tcp user", mapping.TCP, false, sideUser}, {"tcp element", mapping.TCP, false, sideElement}, {"tls user", mapping.TCP, true, sideUser},
		{"tls element", mapping.TCP, true, sideElement}, {"none", mapping.None, false, sideUser}} {
		t.Run(way.name, func(t *testing.T) { test(newChaosRig(t, way.id, way.inTLS, nil), way.side) })
	}
}

// quick is what a request takes where nothing is wrong, at most.
const quick = 10 * time.Millisecond

// What is stalled goes on when its time is over, and nothing is lost.
func TestChaosStall(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		const long = 250 * time.Millisecond // shorter than heartbeats wait
		c := r.client()
		c.ask()
		d := r.attack(Attack{Kind: ChaosStall, Side: side, For: long})
		if len(d.Hit) != 1 || !d.Until.Equal(r.world.Now().Add(long)) {
			t.Errorf("%+v", d)
		}
		if by, took := c.ask(); by != "a" || took < long-quick || took > long+quick {
			t.Errorf("it was answered by %s after %v", by, took)
		}
		if by, took := c.ask(); by != "a" || took > quick {
			t.Errorf("behind it, it was answered by %s after %v", by, took)
		}
		r.quietAgain()
		if strings.Contains(r.log.String(), "failover:") {
			t.Error("something has failed")
		}
	})
}

// What is cut says nothing, and nobody is told: heartbeats, where there are some, find it. Sessions survive.
func TestChaosCut(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		const long = 2 * time.Second
		c := r.client()
		c.ask()
		r.attack(Attack{Kind: ChaosCut, Side: side, For: long})
		began := r.world.Now()
		by, took := c.ask()
		none := len(r.elements) == 0
		switch {
		case none && (took < long-quick || took > long+time.Second): // nobody watches
			t.Errorf("it was answered by %s after %v", by, took)
		case !none && (took < 250*time.Millisecond || took > time.Second):
			t.Errorf("it was answered by %s after %v", by, took)
		case !none && !strings.Contains(r.log.String(), mapping.ErrSilent.Error()):
			t.Error("no heartbeat was missed")
		}
		for r.world.Now().Sub(began) < long+time.Second {
			c.ask()
			r.world.RunFor(100 * time.Millisecond)
		}
		r.quietAgain()
	})
}

// A cut is as silent as a pulled cable: what the peer hears of it comes when it ends.
func TestChaosCutIsSilent(t *testing.T) {
	r := newChaosRig(t, mapping.TCP, false, nil)
	c := r.client()
	c.ask()
	var legs int
	r.elements[0].elements[0].rules.Links(func(_ mapping.Association, up bool, n int) { legs += n })
	if legs != 1 {
		t.Fatalf("%d legs", legs)
	}
	r.attack(Attack{Kind: ChaosCut, Side: sideElement, For: 3 * time.Second})
	ended := func() bool { return strings.Contains(r.log.String(), "element-a.a: association ended") }
	r.world.RunFor(2900 * time.Millisecond)
	if !ended() { // its own heartbeats find it, and it may not even reset it
		t.Error("the element has not missed heartbeats")
	}
	if strings.Contains(r.log.String(), "reset") {
		t.Error("somebody was told")
	}
	r.world.RunFor(time.Second)
	r.quietAgain()
	c.ask()
}

// What is reset is a failure like others, at once.
func TestChaosReset(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		c := r.client()
		for range 3 {
			c.ask()
			c.send()
			if d := r.attack(Attack{Kind: ChaosReset, Side: side}); d.Until.After(r.world.Now()) {
				t.Errorf("it goes on: %+v", d)
			}
			if by, took := c.answer(); took > time.Second {
				t.Errorf("it was answered by %s after %v", by, took)
			}
			r.world.RunFor(time.Second)
		}
		if !strings.Contains(r.log.String(), "failover:") {
			t.Error("nothing has failed")
		}
		r.quietAgain()
	})
}

// What comes is read late, each time, and nothing fails.
func TestChaosDelay(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		const late = 120 * time.Millisecond
		c := r.client()
		c.ask()
		r.attack(Attack{Kind: ChaosDelay, Side: side, For: 2 * time.Second, Delay: late})
		for range 10 { // a request may share its way with a heartbeat that came before it
			r.world.RunFor(13 * time.Millisecond)
			if by, took := c.ask(); by != "a" || took > late+quick || took < late/6 {
				t.Errorf("it was answered by %s after %v", by, took)
			}
		}
		r.world.RunFor(2 * time.Second)
		if by, took := c.ask(); by != "a" || took > quick {
			t.Errorf("behind it, it was answered by %s after %v", by, took)
		}
		r.quietAgain()
		if strings.Contains(r.log.String(), "failover:") {
			t.Error("something has failed")
		}
	})
}

// A leg that is killed is one failover of one session; others notice nothing.
func TestChaosKillLeg(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		c, other := r.client(), r.client()
		c.ask()
		other.ask()
		c.send()
		r.attack(Attack{Kind: ChaosKillLeg, Side: side, Session: "1"})
		if _, took := c.answer(); took > time.Second {
			t.Errorf("it took %v", took)
		}
		if _, took := other.ask(); took > quick {
			t.Errorf("another one waited %v", took)
		}
		c.ask()
		if n := strings.Count(r.log.String(), "failover:"); n != 1 {
			t.Errorf("%d failovers", n)
		}
		if _, err := r.try(Attack{Kind: ChaosKillLeg, Side: side, Session: "9"}); !errors.Is(err, ErrChaosNothing) {
			t.Errorf("a session that is not there: %v", err)
		}
		r.quietAgain()
	})
}

// A frozen pool_element does nothing, for those who come meanwhile either; behind it all goes on. Its pool users have gone elsewhere.
func TestChaosFreeze(t *testing.T) {
	for _, inTLS := range []bool{false, true} {
		t.Run(fmt.Sprint(inTLS), func(t *testing.T) {
			r := newChaosRig(t, mapping.TCP, inTLS, nil)
			const long = 5 * time.Second
			c := r.client()
			c.ask()
			d := r.attack(Attack{Kind: ChaosFreeze, Side: sideElement, For: long})
			if len(d.Hit) != 3 {
				t.Errorf("it hit %q", d.Hit)
			}
			if _, err := r.try(Attack{Kind: ChaosFreeze, Side: sideElement, For: long}); !errors.Is(err, ErrChaosNothing) {
				t.Errorf("once more: %v", err)
			}
			if by, took := c.ask(); by != "b" || took < 250*time.Millisecond || took > 4*time.Second {
				t.Errorf("it was answered by %s after %v", by, took)
			}
			later := r.client() // who may be sent there, and is not held up for longer than heartbeats take
			if by, took := later.ask(); took > 4*time.Second {
				t.Errorf("a new one was answered by %s after %v", by, took)
			}
			if len(r.elements[0].elements[0].frost.callers) == 0 {
				t.Error("nobody has come meanwhile")
			}
			r.world.RunFor(2 * long)
			r.quietAgain()
			if r.elements[0].elements[0].frost != nil {
				t.Error("it is frozen yet")
			}
			by := ""
			for range 5 { // it is a new one that looks whether it is there again
				by, _ = r.client().ask()
				r.world.RunFor(time.Second)
			}
			if by != "a" {
				t.Errorf("behind it, %s has answered", by)
			}
		})
	}
}

// A pool_element that is frozen for a moment goes on as if nothing had been, as a process does that was stopped.
func TestChaosFreezeForAMoment(t *testing.T) {
	r := newChaosRig(t, mapping.TCP, false, nil)
	c := r.client()
	c.ask()
	r.attack(Attack{Kind: ChaosFreeze, Side: sideElement, For: 200 * time.Millisecond})
	if by, took := c.ask(); by != "a" || took < 190*time.Millisecond || took > 200*time.Millisecond+quick {
		t.Errorf("it was answered by %s after %v", by, took)
	}
	r.quietAgain()
	if strings.Contains(r.log.String(), "failover:") {
		t.Error("something has failed")
	}
}

// What goes on can be ended, one by one or all; the end of the process ends it, too (see chaosRig.end).
func TestChaosEnds(t *testing.T) {
	everyWay(t, func(r *chaosRig, side string) {
		s, h := r.side(side)
		for _, kind := range []string{ChaosStall, ChaosDelay, ChaosCut} {
			for _, one := range []bool{true, false} {
				c := r.client()
				c.ask()
				a := Attack{Kind: kind, Side: side, For: MostChaosFor, Delay: 250 * time.Millisecond, Count: 100}
				id := r.attack(a).ID
				c.send()
				r.world.RunFor(100 * time.Millisecond)
				if !one {
					id = ""
				}
				h.Post(func() { s.undisturb(id, "it was asked for") })
				if by, took := c.answer(); took > time.Second {
					t.Errorf("%s: it was answered by %s after %v", kind, by, took)
				}
				r.world.RunFor(2 * time.Second)
				r.quietAgain()
				c.conn.(interface{ Reset() }).Reset()
			}
		}
		c := r.client()
		c.ask()
		r.attack(Attack{Kind: ChaosStall, Side: side, For: MostChaosFor})
	})
}

// A configuration that does not permit it any more ends it; one that permits it changes nothing else. What has no permission is not disturbed.
func TestChaosIsPermitted(t *testing.T) {
	for _, side := range []string{sideUser, sideElement} {
		t.Run(side, func(t *testing.T) {
			r := newChaosRig(t, mapping.TCP, false, nil)
			c := r.client()
			c.ask()
			s, h := r.side(side)
			permit := func(on bool) {
				t.Helper()
				err := errors.New("it did not run")
				h.Post(func() {
					next := s.config
					next.Pools, next.Elements = append([]Pool{}, next.Pools...), append([]Element{}, next.Elements...)
					for i := range next.Pools {
						next.Pools[i].Chaos = on
					}
					for i := range next.Elements {
						next.Elements[i].Chaos = on
					}
					err = s.goOver(next)
				})
				r.world.RunFor(time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
			}
			kinds := []string{ChaosStall, ChaosCut}
			if side == sideElement {
				kinds = append(kinds, ChaosFreeze)
			}
			for _, kind := range kinds {
				a := Attack{Kind: kind, Side: side, For: MostChaosFor}
				r.attack(a)
				c.send()
				r.world.RunFor(100 * time.Millisecond)
				permit(false)
				if by, took := c.answer(); took > time.Second {
					t.Errorf("%s: it was answered by %s after %v", kind, by, took)
				}
				r.quietAgain()
				if _, err := r.try(a); !errors.Is(err, ErrChaosDenied) || !strings.Contains(err.Error(), "write chaos = true in ") {
					t.Errorf("without permission: %v", err)
				}
				permit(true)
			}
			if n := len(s.users) + len(s.elements) + len(s.former) + len(s.leaving); n != 1 {
				t.Errorf("%d sides: sessions have others than before", n)
			}
		})
	}
}

// What makes no sense, or is not there, is said to be so. A dry run says what would be hit, and does nothing.
func TestChaosRefuses(t *testing.T) {
	r := newChaosRig(t, mapping.TCP, false, nil)
	c := r.client()
	c.ask()
	for _, x := range []struct {
		attack Attack
		want   error
		says   string
	}{
		{Attack{Kind: "burn", Side: sideUser, For: time.Second}, ErrChaosRequest, "cut"},
		{Attack{Kind: ChaosCut, Side: "client", Name: "x", For: time.Second}, ErrChaosRequest, "pool_element"},
		{Attack{Kind: ChaosFreeze, Side: sideUser, For: time.Second}, ErrChaosRequest, "only a pool_element"},
		{Attack{Kind: ChaosCut, Side: sideUser}, ErrChaosRequest, "5m0s"},
		{Attack{Kind: ChaosCut, Side: sideUser, For: MostChaosFor + 1}, ErrChaosRequest, "5m0s"},
		{Attack{Kind: ChaosCut, Side: sideUser, For: -1}, ErrChaosRequest, "5m0s"},
		{Attack{Kind: ChaosDelay, Side: sideUser, For: time.Second}, ErrChaosRequest, "delay"},
		{Attack{Kind: ChaosDelay, Side: sideUser, For: time.Second, Delay: time.Minute}, ErrChaosRequest, "delay"},
		{Attack{Kind: ChaosCut, Side: sideElement, Element: "b", For: time.Second}, ErrChaosRequest, "pool_user"},
		{Attack{Kind: ChaosCut, Side: sideUser, Session: "1", For: time.Second}, ErrChaosRequest, "kill_leg"},
		{Attack{Kind: ChaosCut, Side: sideUser, Name: "x", For: time.Second}, ErrChaosUnknown, `no pool_user "x"`},
		{Attack{Kind: ChaosCut, Side: sideElement, Name: "things", For: time.Second}, ErrChaosUnknown, `no pool_element "things"`},
		{Attack{Kind: ChaosCut, Side: sideUser, Element: "b", For: time.Second}, ErrChaosNothing, "association"},
		{Attack{Kind: ChaosKillLeg, Side: sideUser, Element: "b"}, ErrChaosNothing, "leg"},
	} {
		if _, err := r.try(x.attack); !errors.Is(err, x.want) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%+v: %v", x.attack, err)
		}
	}
	d := r.attack(Attack{Kind: ChaosCut, Side: sideUser, For: time.Second, DryRun: true})
	if d.ID != "" || len(d.Hit) != 1 || !strings.Contains(d.Hit[0], "the association with a at") {
		t.Errorf("%+v", d)
	}
	if by, took := c.ask(); by != "a" || took > quick {
		t.Errorf("a dry run has held %s up for %v", by, took)
	}
	r.quietAgain()
}

// So many disturbances go on at a time, and no more; what is disturbed already is not hit again.
func TestChaosIsBounded(t *testing.T) {
	r := newChaosRig(t, mapping.None, false, nil)
	for range MostChaos + 2 {
		r.client().ask()
	}
	hit := make(map[string]bool)
	for range MostChaos {
		for _, what := range r.attack(Attack{Kind: ChaosStall, Side: sideUser, For: time.Minute}).Hit {
			hit[what] = true
		}
	}
	if len(hit) != MostChaos {
		t.Errorf("%d were hit", len(hit))
	}
	if _, err := r.try(Attack{Kind: ChaosStall, Side: sideUser, For: time.Minute}); !errors.Is(err, ErrChaosNothing) || !strings.Contains(err.Error(), "active") {
		t.Errorf("one more: %v", err)
	}
	r.world.RunFor(2 * time.Minute)
	r.quietAgain()
	if _, done := r.shard.common.chaos.list(); done != MostChaos {
		t.Errorf("%d are over", done)
	}
}

// One seed hits the same ones, another one others.
func TestChaosSeed(t *testing.T) {
	r := newChaosRig(t, mapping.None, false, nil)
	for range 20 {
		r.client().ask()
	}
	hit := func(seed uint64) string {
		return fmt.Sprint(r.attack(Attack{Kind: ChaosStall, Side: sideUser, For: time.Second, Count: 5, Seed: seed, DryRun: true}).Hit)
	}
	others := false
	for seed := uint64(1); seed < 10; seed++ {
		if once, again := hit(seed), hit(seed); once != again {
			t.Errorf("seed %d hits different ones", seed)
		}
		others = others || hit(seed) != hit(seed+1)
	}
	if !others {
		t.Error("all seeds hit the same")
	}
}

//go:build linux

package proxy

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Processes of several shards are disturbed as a whole, by whoever asks, and end it by themselves; sessions on all shards survive each kind.
func TestChaosSharded(t *testing.T) {
	x := newSharded(t, 2, func(c *Config) {
		for i := range c.Pools {
			c.Pools[i].Chaos = true
		}
		for i := range c.Elements {
			c.Elements[i].Chaos = true
		}
	})
	clients := x.clients(9)
	for i, a := range []Attack{
		{Kind: ChaosCut, Side: sideUser, For: time.Second}, {Kind: ChaosStall, Side: sideUser, For: time.Second}, {Kind: ChaosReset, Side: sideUser},
		{Kind: ChaosDelay, Side: sideUser, For: time.Second, Delay: 50 * time.Millisecond}, {Kind: ChaosKillLeg, Side: sideUser},
		{Kind: ChaosCut, Side: sideElement, For: time.Second}, {Kind: ChaosStall, Side: sideElement, For: time.Second}, {Kind: ChaosReset, Side: sideElement},
		{Kind: ChaosDelay, Side: sideElement, For: time.Second, Delay: 50 * time.Millisecond}, {Kind: ChaosKillLeg, Side: sideElement},
		{Kind: ChaosFreeze, Side: sideElement, For: time.Second},
	} {
		a.Count, a.Name = 100, "things"
		p := x.user
		if a.Side == sideElement {
			a.Name, p = []string{"a", "b"}[i%2], x.elements[i%2]
		}
		var d Disturbance
		eventually(t, fmt.Sprintf("%s at a %s", a.Kind, a.Side), func() (done bool) { // there may be nobody for a moment, behind what was before
			var err error
			if d, err = p.Disturb(a); err != nil && !errors.Is(err, ErrChaosNothing) {
				t.Fatalf("%+v: %v", a, err)
			}
			return err == nil
		})
		if active := p.Chaos().Active; a.lasts() && (len(active) != 1 || active[0].ID != d.ID) || len(d.Hit) == 0 {
			t.Errorf("%+v has hit %+v, and %+v goes on", a, d, active)
		}
		if a.Kind == ChaosFreeze {
			clients = append(clients, x.client()) // who comes meanwhile
		}
		for _, c := range clients {
			c.ask()
		}
		eventually(t, "the end of it", func() bool { s := p.Chaos(); return len(s.Active) == 0 && s.Done > 0 })
	}
	for _, c := range clients {
		c.ask()
	}
}

// A process whose place is to be taken disturbs nothing any more, and takes no disturbance while it stands still. Nor does one whose configuration does
// not permit it.
func TestChaosAndUpgrade(t *testing.T) {
	permit := true
	x := newSharded(t, 1, func(c *Config) {
		for i := range c.Pools {
			c.Pools[i].Chaos = permit
		}
	})
	clients := x.clients(6)
	a := Attack{Kind: ChaosStall, Side: sideUser, Name: "things", For: MostChaosFor, Count: 100}
	disturb := func() Disturbance {
		t.Helper()
		d, err := x.user.Disturb(a)
		if err != nil || len(d.Hit) != threeShards {
			t.Fatalf("%+v, %v", d, err)
		}
		return d
	}
	disturb()
	for _, c := range clients {
		c.send()
	}
	f, err := x.user.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error)
	go func() { // it ends with the Thaw below, and the test waits for it
		_, err := x.user.Disturb(Attack{Kind: ChaosReset, Side: sideUser, Name: "things"})
		asked <- err
	}()
	if s := x.user.Chaos(); len(s.Active) != 0 || s.Done != 1 {
		t.Errorf("%+v", s)
	}
	f.Thaw()
	if err := <-asked; err != nil {
		t.Error(err)
	}
	for _, c := range clients {
		c.answer()
	}
	eventually(t, "all associations", func() bool {
		up := 0
		for _, a := range x.user.Status().Associations {
			if a.Up && a.Sessions > 0 {
				up++
			}
		}
		return up == threeShards
	})
	d := disturb()
	for _, c := range clients {
		c.send()
	}
	if err := x.user.Undisturb("c99"); !errors.Is(err, ErrChaosUnknown) {
		t.Error(err)
	}
	config := x.user.common.now.Load().config
	config.Pools = slices.Clone(config.Pools)
	config.Pools[0].Chaos = false
	changes, err := x.user.Reload(config)
	if want := []string{`pool "things" chaos changed from true to false`}; err != nil || !slices.Equal(changes, want) {
		t.Errorf("%q, %v", changes, err)
	}
	for _, c := range clients {
		c.answer()
	}
	if s := x.user.Chaos(); len(s.Active)+len(s.Allowed) != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := x.user.Disturb(a); !errors.Is(err, ErrChaosDenied) {
		t.Error(err)
	}
	if err := x.user.Undisturb(d.ID); !errors.Is(err, ErrChaosUnknown) {
		t.Error(err)
	}
}

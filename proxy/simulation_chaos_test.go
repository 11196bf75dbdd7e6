package proxy

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// chaos is a fault of its own, in half of the schedules in which other things may go wrong: the sidecars disturb themselves, as they are asked to by the
// admin API. It has chance of its own, so that the other half is what it would be without.
type chaos struct {
	m    *simulation
	rand *rand.Rand
	done map[string]int // what was hit, by kind and side
}

func (m *simulation) planChaos() {
	c := &chaos{m: m, rand: rand.New(rand.NewPCG(m.seed, 0xc405)), done: make(map[string]int)}
	m.chaos = c
	if c.rand.IntN(2) == 0 || m.drains.alone || m.upgrades.alone {
		return
	}
	all := c.attacks()
	if len(all) == 0 {
		return
	}
	for range 1 + c.rand.IntN(10) {
		a := all[c.rand.IntN(len(all))]
		a.Count, a.Seed = 1+c.rand.IntN(3), c.rand.Uint64()
		a.For = time.Millisecond + time.Duration(c.rand.Int64N(int64(m.longest)))
		a.Delay = min(a.For, time.Millisecond+time.Duration(c.rand.Int64N(int64(100*time.Millisecond))))
		at := max(m.calm(), time.Duration(c.rand.Int64N(int64(faultTime*3/4))))
		e := m.elements[c.rand.IntN(len(m.elements))]
		m.world.After(at, func() { c.strike(a, e) })
		if c.rand.IntN(5) == 0 {
			m.world.After(at+time.Duration(c.rand.Int64N(int64(a.For))), func() { c.stop() })
		}
	}
}

// attacks are those that a class of schedules may meet.
func (c *chaos) attacks() (all []Attack) {
	m := c.m
	wild := m.class == anything || m.class == partitions
	add := func(side string, kinds ...string) {
		for _, kind := range kinds {
			all = append(all, Attack{Kind: kind, Side: side})
		}
	}
	if m.mapping == mapping.TCP {
		add(sideUser, ChaosCut, ChaosStall, ChaosReset, ChaosDelay)
		add(sideElement, ChaosCut, ChaosStall, ChaosReset, ChaosDelay)
	} else if wild {
		add(sideUser, ChaosCut, ChaosStall, ChaosReset, ChaosDelay)
	}
	if m.class != pathOnly {
		add(sideUser, ChaosKillLeg)
	}
	if m.mapping == mapping.TCP && wild {
		add(sideElement, ChaosKillLeg, ChaosFreeze)
	}
	return all
}

// strike attacks the pool user's sidecar, or that of the element.
func (c *chaos) strike(a Attack, e *element) {
	m, shard, host, a2 := c.m, c.m.userShard, c.m.user, a
	a2.Name = "user"
	if a.Side == sideElement {
		shard, host, a2.Name = e.shard, e.sidecar, elementName(e.index)
	}
	if shard == nil || m.drains.stopped[shard] > 0 {
		return
	}
	host.Post(func() {
		d, err := shard.attack(a2)
		if err == nil {
			c.done[a.Side+" "+a.Kind]++
			m.tracef("chaos: %s of %v until %v", a.Kind, d.Hit, d.Until.Sub(began))
		} else if !errors.Is(err, ErrChaosNothing) {
			m.violated("%+v: %v", a2, err)
		}
	})
}

// stop ends all that goes on.
func (c *chaos) stop() {
	c.m.tracef("chaos is stopped")
	undo := func(h *looptest.Host, s *Shard) { h.Post(func() { s.undisturb("", "it was asked for") }) }
	undo(c.m.user, c.m.userShard)
	for _, e := range c.m.elements {
		if e.shard != nil && e.sidecar != c.m.user {
			undo(e.sidecar, e.shard)
		}
	}
}

// attack disturbs a shard that is alone.
func (s *Shard) attack(a Attack) (Disturbance, error) {
	return s.common.disturb([]reach{func(f func(*Shard)) bool { f(s); return true }}, &s.config, a, s.log)
}

// All that there is is met: else the simulation would say nothing.
func TestSimulationMeetsChaos(t *testing.T) {
	met := make(map[string]int)
	for seed := range uint64(60) {
		m := newSimulation(draw(seed), nil)
		if err := m.run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for what, n := range m.chaos.done {
			met[what] += n
		}
	}
	for _, what := range []string{"pool_user cut", "pool_user stall", "pool_user reset", "pool_user delay", "pool_user kill_leg", "pool_element cut",
		"pool_element stall", "pool_element reset", "pool_element delay", "pool_element kill_leg", "pool_element freeze"} {
		if met[what] == 0 {
			t.Errorf("no %s", what)
		}
	}
	t.Log(met)
}

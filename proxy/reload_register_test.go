package proxy

import (
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// goOver has a shard in virtual time go over to another configuration.
func (s *Shard) goOver(c Config) error {
	next, err := s.common.layout(s.layout, keepSources(s.config, c))
	if err != nil {
		return err
	}
	t, err := s.prepare(next)
	if err == nil {
		t.commit()
	}
	return err
}

func (r *registerRig) reload(change func(*Element)) {
	r.Helper()
	c := r.shard.config
	c.Elements = slices.Clone(c.Elements)
	e := &c.Elements[0]
	e.Register = slices.Clone(e.Register)
	change(e)
	var err error
	r.shard.loop.(interface{ Post(func()) bool }).Post(func() { err = r.shard.goOver(c) })
	r.world.RunFor(500 * time.Millisecond)
	if err != nil {
		r.Fatal(err)
	}
}

// Registrations follow the configuration: one that is the same is left alone whatever else changes, other values are told, what is another
// registration takes the place of the one before behind it, and who is not to be registered any more is gone.
func TestReloadRegistrations(t *testing.T) {
	r := newRegisterRig(t, func(e *Element) { e.Register[0].Policy = pool.WeightedRoundRobin })
	r.serves(true)
	r.world.RunFor(3 * time.Second)
	r.wants("register a@orders in orders", regRegistered)
	r.reload(func(e *Element) { e.Memory *= 2; e.Hold = time.Minute })
	r.wants("", regRegistered)
	r.reload(func(e *Element) { e.Register[0].Weight = 7 })
	r.wants("revalue a@orders 0%", regRegistered)
	if w := r.registry.live["a@orders"].Weight; w != 7 {
		t.Errorf("the weight is %d", w)
	}
	r.reload(func(e *Element) { e.Register[0].Policy = pool.RoundRobin })
	r.world.RunFor(2 * time.Second)
	r.wants("deregister a@orders, register a@orders in orders", regRegistered)
	r.reload(func(e *Element) { e.Register = append(e.Register, r.to("others", pool.RoundRobin)) })
	r.world.RunFor(2 * time.Second)
	r.wants("register a@others in others", regRegistered)
	r.reload(func(e *Element) { // one that is told by a load instead of none
		e.Register[1].Policy, e.Register[1].LoadFrom, e.Register[1].MaxSessions = pool.LeastUsed, LoadSessions, 10
	})
	r.world.RunFor(2 * time.Second)
	r.wants("deregister a@others, register a@others in others", regRegistered)
	r.client()
	r.world.RunFor(3 * time.Second)
	r.wants("revalue a@others 10%", regRegistered)
	r.reload(func(e *Element) { e.Memory *= 2 })
	r.client()
	r.world.RunFor(3 * time.Second)
	r.wants("revalue a@others 20%", regRegistered)
	r.reload(func(e *Element) { e.Register = e.Register[:1] })
	r.wants("deregister a@others", regRegistered)
	r.serves(false)
	r.world.RunFor(5 * time.Second)
	r.wants("deregister a@orders", regWaiting)
}

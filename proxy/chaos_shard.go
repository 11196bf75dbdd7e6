package proxy

import (
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// target is what can be disturbed: an association, a connection to a server, or a leg.
type target struct {
	key  any           // which one
	what string        // for people
	gate mapping.Gated // nil: it can only be ended
	end  func() bool   // ends it as if something else had; false: it has ended already
}

// strike is what this shard has of a disturbance. It ends by its timer, or before.
type strike struct {
	shard  *Shard
	id     string
	attack Attack
	shut   []target     // what was disturbed
	frozen *elementSide // freeze: whose
	timer  loop.Timer
}

// strike hits those of the targets that were chosen, and returns how many there were. Its part of the disturbance is over behind it if nothing goes on.
func (s *Shard) strike(a *Attack, id string, until time.Time, chosen map[any]bool) (hit int) {
	k := &strike{shard: s, id: id, attack: *a}
	if !s.closed && s.config.permits(a) == nil {
		hit = k.hitAll(chosen)
	}
	if len(k.shut) == 0 && k.frozen == nil {
		s.common.chaos.partOver(id)
		return hit
	}
	k.timer.Func = func() { k.end("its time is over") }
	s.loop.Schedule(&k.timer, until)
	s.strikes = append(s.strikes, k)
	return hit
}

// hitAll disturbs those that were chosen, and returns how many there were.
func (k *strike) hitAll(chosen map[any]bool) (hit int) {
	s, a := k.shard, &k.attack
	if a.Kind == ChaosFreeze {
		if !k.freeze() {
			return 0
		}
		hit++
	}
	for _, v := range s.targets(a) {
		if chosen[v.key] && k.hit(v) {
			hit++
		}
	}
	if s.index == 0 {
		s.count(chaosBegun, a.Kind)
	}
	return hit
}

// hit disturbs one.
func (k *strike) hit(v target) bool {
	if !k.attack.lasts() {
		return v.end()
	}
	return k.close(v)
}

// close puts a gate there, and shuts it.
func (k *strike) close(v target) bool {
	g := v.gate.Gate()
	if g == nil {
		return false
	}
	k.shut = append(k.shut, v)
	if k.attack.Kind == ChaosDelay {
		g.Late(k.attack.Delay)
	} else {
		g.Hold()
	}
	return true
}

// end undoes it.
func (k *strike) end(why string) {
	s := k.shard
	i := slices.Index(s.strikes, k)
	if i < 0 {
		return
	}
	s.strikes = slices.Delete(s.strikes, i, i+1)
	s.loop.Cancel(&k.timer)
	for _, v := range k.shut {
		switch g := v.gate.Gate(); {
		case g == nil:
		case k.attack.Kind == ChaosCut:
			v.end()
			g.Drop()
		case k.attack.Kind == ChaosDelay:
			g.Late(0)
		default:
			g.Release()
		}
		v.gate.Ungate()
	}
	if k.frozen != nil {
		k.frozen.unfreeze()
	}
	if d, over := s.common.chaos.partOver(k.id); over {
		s.log.Warn("chaos: a disturbance has ended", "id", k.id, "kind", d.Kind, d.Side, d.Name, "because", why)
	}
}

// undisturb ends what this shard has of a disturbance, or of all: "".
func (s *Shard) undisturb(id, why string) {
	for _, k := range slices.Clone(s.strikes) {
		if id == "" || k.id == id {
			k.end(why)
		}
	}
}

// reviewChaos ends what another configuration does not permit any more, or has nobody for.
func (s *Shard) reviewChaos() {
	for _, k := range slices.Clone(s.strikes) {
		if s.config.permits(&k.attack) != nil || k.frozen != nil && !slices.Contains(s.elements, k.frozen) {
			k.end("the configuration is another one")
		}
	}
}

// targets lists what an attack could hit on this shard.
func (s *Shard) targets(a *Attack) (all []target) {
	for _, u := range s.users {
		if a.Side == sideUser && u.config.Name == a.Name {
			all = append(all, u.targets(a)...)
		}
	}
	for _, e := range s.elements {
		if a.Side == sideElement && e.name == a.Name && !e.leaving {
			all = append(all, e.targets(a)...)
		}
	}
	return all
}

// targets are those of a pool_user: its legs, its associations, or with mapping none its connections to servers.
func (u *userSide) targets(a *Attack) (all []target) {
	if a.Kind == ChaosKillLeg {
		u.rules.Sessions(func(s *session.Session) {
			if at, _ := s.At(); at != "" && (a.Element == "" || at == a.Element) && (a.Session == "" || a.Session == fmt.Sprint(s.ID)) {
				all = append(all, target{key: s, what: fmt.Sprintf("the leg of session %d at %s", s.ID, at), end: func() bool { return s.Kill("its leg was killed by chaos") }})
			}
		})
		return all
	}
	for _, e := range u.direct.all() {
		if a.Element == "" || e.name == a.Element {
			all = append(all, e.servers(a)...)
		}
	}
	if u.direct != nil {
		return all
	}
	u.rules.Links(func(e pool.Element, x mapping.Association, up bool, legs int) {
		if up && (a.Element == "" || e.Name == a.Element) {
			all = append(all, ofAssociation(a, x, fmt.Sprintf("the association with %s at %v, sessions: %d", e.Name, x.Remote(), legs))...)
		}
	})
	return all
}

// targets are those of a pool_element: its associations, or what it has with its server.
func (e *elementSide) targets(a *Attack) (all []target) {
	if a.Kind == ChaosKillLeg || a.Kind == ChaosFreeze {
		all = e.servers(a)
	}
	if a.Kind == ChaosKillLeg {
		return all
	}
	e.rules.Links(func(x mapping.Association, up bool, legs int) {
		if up || a.Kind == ChaosFreeze {
			all = append(all, ofAssociation(a, x, fmt.Sprintf("the association with the pool user at %v, sessions: %d", x.Remote(), legs))...)
		}
	})
	return all
}

// ofAssociation is an association as a target; none, if it cannot be hit in that way, or is hit already.
func ofAssociation(a *Attack, x mapping.Association, what string) []target {
	v := target{key: x, what: what}
	if breaker, can := x.(mapping.Breaker); can {
		v.end = func() bool { breaker.Break(); return true }
	}
	gated, can := x.(mapping.Gated)
	if v.gate = gated; can && gated.Disturbed() && a.Kind != ChaosFreeze || a.lasts() && !can || v.end == nil {
		return nil
	}
	return []target{v}
}

// servers are the connections to the server as targets.
func (e *elementSide) servers(a *Attack) (all []target) {
	rules, is := e.rules.(*session.Element)
	if !is {
		return nil
	}
	rules.EachLeg(func(g *session.Leg) {
		c, ours := g.Socket().(*serverSocket)
		if g.OutOfTouch() && a.Kind == ChaosKillLeg && a.Session == "" { // mostly nobody misses it any more
			return
		}
		if !ours || c.connected != nil && a.Kind != ChaosFreeze || c.Disturbed() && a.Kind != ChaosFreeze || a.Session != "" && a.Session != fmt.Sprint(g.Session) {
			return
		}
		all = append(all, target{key: c, what: fmt.Sprintf("the connection to %s, %v, of session %d", e.name, e.server, g.Session), gate: c.local,
			end: func() bool { return g.Kill("its connection was reset by chaos") }})
	})
	return all
}

var _ mapping.Gated = (*local)(nil)

// gatedLocal is what the Gate of a connection tells.
type gatedLocal local

// Ready passes on what the Gate lets through (loop.Handler).
func (c *gatedLocal) Ready(ev loop.Event) { (*local)(c).ready(ev) }

// Gate puts a Gate between the connection and its rules; see mapping.Gated.
func (c *local) Gate() *loop.Gate {
	if c.gate == nil {
		c.gate = loop.NewGate(c.shard.loop, c.Conn, (*gatedLocal)(c))
		c.Conn = c.gate
	}
	return c.gate
}

// Ungate takes it out again; see mapping.Gated.
func (c *local) Ungate() {
	if c.gate != nil && c.gate.Idle() {
		c.Conn, c.gate = c.gate.Inner(), nil
	}
}

// Disturbed reports whether there is one; see mapping.Gated.
func (c *local) Disturbed() bool { return c.gate != nil }

// bare is the connection itself, also while it is disturbed.
func (c *local) bare() loop.Conn {
	if c.gate != nil {
		return c.gate.Inner()
	}
	return c.Conn
}

// owes reports whether our end was asked for, and is yet to be sent.
func (c *local) owes() bool { return c.gate != nil && c.gate.Owes() }

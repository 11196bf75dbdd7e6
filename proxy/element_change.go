package proxy

import (
	"slices"

	"github.com/poolproxy/poolproxy/session"
)

// What becomes of a pool_element when the configuration is read again.

// drainGone is the reason that pool users are told when a pool_element is not in the configuration any more.
const drainGone = "its pool_element is not configured any more"

// takeOver has it go on with the rules of its predecessor, whose legs keep what they have.
func (e *elementSide) takeOver() {
	was := e.before
	if e.before = nil; was == nil {
		return
	}
	was.after, e.drained = e, was.drained
	rules := e.rules.(*session.Element)
	rules.Change(e.config)
	if was.leaving { // it is named again
		rules.Admit()
		if e.drained {
			rules.Drain(drainAsked)
		} else {
			rules.Undrain()
		}
	}
	if e.fence != nil {
		e.fence.serial = e.number()
	}
	if was.server == e.server && !sameHealth(was.block.config, e.block.config) {
		e.rules.SetHealth(nil) // it is healthy until its own checks have found otherwise
	}
}

// sameHealth reports whether two pool_elements have their server checked alike.
func sameHealth(a, b Element) bool {
	return a.Server == b.Server && !slices.ContainsFunc(diffOf(a, b), func(c change) bool { return c.field == "Health" || c.field == "ServerTLS" || c.field == "SendProxy" })
}

// stand has pool users come in by the entrance, on the first shard. When it is the first one, it begins to check and to register.
func (e *elementSide) stand(d *entrance) {
	first := e.entrance == nil
	if e.entrance = d; d.fresh {
		d.fresh = false
		c := e.block.config
		e.shard.log.Info("listening for pool users", "pool_element", e.name, "address", d.address(), "mapping", c.Mapping, "server", c.Server)
	}
	if !first {
		return
	}
	var was *elementSide
	for _, x := range e.shard.former {
		if x.after == e {
			was = x
		}
	}
	if was != nil && was.health != nil && sameHealth(was.block.config, e.block.config) {
		e.health, was.health = was.health, nil
		e.health.change, e.health.each = e.setHealth, nil
	} else if c := e.block.config; c.Health != nil {
		e.health = newHealth(e.shard, e.name, c.introduced(), e.setHealth)
		if c.Health.Address == c.Server {
			e.health.origin = e.origin
		}
	}
	e.register(was)
	if was != nil {
		was.health.close()
		was.watch.close()
		was.health, was.watch = nil, nil
	}
}

// limitLegs has limits.sessions, which may be another one, hold for all pool_elements.
func (s *Shard) limitLegs() {
	for _, e := range s.elements {
		e.limit()
	}
	for _, u := range s.users {
		for _, e := range u.direct.all() {
			e.limit()
		}
	}
}

func (e *elementSide) limit() {
	if r, is := e.rules.(*session.Element); is && e.config.MaxLegs != e.most() {
		e.config.MaxLegs = e.most()
		r.Change(e.config)
	}
}

// retire has it go, since it is not in the configuration any more: its sessions leave as they can, and those that cannot go on.
func (e *elementSide) retire() {
	e.entrance, e.leaving = nil, true
	e.rules.Refuse()
	e.rules.Drain(drainGone)
	for _, r := range e.registrations {
		e.farewell(r)
	}
	e.registrations = nil
}

// empty reports whether nothing of it is left (leaver), on any shard: the first one's side is where pool users come in to resume legs of all, and who
// is named again goes on with all or with none.
func (e *elementSide) empty() bool {
	live, held := e.rules.Legs()
	return live+held+len(e.goodbyes) == 0 && (!e.resumable() || e.counts.legs.Load() == 0)
}

// resumable reports whether a leg can be resumed over another association. That of a native pool user is its session.
func (e *elementSide) resumable() bool {
	_, is := e.rules.(*session.Element)
	return is
}

// over is the end of it (leaver).
func (e *elementSide) over() bool {
	e.block.fate.CompareAndSwap(fateLeaves, fateClosed)
	return e.block.fate.Load() == fateClosed
}

// idle reports whether the legs that began by it have all ended, after another one has taken over from it.
func (e *elementSide) idle() bool {
	return e.block.dialled.Load() == 0 && len(e.newcomers) == 0 && (e.gate == nil || e.gate.Shaking() == 0) && e.fence.idle()
}

package chaos

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
)

// field is what there is to be disturbed, as all processes together say at one moment.
type field struct {
	processes []*process
	pools     map[string]*poolField
	targets   []*target // in an order that does not depend on chance
	moving    int       // sessions in a pause: resuming, or failing over
	active    int       // disturbances that are going on, whoever asked for them
}

// poolField is a pool, as its pool users know it.
type poolField struct {
	handle   string
	known    bool // one of the processes is a pool user of it: these are all elements that it has
	elements map[string]*element
}

// element is one element of a pool.
type element struct {
	pool      *poolField
	name      string
	address   string
	usable    bool // neither drained, nor found ill by its health check
	failed    bool // somebody has found it dead
	failures  int  // how often, in a row
	disturbed bool // something is being done to it
}

// lives reports whether it is believed to do its work.
func (e *element) lives() bool { return e.usable && !e.failed }

// target is a place at which an element can be disturbed: the one that it has at a pool_user, or its own pool_element.
type target struct {
	peer     *Peer
	block    proxy.ChaosBlock
	elements []*element // one; more are the same server under several names, in several pools
	allowed  bool
	kinds    []string // for which there is something to hit now
	serves   bool     // there are sessions
}

// newField puts together what processes say. only, if it is not "", is the pool that is of interest: what is of others is no target.
func newField(processes []*process, only string) *field {
	f := &field{processes: processes, pools: make(map[string]*poolField)}
	for _, p := range processes {
		f.addPools(p)
	}
	for _, p := range processes {
		f.addUsers(p)
		f.addElements(p)
		for _, s := range p.status.Sessions {
			if s.State == "resuming" || s.State == "failing over" {
				f.moving++
			}
		}
	}
	for _, p := range processes {
		f.addActive(p)
	}
	f.targets = slices.DeleteFunc(f.targets, func(t *target) bool {
		return only != "" && slices.ContainsFunc(t.elements, func(e *element) bool { return e.pool.handle != only })
	})
	slices.SortFunc(f.targets, func(a, b *target) int {
		x, y := a.elements[0], b.elements[0]
		return cmp.Or(cmp.Compare(x.pool.handle, y.pool.handle), cmp.Compare(x.name, y.name), cmp.Compare(a.block.Side, b.block.Side),
			cmp.Compare(a.block.Name, b.block.Name), cmp.Compare(a.peer.Address, b.peer.Address))
	})
	return f
}

// addPools adds the pools that have a pool_user in the process, with their elements. Of one that several know, an element lives if all think so.
func (f *field) addPools(p *process) {
	for _, s := range p.status.Pools {
		if !slices.ContainsFunc(p.status.Users, func(u proxy.UserStatus) bool { return u.Pool == s.Handle && !u.Leaving }) {
			continue
		}
		pool := f.pool(s.Handle)
		pool.known = true
		for _, e := range s.Elements {
			is := pool.elements[e.Name]
			if is == nil {
				is = &element{pool: pool, name: e.Name, address: e.Address, usable: true}
				pool.elements[e.Name] = is
			}
			is.usable = is.usable && e.Draining == ""
			is.failed = is.failed || !e.Alive
			is.failures = max(is.failures, e.Failures)
		}
	}
}

func (f *field) pool(handle string) *poolField {
	if f.pools[handle] == nil {
		f.pools[handle] = &poolField{handle: handle, elements: make(map[string]*element)}
	}
	return f.pools[handle]
}

// everyElement goes through all elements, in the order of their pools and names.
func (f *field) everyElement(each func(*element)) {
	for _, handle := range slices.Sorted(maps.Keys(f.pools)) {
		pool := f.pools[handle]
		for _, name := range slices.Sorted(maps.Keys(pool.elements)) {
			each(pool.elements[name])
		}
	}
}

// addUsers adds what can be disturbed at the pool_users of a process: each element of their pool.
func (f *field) addUsers(p *process) {
	for _, u := range p.status.Users {
		pool := f.pools[u.Pool]
		if pool == nil || u.Leaving {
			continue
		}
		b := proxy.ChaosBlock{Side: sideUser, Name: u.Name, Pool: u.Pool}
		for _, e := range pool.elements {
			t := &target{peer: p.peer, block: b, elements: []*element{e}, allowed: p.allows(b.Side, b.Name)}
			sessions := p.sessions(u.Name, e.name)
			t.can(p.associated(sideUser, u.Name, e.address) || sessions && p.direct(u.Pool), sessions, false)
			f.targets = append(f.targets, t)
		}
	}
}

// can sets the kinds that there is something for.
func (t *target) can(associations, legs, freeze bool) {
	t.serves = legs
	if associations {
		t.kinds = append(t.kinds, proxy.ChaosCut, proxy.ChaosStall, proxy.ChaosReset, proxy.ChaosDelay)
	}
	if legs {
		t.kinds = append(t.kinds, proxy.ChaosKillLeg)
	}
	if freeze {
		t.kinds = append(t.kinds, proxy.ChaosFreeze)
	}
}

// addElements adds the pool_elements of a process.
func (f *field) addElements(p *process) {
	for i := range p.status.Elements {
		e := &p.status.Elements[i]
		if e.Leaving {
			continue
		}
		are := f.elementsOf(p, e)
		t := &target{peer: p.peer, block: proxy.ChaosBlock{Side: sideElement, Name: e.Name, Pool: are[0].pool.handle}, elements: are, allowed: p.allows(sideElement, e.Name)}
		for _, is := range are {
			is.usable = is.usable && !e.Drained && (e.Health == "" || e.Health == "healthy")
		}
		t.can(p.associated(sideElement, e.Name, ""), e.Legs > 0, true)
		f.targets = append(f.targets, t)
	}
}

// elementsOf finds which elements of pools a pool_element is: by the address that it listens at, what it is registered as, or its name in the pool
// that it says to be of. One that nobody knows who was asked is the only element of a pool of which nothing else is known.
func (f *field) elementsOf(p *process, e *proxy.ElementStatus) (are []*element) {
	listens, _ := netip.ParseAddrPort(e.Listen) // an invalid one is nobody's
	everywhere := listens.IsValid() && listens.Addr().IsUnspecified()
	says := p.poolOf(e.Name)
	f.everyElement(func(x *element) {
		at, err := netip.ParseAddrPort(x.address)
		if err == nil && (at == listens || everywhere && at.Port() == listens.Port() && x.name == e.Name) ||
			p.registers(e.Name, x.pool.handle, x.name) || x.name == e.Name && x.pool.handle == says {
			are = append(are, x)
		}
	})
	if len(are) > 0 {
		return are
	}
	pool := f.pool(says)
	is := &element{pool: pool, name: e.Name, address: e.Listen, usable: !pool.known} // if the pool is known it is not in it now
	pool.elements[e.Name] = is
	return []*element{is}
}

// addActive marks the elements to which something is being done, whoever asked for it.
func (f *field) addActive(p *process) {
	for _, d := range p.chaos.Active {
		f.active++
		for _, t := range f.targets {
			if t.peer != p.peer || t.block.Side != d.Side || t.block.Name != d.Name {
				continue
			}
			for _, e := range t.elements {
				e.disturbed = e.disturbed || d.Side == sideElement || d.Element == "" || d.Element == e.name
			}
		}
	}
}

// goesOn reports whether a disturbance is going on at a process.
func (f *field) goesOn(peer *Peer, id string) bool {
	for _, p := range f.processes {
		if p.peer == peer {
			return slices.ContainsFunc(p.chaos.Active, func(d proxy.Disturbance) bool { return d.ID == id })
		}
	}
	return false
}

// associated reports whether a block has an association, with that address if it is not "".
func (p *process) associated(side, name, remote string) bool {
	return slices.ContainsFunc(p.status.Associations, func(a proxy.AssociationStatus) bool {
		return a.Side == side && a.Name == name && a.Up && (remote == "" || a.Remote == remote)
	})
}

// sessions reports whether an element serves a session of a pool_user.
func (p *process) sessions(user, element string) bool {
	return slices.ContainsFunc(p.status.Sessions, func(s proxy.SessionStatus) bool {
		return s.User == user && s.Element == element && s.State == "open"
	})
}

// direct reports whether the pool's servers are connected to without sidecars.
func (p *process) direct(pool string) bool {
	return slices.ContainsFunc(p.status.Pools, func(s proxy.PoolStatus) bool {
		return s.Handle == pool && s.Mapping == mapping.None.String()
	})
}

// allows reports whether a block has chaos = true.
func (p *process) allows(side, name string) bool {
	return slices.ContainsFunc(p.chaos.Allowed, func(b proxy.ChaosBlock) bool { return b.Side == side && b.Name == name })
}

// registers reports whether a pool_element has put itself into the pool under that name.
func (p *process) registers(block, pool, name string) bool {
	return slices.ContainsFunc(p.status.Registrations, func(r proxy.RegistrationStatus) bool {
		return r.Element == block && r.Pool == pool && r.Name == name
	})
}

// poolOf is the pool of which a pool_element says to be; "": it does not say.
func (p *process) poolOf(name string) string {
	for _, r := range p.status.Registrations {
		if r.Element == name {
			return r.Pool
		}
	}
	for _, b := range p.chaos.Allowed {
		if b.Side == sideElement && b.Name == name {
			return b.Pool
		}
	}
	return ""
}

// printable keeps out of a line what would move the cursor: names and causes may be a peer's words.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

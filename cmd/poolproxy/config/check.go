package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
)

// checkAll checks what only all blocks together can show.
func (r *reader) checkAll() {
	if len(r.users) == 0 && len(r.elements) == 0 && !r.config.DNS.Listen.IsValid() && !r.diags.HasErrors() {
		r.checkIdle()
	}
	r.checkNames()
	for _, s := range r.sources {
		r.checkSource(s)
	}
	for _, p := range r.pools {
		r.checkPoolSource(p)
		r.checkPool(p)
	}
	for _, u := range r.users {
		r.checkUser(u)
	}
	for _, e := range r.elements {
		r.checkElement(e)
	}
	r.checkRequired()
	r.checkRegistrations()
	r.checkShards()
	r.checkAdmin()
	r.checkDNS()
	r.checkListeners()
	r.checkMatches()
	r.checkCircles()
}

// checkIdle checks a configuration without pool_users and pool_elements: with pools and the admin API it is nameservice mode.
func (r *reader) checkIdle() {
	if len(r.pools) == 0 || !r.config.Admin.On() {
		r.nowhere("There is nothing to run", "The configuration has neither a pool_user nor a pool_element, nor a dns block, nor pools that could be asked for over the admin API.")
		return
	}
	r.warn(r.pools[0].at, "There are only pools", "There is neither a pool_user nor a pool_element: servers are named to those who ask (poolproxy resolve), and that is all.")
}

// checkEmptyPool checks a pool without elements and source: its elements can only come by the admin API.
func (r *reader) checkEmptyPool(p *poolBlock) {
	summary, add := fmt.Sprintf("Pool %q has no elements", p.Handle), `Add: element "a" { address = "host:port" }`
	if !r.config.Admin.On() {
		r.fail(p.at, summary, add)
		return
	}
	r.warn(p.at, summary, "It is empty until somebody registers in it (poolproxy register). "+add)
}

// names finds names that are given twice.
type names map[string]hcl.Range

func (r *reader) once(given names, what, name string, at hcl.Range) {
	before, ok := given[name]
	switch {
	case name == "": // reported where it was read
	case ok:
		r.fail(at, fmt.Sprintf("There are two %ss %q", what, name),
			fmt.Sprintf("Give one of them another name. The first one is at %s.", place(before)))
	default:
		given[name] = at
	}
}

func (r *reader) checkNames() {
	sources, pools, users, elements := names{}, names{}, names{}, names{}
	for _, s := range r.sources {
		r.once(sources, "source", s.name, s.at)
	}
	for _, p := range r.pools {
		r.once(pools, "pool", p.Handle, p.at)
	}
	for _, u := range r.users {
		r.once(users, "pool_user", u.Name, u.at)
	}
	for _, e := range r.elements {
		r.once(elements, "pool_element", e.Name, e.at)
	}
}

func (r *reader) checkPool(p *poolBlock) {
	if _, source := p.seen["source"]; len(p.elements) == 0 && !source {
		r.checkEmptyPool(p)
	}
	if p.Mapping != mapping.SCTP && !p.broken {
		r.needsSCTP(p.seen, "udp_port")
	}
	r.checkNativePool(p)
	r.checkPoolServerTLS(p)
	r.checkPoolHeader(p)
	given := names{}
	addresses := map[netip.AddrPort]hcl.Range{}
	for _, e := range p.written() {
		r.once(given, "element", e.Name, e.at)
		r.checkReached(p, &e, addresses)
	}
	if !p.broken {
		r.checkPolicy(p)
	}
	r.checkRehearsals(p)
}

// checkReached checks where an element is reached; others are where those before it are.
func (r *reader) checkReached(p *poolBlock, e *poolElement, others map[netip.AddrPort]hcl.Range) {
	if p.Mapping != mapping.SCTP && !p.broken {
		r.needsSCTP(e.seen, "paths")
	}
	r.checkPaths(e.Address, "address", e.Paths, e.seen["paths"])
	for i, to := range e.reached() {
		at := e.seen["address"]
		if i > 0 {
			at = e.seen["paths"]
		}
		if before, ok := others[to]; ok && to.IsValid() && before != at {
			r.fail(at, fmt.Sprintf("Two elements of pool %q have the address %s", p.Handle, to),
				fmt.Sprintf("A failover between them would lead nowhere. The first one is at %s.", place(before)))
		} else {
			others[to] = at
		}
	}
}

// checkShards warns of shards that there will not be.
func (r *reader) checkShards() {
	limits := r.config.Limits
	most := limits.MostShards()
	if limits.Shards <= most {
		return
	}
	least := int64(limits.Shards) * proxy.ShardMemory
	r.warn(r.limits["shards"], fmt.Sprintf("limits.shards is %d, and there will be %d: limits.memory is %s", limits.Shards, most, sizeText(limits.Memory)),
		fmt.Sprintf("Each shard needs %s of it: make limits.memory at least %s, or shards %d.", sizeText(proxy.ShardMemory), sizeText(least), most))
}

// leastSessions is how many sessions must have room for all that they may retain. With less, clients that wait for memory and
// servers that would free it can wait for each other (seen in simulation).
const leastSessions = 4

func (r *reader) checkUser(u *userBlock) {
	if leastSessions*int64(u.Memory) > r.config.Limits.Memory {
		at := u.at
		if set, ok := u.seen["retrieval"]; ok {
			at = set
		}
		r.fail(at, fmt.Sprintf("One session may retain %s, all together only %s", sizeText(int64(u.Memory)), sizeText(r.config.Limits.Memory)),
			fmt.Sprintf("Make limits.memory at least %d times retrieval.memory: a session that has all of its own must leave room for what frees it.", leastSessions))
	}
	r.warnTrusted(u)
	r.checkTransparent(u)
	at, set := u.seen["pool"]
	if !set || u.Pool == "" {
		return
	}
	p := r.findPool(u.Pool)
	if p == nil {
		r.noPool(u.Pool, at)
		return
	}
	r.checkLocal(u, p)
	r.checkRehearsal(u, p)
	switch {
	case p.Native:
		r.checkNative(u, p)
	case p.Mapping == mapping.None:
		r.checkDirect(u, p)
	default:
		r.checkFence(u)
	}
}

func (r *reader) findPool(handle string) *poolBlock {
	for _, p := range r.pools {
		if p.Handle == handle {
			return p
		}
	}
	return nil
}

// noPool reports a reference to a pool that does not exist.
func (r *reader) noPool(handle string, at hcl.Range) {
	var handles []string
	for _, p := range r.pools {
		handles = append(handles, p.Handle)
	}
	hint := "There are no pools at all: add a pool block."
	if len(handles) > 0 {
		hint = fmt.Sprintf("The pools are: %s.", quoted(handles))
	}
	if near := nearest(handle, handles); near != "" {
		hint = fmt.Sprintf("Did you mean %q? %s", near, hint)
	}
	r.fail(at, fmt.Sprintf("There is no pool %q", handle), hint)
}

func (r *reader) checkElement(e *elementBlock) {
	r.checkHealth(e)
	r.checkCard(e)
	r.checkRegisters(e)
	r.checkNativeElement(e)
	if e.Mapping != mapping.SCTP && !e.broken {
		r.needsSCTP(e.seen, "paths", "udp_port")
	}
	if !e.Listen.IsValid() {
		return
	}
	r.checkPaths(e.Listen, "listen", e.Paths, e.seen["paths"])
	if e.Listen == e.Server && e.Mapping == mapping.TCP {
		r.fail(e.seen["server"], fmt.Sprintf("pool_element %q would connect to itself", e.Name), "listen and server are the same address.")
	}
	if len(e.tls.asked) == 0 && (beyond(e.Listen) || slices.ContainsFunc(e.Paths, func(ip netip.Addr) bool { return !ip.IsLoopback() })) {
		r.bareElement(e)
	}
}

// finish copies what the blocks hold into the configuration.
func (r *reader) finish() {
	for _, p := range r.pools {
		for _, e := range p.elements {
			p.Elements = append(p.Elements, e.Element)
		}
		for _, e := range p.rehearsals {
			p.Rehearsals = append(p.Rehearsals, e.Element)
		}
		r.config.Pools = append(r.config.Pools, p.Pool)
	}
	for _, u := range r.users {
		r.config.Users = append(r.config.Users, u.User)
	}
	for _, e := range r.elements {
		r.config.Elements = append(r.config.Elements, e.Element)
	}
}

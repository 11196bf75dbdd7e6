package config

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/hcl/v2"

	"github.com/poolproxy/poolproxy/mapping"
)

// listener is an address that will be listened on.
type listener struct {
	who     string
	address netip.AddrPort
	at      hcl.Range
	sctp    bool // its ports are others than those of TCP
	user    *userBlock
}

// checkListeners finds addresses that two parts of the configuration would listen on.
func (r *reader) checkListeners() {
	var all []listener
	for _, u := range r.users {
		all = append(all, listener{fmt.Sprintf("the pool_user %q", u.Name), u.Listen, u.seen["listen"], false, u})
	}
	for _, e := range r.elements {
		who, sctp := fmt.Sprintf("the pool_element %q", e.Name), e.Mapping == mapping.SCTP
		all = append(all, listener{who, e.Listen, e.seen["listen"], sctp, nil})
		for _, ip := range e.Paths {
			all = append(all, listener{who, netip.AddrPortFrom(ip, e.Listen.Port()), e.seen["paths"], sctp, nil})
		}
	}
	if r.adminAt.Filename == "" { // by default: what the file says is wrong, not the default
		all = append([]listener{{"the admin API (by default)", r.config.Admin.Listen, hcl.Range{}, false, nil}}, all...)
	} else {
		all = append(all, listener{"the admin API", r.config.Admin.Listen, r.adminAt, false, nil})
	}
	all = append(all, listener{"the DNS answerer", r.config.DNS.Listen, r.dns["listen"], false, nil})
	for i, second := range all {
		for _, first := range all[:i] {
			if first.sctp == second.sctp && first.who != second.who && collide(first.address, second.address) &&
				!(first.user != nil && second.user != nil && share(first.user, second.user)) {
				r.twice(first, second)
				break
			}
		}
	}
}

func (r *reader) twice(earlier, later listener) {
	hint := fmt.Sprintf("%s listens there, too", first(earlier.who))
	if earlier.at.Filename != "" {
		hint += ", at " + place(earlier.at)
	}
	r.fail(later.at, fmt.Sprintf("%s cannot listen on %s", first(later.who), later.address), hint+". Give one of them another address.")
}

// collide reports whether the second of two listeners would fail. Port 0 is a new port for each.
func collide(a, b netip.AddrPort) bool {
	if !a.IsValid() || !b.IsValid() || a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	return a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified()
}

// checkLoop finds a pool_user that would connect to itself, again and again until nothing is left: with mapping none the address of an
// element is a server's.
func (r *reader) checkLoop(u *userBlock, p *poolBlock) {
	for _, e := range p.written() {
		if !collide(u.Listen, e.Address) {
			continue
		}
		if own, _ := ofThisHost(e.Address.Addr()); own {
			r.fail(e.seen["address"], fmt.Sprintf("pool_user %q would connect to itself: element %q of its pool %q is %s, where it listens",
				u.Name, e.Name, p.Handle, e.Address), "With mapping none the address is the server's. Correct it, or have the pool_user listen elsewhere.")
		}
	}
}

// checkCircles finds pool_elements whose server is a pool_user of the pool that they are in: each session would begin another one, until
// nothing is left, not even an answer of the admin API.
func (r *reader) checkCircles() {
	for _, e := range r.elements {
		for _, u := range r.users {
			own, _ := ofThisHost(e.Server.Addr())
			if e.broken || !own || !collide(u.Listen, e.Server) || !r.isIn(e, u.Pool) {
				continue
			}
			r.fail(e.seen["server"], fmt.Sprintf("Sessions would go round in circles: the server of pool_element %q is pool_user %q, whose pool %q it is in",
				e.Name, u.Name, u.Pool), "A pool_element stands before a server: write that one's address.")
		}
	}
}

// isIn reports whether a pool_element is in a pool, by an element block or because it registers itself.
func (r *reader) isIn(e *elementBlock, handle string) bool {
	for _, g := range e.registers {
		if g.Handle == handle {
			return true
		}
	}
	for _, p := range r.pools {
		for _, x := range p.written() {
			if own, _ := ofThisHost(x.Address.Addr()); p.Handle == handle && own && collide(e.Listen, x.Address) {
				return true
			}
		}
	}
	return false
}

// registersUser finds a pool_element that registers a pool_user's address as a server of that one's pool, and reports whether it does.
func (r *reader) registersUser(e *elementBlock, g *registerBlock, at hcl.Range) bool {
	own, _ := ofThisHost(g.Address.Addr())
	for _, u := range r.users {
		if own && g.Mapping == mapping.None && u.Pool == g.Handle && collide(u.Listen, g.Address) {
			r.fail(at, fmt.Sprintf("pool_element %q would register pool_user %q as a server of its own pool %q", e.Name, u.Name, u.Pool),
				"With mapping none the address is the server's: correct it.")
			return true
		}
	}
	return false
}

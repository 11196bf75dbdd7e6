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
}

// checkListeners finds addresses that two parts of the configuration would listen on.
func (r *reader) checkListeners() {
	var all []listener
	for _, u := range r.users {
		all = append(all, listener{fmt.Sprintf("the pool_user %q", u.Name), u.Listen, u.seen["listen"], false})
	}
	for _, e := range r.elements {
		who, sctp := fmt.Sprintf("the pool_element %q", e.Name), e.Mapping == mapping.SCTP
		all = append(all, listener{who, e.Listen, e.seen["listen"], sctp})
		for _, ip := range e.Paths {
			all = append(all, listener{who, netip.AddrPortFrom(ip, e.Listen.Port()), e.seen["paths"], sctp})
		}
	}
	if r.adminAt.Filename == "" { // by default: what the file says is wrong, not the default
		all = append([]listener{{"the admin API (by default)", r.config.Admin.Listen, hcl.Range{}, false}}, all...)
	} else {
		all = append(all, listener{"the admin API", r.config.Admin.Listen, r.adminAt, false})
	}
	all = append(all, listener{"the DNS answerer", r.config.DNS.Listen, r.dns["listen"], false})
	for i, second := range all {
		for _, first := range all[:i] {
			if first.sctp == second.sctp && first.who != second.who && collide(first.address, second.address) {
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
	for _, e := range p.elements {
		if !collide(u.Listen, e.Address) {
			continue
		}
		if own, _ := ofThisHost(e.Address.Addr()); own {
			r.fail(e.seen["address"], fmt.Sprintf("pool_user %q would connect to itself: element %q of its pool %q is %s, where it listens",
				u.Name, e.Name, p.Handle, e.Address), "With mapping none the address is the server's. Correct it, or have the pool_user listen elsewhere.")
		}
	}
}

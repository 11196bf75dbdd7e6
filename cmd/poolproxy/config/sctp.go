package config

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
)

// mostPaths bounds the addresses of a host beside its first: each is a path that is watched.
const mostPaths = 15

// paths reads a list of IP addresses.
func (r *reader) paths(dst *[]netip.Addr) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list of IP addresses: %s = ["10.0.0.1", "10.1.0.1"].`, a.Name)
		items, ok := r.some(a, mostPaths, hint)
		if !ok {
			return
		}
		var all []netip.Addr
		for _, item := range items {
			ip, ok := r.path(a.Name, item, hint)
			if !ok {
				return
			}
			if slices.Contains(all, ip) {
				r.fail(item.Range(), fmt.Sprintf("%s is in %q twice", ip, a.Name), "Each path has an address of its own: leave one out.")
				return
			}
			all = append(all, ip)
		}
		*dst = all
	}
}

// path reads one address of a host.
func (r *reader) path(name string, e hcl.Expression, hint string) (netip.Addr, bool) {
	s, ok := r.text(name, e, hint)
	if !ok {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(s)
	ip = ip.Unmap()
	switch {
	case err != nil:
		r.fail(e.Range(), fmt.Sprintf("%q is not an IP address", s), hint+" There are no names and no ports here.")
	case ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "":
		r.fail(e.Range(), fmt.Sprintf("%s cannot be a path", s), "Write the address of one interface, without a zone.")
	default:
		return ip, true
	}
	return netip.Addr{}, false
}

// port reads a port of UDP.
func (r *reader) port(dst *uint16) setter {
	return func(a *hclsyntax.Attribute) {
		if n, ok := r.whole(a.Name, a.Expr, 1, 65535); ok {
			*dst = uint16(n)
		}
	}
}

// needsSCTP reports settings that mean nothing with other mappings.
func (r *reader) needsSCTP(seen map[string]hcl.Range, names ...string) {
	for _, name := range names {
		if at, set := seen[name]; set {
			r.fail(at, fmt.Sprintf("%q is impossible without mapping sctp", name), `Only SCTP has it: write mapping = "sctp", or leave it out.`)
		}
	}
}

// checkPaths checks the further addresses of one that listens, or that is connected to.
func (r *reader) checkPaths(first netip.AddrPort, name string, paths []netip.Addr, at hcl.Range) {
	switch {
	case len(paths) == 0 || !first.IsValid():
	case first.Addr().IsUnspecified():
		r.fail(at, `"paths" says nothing new: it listens on every address of this machine`, "Leave paths out, or listen on one address.")
	case slices.Contains(paths, first.Addr()):
		r.fail(at, fmt.Sprintf("%s is in %q and in \"paths\"", first.Addr(), name), "paths names the further addresses: leave it out there.")
	}
}

// checkLocal checks the addresses that a pool_user's associations use.
func (r *reader) checkLocal(u *userBlock, p *poolBlock) {
	at, set := u.seen["local"]
	if !set || p.broken || len(u.Local) == 0 {
		return
	}
	if p.Mapping != mapping.SCTP {
		r.needsSCTP(u.seen, "local")
		return
	}
	for _, ip := range u.Local {
		if own, known := ofThisHost(ip); known && !own {
			r.warn(at, fmt.Sprintf("%s is not an address of this machine", ip), "Associations cannot be begun from it: correct local where this runs.")
		}
	}
	for _, e := range p.written() {
		for _, to := range append([]netip.Addr{e.Address.Addr()}, e.Paths...) {
			if to.IsValid() && !slices.ContainsFunc(u.Local, func(ip netip.Addr) bool { return ip.Is4() == to.Is4() }) {
				r.fail(at, fmt.Sprintf("No address of \"local\" reaches %s of element %q: one is IPv4, the others IPv6", to, e.Name),
					"Add an address of its kind, or leave local out.")
				return
			}
		}
	}
}

// reached lists the addresses at which an element of a pool is reached.
func (e *poolElement) reached() []netip.AddrPort {
	all := []netip.AddrPort{e.Address}
	for _, ip := range e.Paths {
		if ip != e.Address.Addr() { // reported
			all = append(all, netip.AddrPortFrom(ip, e.Address.Port()))
		}
	}
	return all
}

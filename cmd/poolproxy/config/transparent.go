package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/proxy"
)

// interceptions are the words for how connections to other addresses come to a listener.
var interceptions = []choice[loop.Interception]{{"none", loop.Addressed}, {"redirect", loop.Redirect}, {"tproxy", loop.TProxy}}

// mostMatches bounds the entries of a match: all of a listener's are looked through for each connection.
const mostMatches = 1024

const matchHint = `Write what clients connect to: match = ["10.0.0.5:80", "10.1.0.0/16:6379", "10.2.0.0/16", "[2001:db8::/32]:443"].`

// match reads a list of addresses and networks, each with a port or for all ports.
func (r *reader) match(u *userBlock) setter {
	return func(a *hclsyntax.Attribute) {
		items, ok := r.some(a, mostMatches, matchHint)
		if !ok {
			return
		}
		for _, item := range items {
			s, ok := r.text(a.Name, item, matchHint)
			if !ok {
				return
			}
			m, err := parseMatch(s)
			if err != nil {
				r.fail(item.Range(), fmt.Sprintf("%q is no address or network with a port", s), fmt.Sprintf("%s (%v)", matchHint, err))
				return
			}
			u.Match, u.matchAt = append(u.Match, m), append(u.matchAt, item.Range())
		}
	}
}

// parseMatch reads "network", "network:port" or "[network]:port"; a network may be a single address.
func parseMatch(s string) (m proxy.Match, err error) {
	if m.Network, err = parseNetwork(s); err == nil {
		return m, nil
	}
	if strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return m, err
	}
	network, portText, splitErr := net.SplitHostPort(s)
	if splitErr != nil {
		return m, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return m, fmt.Errorf("%q is not a port", portText)
	}
	m.Port = uint16(port)
	m.Network, err = parseNetwork(network)
	return m, err
}

// checkTransparent checks a pool_user's share of a transparent listener by itself.
func (r *reader) checkTransparent(u *userBlock) {
	at, set := u.seen["match"]
	switch {
	case u.Transparent == loop.Addressed && set:
		r.fail(at, `"match" has no effect without transparent`, `It says which of the connections that are led here are this pool_user's: write transparent = "redirect" or "tproxy", or leave it out.`)
	case u.Transparent == loop.Addressed:
	case !set:
		r.fail(u.seen["transparent"], `"match" is missing`, "A transparent pool_user must know which destinations are its pool's. "+matchHint)
	default:
		r.possible(u)
	}
}

// possible reports an interception that cannot be had. Rights are those of who validates: the one who runs may have others.
func (r *reader) possible(u *userBlock) {
	err := loop.CanIntercept(u.Transparent)
	if err == nil {
		return
	}
	summary := fmt.Sprintf("transparent = %q: %v", u.Transparent, err)
	if u.Transparent == loop.TProxy && loop.CanIntercept(loop.Redirect) == nil {
		r.warn(u.seen["transparent"], summary, "This user does not have it. Who runs poolproxy must (docs/transparent.md says how), or write \"redirect\", which needs no rights.")
		return
	}
	r.fail(u.seen["transparent"], summary, "Leave transparent and match out.")
}

// share reports whether two transparent pool_users listen at the same address in the same way, so that one listener serves both.
func share(a, b *userBlock) bool {
	return a.Transparent != loop.Addressed && a.Transparent == b.Transparent && a.Listen == b.Listen
}

// checkMatches finds destinations that two pool_users of one listener would both have.
func (r *reader) checkMatches() {
	type given struct {
		u  *userBlock
		m  proxy.Match
		at hcl.Range
	}
	var all []given
	for _, u := range r.users {
		for i, m := range u.Match {
			same := func(g given) bool { return g.m == m && (g.u == u || share(g.u, u)) }
			if j := slices.IndexFunc(all, same); j >= 0 {
				r.fail(u.matchAt[i], fmt.Sprintf("%s is in two matches of one listener", m),
					fmt.Sprintf("Of two that cover a destination the narrower counts, and these are the same. The first one is at %s, of pool_user %q.", place(all[j].at), all[j].u.Name))
				continue
			}
			all = append(all, given{u, m, u.matchAt[i]})
		}
	}
}

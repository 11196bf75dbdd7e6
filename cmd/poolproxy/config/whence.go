package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/whence"
)

// What concerns the addresses of clients: the PROXY protocol, in and out.

const (
	// defaultHeaderTime is how long a header of the PROXY protocol may take: it is sent with the first packet, so this is for one that is lost.
	defaultHeaderTime = 3 * time.Second

	mostNetworks = 256
)

// headers are the words for the headers that servers are sent.
var headers = []choice[whence.Version]{{"none", whence.None}, {"v1", whence.V1}, {"v2", whence.V2}}

// readAcceptProxy reads the proxy_protocol block of a pool_user.
func (r *reader) readAcceptProxy(u *userBlock, b *hclsyntax.Block) {
	p := proxy.AcceptProxy{Timeout: defaultHeaderTime}
	r.block(b, &shape{
		what: "a proxy_protocol block",
		attributes: map[string]setter{
			"trusted": r.networks(&p.Trusted),
			"timeout": r.duration(&p.Timeout, 10*time.Millisecond, time.Minute),
		},
		required: []string{"trusted"},
	})
	u.Accept = &p
}

// networks reads a list of networks, or single addresses.
func (r *reader) networks(dst *[]netip.Prefix) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list of networks or addresses: %s = ["10.0.0.0/8", "192.0.2.1"].`, a.Name)
		items, ok := r.some(a, mostNetworks, hint)
		if !ok {
			return
		}
		var all []netip.Prefix
		for _, item := range items {
			s, ok := r.text(a.Name, item, hint)
			if !ok {
				return
			}
			network, err := parseNetwork(s)
			if err != nil {
				r.fail(item.Range(), fmt.Sprintf("%q is not a network", s), fmt.Sprintf("%s (%v)", hint, err))
				return
			}
			all = append(all, network)
		}
		*dst = all
	}
}

// parseNetwork reads "10.0.0.0/8", or an address, which is a network of one.
func parseNetwork(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().WithZone("").Prefix(ip.Unmap().BitLen())
	}
	network, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if network.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("write it as IPv4")
	}
	if network != network.Masked() {
		return netip.Prefix{}, fmt.Errorf("that is the network %s", network.Masked())
	}
	return network, nil
}

// checkPoolHeader checks what a pool says of the header that its servers are sent: only where there is no sidecar before them that sends it.
func (r *reader) checkPoolHeader(p *poolBlock) {
	at, set := p.seen["send_proxy"]
	switch {
	case !set || p.broken:
	case p.Native:
		r.fail(at, `"send_proxy" is impossible with native elements`, "They speak SCTP, for which the PROXY protocol has no header: leave it out.")
	case p.Mapping != mapping.None:
		r.fail(at, `"send_proxy" belongs to the pool_element, where a sidecar stands before the server`,
			fmt.Sprintf("Pool %q has mapping %s: write it in each pool_element. A pool has it with mapping none.", p.Handle, p.Mapping))
	}
}

// warnTrusted warns of proxies that anybody can be.
func (r *reader) warnTrusted(u *userBlock) {
	if u.Accept == nil {
		return
	}
	everybody := func(network netip.Prefix) bool { return network.Bits() == 0 }
	if slices.ContainsFunc(u.Accept.Trusted, everybody) {
		r.warn(u.seen["proxy_protocol"], fmt.Sprintf("pool_user %q believes everybody's PROXY protocol header", u.Name),
			"Who can connect to it can say to be any client. Name the networks of the proxies before it.")
	}
}

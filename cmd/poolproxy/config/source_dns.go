package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/dns"
	"github.com/poolproxy/poolproxy/pool"
)

const (
	mostDNSServers = 8
	mostDNSName    = 253 // bytes of a name (RFC 1035 §3.1)
)

// dnsKind is source "dns".
type dnsKind struct {
	c    dns.Config
	port int
	dns  *dns.Source
}

func newDNSKind() *dnsKind {
	return &dnsKind{c: dns.Config{Least: dns.DefaultLeast, Most: dns.DefaultMost, Timeout: dns.DefaultTimeout}}
}

func (d *dnsKind) shape(r *reader) *shape {
	return &shape{
		what: "a DNS source",
		attributes: map[string]setter{
			"servers":     r.servers(&d.c.Servers),
			"name":        r.str(&d.c.Name, mostDNSName),
			"port":        r.integer(&d.port, 1, 65535),
			"min_ttl":     r.duration(&d.c.Least, 100*time.Millisecond, time.Hour),
			"max_ttl":     r.duration(&d.c.Most, time.Second, mostTime),
			"timeout":     r.duration(&d.c.Timeout, 10*time.Millisecond, 10*time.Second),
			"empty_after": r.duration(&d.c.Empty, time.Second, mostTime),
		},
		required: []string{"name"},
	}
}

func (d *dnsKind) made(r *reader, s *sourceBlock) pool.Source {
	d.c.Port = uint16(d.port)
	c := d.c
	if c.Least > c.Most {
		at, set := s.seen["min_ttl"]
		if !set {
			at = s.seen["max_ttl"]
		}
		r.fail(at, fmt.Sprintf("min_ttl (%s) is longer than max_ttl (%s)", durationText(c.Least), durationText(c.Most)), "Both are bounds of the same time.")
	}
	if s.stale <= c.Most {
		at, set := s.seen["stale_after"]
		if !set {
			at = s.seen["max_ttl"]
		}
		r.fail(at, fmt.Sprintf("stale_after (%s) must be longer than max_ttl (%s)", durationText(s.stale), durationText(c.Most)),
			"Else there would be an alarm each time an answer is still good.")
	}
	var err error
	if d.dns, err = dns.New(c); err != nil {
		r.fail(s.seen["name"], `"name" is no name in DNS`, fmt.Sprintf("{pool} in it stands for the name of the pool: \"{pool}.default.svc.cluster.local\". (%v)", err))
		return nil
	}
	return d.dns
}

func (d *dnsKind) poolOf(r *reader, p *poolBlock, at hcl.Range) {
	if name, err := d.dns.Name(p.Handle); err != nil {
		r.fail(at, fmt.Sprintf("Pool %q cannot be found in DNS", p.Handle), fmt.Sprintf("Its source asks for %q, which is no domain name.", name))
	}
}

// servers reads the addresses of name servers.
func (r *reader) servers(dst *[]netip.AddrPort) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list of addresses: %s = ["10.96.0.10:53"].`, a.Name)
		items, ok := r.some(a, mostDNSServers, hint)
		if !ok {
			return
		}
		for _, item := range items {
			var at netip.AddrPort
			if s, ok := r.text(a.Name, item, hint); ok {
				r.parseAddress(&at, s, a.Name, item.Range(), hint, false)
				*dst = append(*dst, at)
			}
		}
	}
}

// readDNS reads where DNS is answered.
func (r *reader) readDNS(b *hclsyntax.Block) {
	c := &r.config.DNS
	c.TTL = dns.DefaultTTL
	r.dns = r.block(b, &shape{
		what:       "a dns block",
		attributes: map[string]setter{"listen": r.listen(&c.Listen), "ttl": r.duration(&c.TTL, 0, time.Hour)},
		required:   []string{"listen"},
	})
}

// checkDNS warns of an answerer that others may use to flood somebody with answers that nobody has asked for.
func (r *reader) checkDNS() {
	c := r.config.DNS
	if !c.Listen.IsValid() {
		return
	}
	if !c.Listen.Addr().IsLoopback() {
		r.warn(r.dns["listen"], "DNS is answered beyond loopback", "Whoever reaches this address is answered, with a forged sender too: keep it in a network that you trust.")
	}
	if c.TTL%time.Second != 0 {
		r.fail(r.dns["ttl"], `"ttl" must be in whole seconds`, "DNS knows nothing shorter.")
	}
	if len(r.pools) == 0 {
		r.fail(r.dns["listen"], "There are no pools to answer for", "Add a pool block.")
	}
}

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/dns"
)

// What holds of sources and of the dns block where the configuration says nothing. config.hcl.example tells them to users.
const (
	defaultStale   = 5 * time.Minute
	mostDNSServers = 8
	mostDNSName    = 253 // bytes of a name (RFC 1035 §3.1)
)

// kinds are the sources that there are; laterKinds belong to the design.
var kinds, laterKinds = []string{"dns"}, []string{"etcd", "asap"}

// sourceBlock is a source and where it was read.
type sourceBlock struct {
	name   string // "dns.k8s"
	dns    dns.Config
	stale  time.Duration
	at     hcl.Range
	seen   map[string]hcl.Range
	broken bool
	made   *dns.Source // nil: it could not be made, which was reported
}

func (r *reader) readSource(b *hclsyntax.Block) {
	kind := label(b)
	if kind != "" && !slices.Contains(kinds, kind) {
		r.noKind(b, kind)
		return
	}
	s := &sourceBlock{at: b.DefRange(), stale: defaultStale,
		dns: dns.Config{Least: dns.DefaultLeast, Most: dns.DefaultMost, Timeout: dns.DefaultTimeout}}
	if len(b.Labels) > 1 {
		s.name = kind + "." + b.Labels[1]
	}
	r.sources = append(r.sources, s)
	before, port := len(r.diags.Errs()), 0
	s.seen = r.block(b, &shape{
		what:   "a DNS source",
		labels: []string{"dns", "name"},
		attributes: map[string]setter{
			"servers":     r.servers(&s.dns.Servers),
			"name":        r.str(&s.dns.Name, mostDNSName),
			"port":        r.integer(&port, 1, 65535),
			"min_ttl":     r.duration(&s.dns.Least, 100*time.Millisecond, time.Hour),
			"max_ttl":     r.duration(&s.dns.Most, time.Second, mostTime),
			"timeout":     r.duration(&s.dns.Timeout, 10*time.Millisecond, 10*time.Second),
			"empty_after": r.duration(&s.dns.Empty, time.Second, mostTime),
			"stale_after": r.duration(&s.stale, time.Second, 7*mostTime),
		},
		required: []string{"name"},
	})
	s.dns.Port = uint16(port)
	s.broken = len(r.diags.Errs()) > before
}

// noKind reports a source of a kind that there is not.
func (r *reader) noKind(b *hclsyntax.Block, kind string) {
	at, hint := b.LabelRanges[0], fmt.Sprintf("The kinds are: %s.", quoted(kinds))
	if slices.Contains(laterKinds, kind) {
		r.fail(at, fmt.Sprintf("source %q is not available in this version", kind), "It is planned, but does nothing yet. "+hint)
		return
	}
	r.fail(at, fmt.Sprintf("There is no source of the kind %q", kind), hint)
}

// servers reads the addresses of name servers.
func (r *reader) servers(dst *[]netip.AddrPort) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write a list of addresses: %s = ["10.96.0.10:53"].`, a.Name)
		items, ok := r.entries(a, hint)
		if !ok {
			return
		}
		if len(items) == 0 || len(items) > mostDNSServers {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q has %d entries", a.Name, len(items)), fmt.Sprintf("It must have 1 to %d. %s", mostDNSServers, hint))
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

// checkSource makes the source of its block.
func (r *reader) checkSource(s *sourceBlock) {
	if s.broken || s.name == "" {
		return
	}
	c := s.dns
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
	if s.made, err = dns.New(c); err != nil {
		r.fail(s.seen["name"], `"name" is no name in DNS`, fmt.Sprintf("{pool} in it stands for the name of the pool: \"{pool}.default.svc.cluster.local\". (%v)", err))
	}
	if !slices.ContainsFunc(r.pools, func(p *poolBlock) bool { return p.SourceName == s.name }) {
		r.warn(s.at, fmt.Sprintf("No pool has the source %q", s.name), fmt.Sprintf("Write in a pool: source = %q", s.name))
	}
}

// checkPoolSource gives a pool its source.
func (r *reader) checkPoolSource(p *poolBlock) {
	at, set := p.seen["source"]
	if !set || p.SourceName == "" {
		return
	}
	if len(p.elements) > 0 {
		r.fail(at, fmt.Sprintf("Pool %q has elements and a source", p.Handle), "It has either: leave one out.")
	}
	var names []string
	for _, s := range r.sources {
		if names = append(names, s.name); s.name == p.SourceName {
			if s.made != nil { // else that was reported
				p.Source, p.Stale = s.made, s.stale
				if name, err := s.made.Name(p.Handle); err != nil {
					r.fail(at, fmt.Sprintf("Pool %q cannot be found in DNS", p.Handle), fmt.Sprintf("Its source asks for %q, which is no domain name.", name))
				}
			}
			return
		}
	}
	hint := `There are no sources at all: add a block source "dns" "NAME" { ... }`
	if len(names) > 0 {
		hint = fmt.Sprintf("The sources are: %s.", quoted(names))
	}
	if kind, _, _ := strings.Cut(p.SourceName, "."); slices.Contains(laterKinds, kind) {
		hint = fmt.Sprintf("Sources of the kind %q are planned, but not available in this version. %s", kind, hint)
	} else if near := nearest(p.SourceName, names); near != "" {
		hint = fmt.Sprintf("Did you mean %q? %s", near, hint)
	}
	r.fail(at, fmt.Sprintf("There is no source %q", p.SourceName), hint)
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

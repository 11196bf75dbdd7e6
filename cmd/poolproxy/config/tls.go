package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

// tlsBlock is a tls block and where it was read.
type tlsBlock struct {
	*proxy.TLS // nil: there is none that could be used
	at         hcl.Range
	seen       map[string]hcl.Range
	asked      []hcl.Range // where something says tls, in whatever form
}

// tlsNeeds are what a tls block must have.
var tlsNeeds = []string{"cert", "key", "ca", "allow"}

// readTLS reads the tls block of a pool or a pool_element.
func (r *reader) readTLS(dst *tlsBlock) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		t := &proxy.TLS{}
		before := len(r.diags.Errs())
		dst.at, dst.asked = b.DefRange(), append(dst.asked, b.TypeRange)
		dst.seen = r.block(b, &shape{
			what:       "a tls block",
			attributes: map[string]setter{"cert": r.pem(&t.Cert), "key": r.pem(&t.Key), "ca": r.pem(&t.CA), "allow": r.allow(&t.Allow)},
		})
		complete := !slices.ContainsFunc(tlsNeeds, func(name string) bool { return !given(dst.seen, name) })
		if complete && len(r.diags.Errs()) == before {
			dst.TLS = t
		}
	}
}

// readElementTLS reads the tls block of an element of a pool, which says who that element is.
func (r *reader) readElementTLS(dst *[]string, asked *[]hcl.Range) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		*asked = append(*asked, b.TypeRange)
		r.block(b, &shape{
			what:       "a tls block of an element",
			attributes: map[string]setter{"allow": r.allow(dst)},
			misplaced:  map[string]string{"cert": inPool, "key": inPool, "ca": inPool},
		})
	}
}

// pem reads the full path of a file.
func (r *reader) pem(dst *string) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write the full path of a file in PEM: %s = "/etc/poolproxy/%s.pem".`, a.Name, a.Name)
		s, ok := r.text(a.Name, a.Expr, hint)
		if ok && !filepath.IsAbs(s) {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the full path of a file", s), hint)
		} else if ok {
			*dst = s
		}
	}
}

// allow reads the names of peers.
func (r *reader) allow(dst *[]string) setter {
	return func(a *hclsyntax.Attribute) {
		const hint = `Write the names that are in the peers' certificates: allow = ["*.orders.example.org", "spiffe://example.org/orders/a"].`
		items, ok := r.entries(a, hint)
		if ok && len(items) == 0 {
			r.fail(a.Expr.Range(), `"allow" is empty: nobody would be let in`, hint)
		}
		for _, item := range items {
			name, ok := r.text(a.Name, item, hint)
			if !ok {
				return
			}
			if err := secure.CheckName(name); err != nil {
				r.fail(item.Range(), fmt.Sprintf("Nobody can be allowed so: %v", err), hint)
				return
			}
			*dst = append(*dst, name)
		}
	}
}

// checkTLS checks a tls block, when it is known what it is for; where is "pool" or "pool_element", and which one.
func (r *reader) checkTLS(t *tlsBlock, m mapping.ID, where string) {
	switch {
	case len(t.asked) == 0:
	case m == mapping.SCTP:
		for _, at := range t.asked {
			r.fail(at, `"tls" is impossible with mapping sctp`,
				`There is no TLS over SCTP: protect it by IPsec between the hosts, and leave tls out; or use mapping = "tcp".`)
		}
	case m == mapping.None:
		r.fail(t.asked[0], `"tls" is impossible with mapping none`, `There is no sidecar at the other end: a server_tls block says how the servers are spoken to. Or use mapping = "tcp", with a pool_element there.`)
	case t.seen == nil:
		r.fail(t.asked[0], `"tls" needs a block of the `+where, `Write: tls { cert = "..." key = "..." ca = "..." allow = ["..."] }, a line each.`)
	case t.TLS != nil:
		r.checkSecrets(t)
	default:
		var missing []string
		for _, name := range tlsNeeds {
			if !given(t.seen, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 { // else what is wrong has been reported
			r.fail(t.at, "A tls block lacks "+quoted(missing), "cert, key and ca are paths of files; allow lists the names of peers.")
		}
	}
}

// checkSecrets reads the files once: what is wrong with them is better known now.
func (r *reader) checkSecrets(t *tlsBlock) {
	if _, err := secure.Load(secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA}); err != nil {
		r.fail(t.at, fmt.Sprintf("tls cannot be used: %v", err), "cert is a certificate with those between it and its authority, key its "+
			"private key, ca the authorities of peers; all are in PEM, and this user must be able to read them.")
		return
	}
	r.keySafe(t.Key, t.seen["key"])
}

// beyond reports whether an address is one that other machines can reach.
func beyond(at netip.AddrPort) bool { return at.IsValid() && !at.Addr().IsLoopback() }

// bareElement is about a pool_element that others reach, without TLS.
func (r *reader) bareElement(e *elementBlock) {
	what := fmt.Sprintf("pool_element %q can be reached from other machines, and there is no TLS", e.Name)
	if r.requireTLS {
		r.fail(e.seen["listen"], "require_tls: "+what, requiredHint)
		return
	}
	r.warn(e.seen["listen"], what, "Whoever reaches this address reaches the server: give it a tls block, or keep it in a network that you trust.")
}

// checkRequired refuses what goes beyond this machine without TLS, if require_tls says so.
func (r *reader) checkRequired() {
	if !r.requireTLS {
		return
	}
	r.checkRequiredEnds()
	for _, p := range r.pools {
		for _, e := range p.written() {
			if p.Mapping != mapping.None && !p.Native && len(p.tls.asked) == 0 && beyond(e.Address) {
				r.fail(e.seen["address"], fmt.Sprintf("require_tls: pool %q goes to other machines without tls", p.Handle), requiredHint)
				break
			}
		}
		if len(p.elements) == 0 && p.Mapping != mapping.None && !p.Native && len(p.tls.asked) == 0 {
			r.fail(p.at, fmt.Sprintf("require_tls: pool %q may go to other machines without tls", p.Handle), requiredHint)
		}
	}
}

const requiredHint = `Give it a tls block; there is none with mapping sctp.`

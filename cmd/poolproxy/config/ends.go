package config

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

// endBlock is a tls block of a pool_user, or a server_tls block, and where it was read.
type endBlock struct {
	*proxy.EndTLS // nil: there is none that could be used
	at            hcl.Range
	asked         []hcl.Range // where something says so, in whatever form
}

const mostServerName = 253 // bytes, of a DNS name

// readClientTLS reads the tls block of a pool_user: how its clients come in.
func (r *reader) readClientTLS(u *userBlock) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		t := &proxy.EndTLS{}
		seen := r.readEnd(&u.tls, t, b, &shape{
			what:       "a tls block of a pool_user",
			attributes: map[string]setter{"cert": r.pem(&t.Cert), "key": r.pem(&t.Key), "ca": r.pem(&t.CA), "allow": r.allow(&t.Allow)},
			required:   []string{"cert", "key"},
			misplaced:  map[string]string{"server_name": "a server_tls block"},
		})
		if at, set := seen["allow"]; set && !given(seen, "ca") {
			r.fail(at, `"allow" needs "ca"`, "Names count where an authority has signed them: write ca = \"/etc/poolproxy/clients.pem\", the authorities of clients.")
			u.tls.EndTLS = nil
		}
	}
}

// readServerTLS reads a server_tls block: how servers are spoken to.
func (r *reader) readServerTLS(dst *endBlock) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		t := &proxy.EndTLS{}
		seen := r.readEnd(dst, t, b, &shape{
			what: "a server_tls block",
			attributes: map[string]setter{"cert": r.pem(&t.Cert), "key": r.pem(&t.Key), "ca": r.pem(&t.CA),
				"server_name": r.serverName(&t.ServerName), "alpn": r.str(&t.ALPN, 255)},
			required:  []string{"ca", "server_name"},
			misplaced: map[string]string{"allow": "a tls block"},
		})
		dst.EndTLS = r.paired(dst.EndTLS, seen)
	}
}

// paired returns t if it has a certificate with its key, or neither; else it reports that, and returns nil.
func (r *reader) paired(t *proxy.EndTLS, seen map[string]hcl.Range) *proxy.EndTLS {
	for _, pair := range [][2]string{{"cert", "key"}, {"key", "cert"}} {
		if at, set := seen[pair[0]]; set && !given(seen, pair[1]) {
			r.fail(at, fmt.Sprintf("%q needs %q", pair[0], pair[1]), "Write both, for a server that asks for a certificate; or none.")
			return nil
		}
	}
	return t
}

// readEnd reads a block of either kind, and the files that it names.
func (r *reader) readEnd(dst *endBlock, t *proxy.EndTLS, b *hclsyntax.Block, s *shape) map[string]hcl.Range {
	before := len(r.diags.Errs())
	dst.at, dst.asked = b.DefRange(), append(dst.asked, b.TypeRange)
	seen := r.block(b, s)
	if len(r.diags.Errs()) > before || (t.Cert == "") != (t.Key == "") {
		return seen
	}
	if _, err := secure.Load(secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA}); err != nil {
		r.fail(dst.at, fmt.Sprintf("%s cannot be used: %v", b.Type, err), "cert is a certificate with those between it and its authority, key its "+
			"private key, ca the authorities of peers; all are in PEM, and this user must be able to read them.")
		return seen
	}
	if t.Key != "" && !r.keySafe(t.Key, seen["key"]) {
		return seen
	}
	dst.EndTLS = t
	return seen
}

// keySafe reports whether a key is not for everybody, and says so if it is.
func (r *reader) keySafe(path string, at hcl.Range) bool {
	_, err := readSecret(path, 1<<20, "who has the key can be this sidecar")
	if err != nil {
		r.fail(at, err.Error(), "Write: chmod o-rwx "+path)
	}
	return err == nil
}

// serverName reads whom a server's certificate must be for.
func (r *reader) serverName(dst *string) setter {
	return func(a *hclsyntax.Attribute) {
		const hint = `Write the name that is in the server's certificate: server_name = "orders.example.org".`
		s, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		_, err := netip.ParseAddr(s)
		if err != nil && (len(s) > mostServerName || secure.CheckName(s) != nil || net.ParseIP(s) != nil || s[0] == '*') {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is neither a DNS name nor an IP address", s), hint)
			return
		}
		*dst = s
	}
}

// checkPoolServerTLS is about a pool that says how its servers are spoken to: that is for whom they are connected to by.
func (r *reader) checkPoolServerTLS(p *poolBlock) {
	for _, at := range p.serverTLS.asked {
		switch {
		case p.broken:
		case p.Native:
			r.fail(at, `"server_tls" is impossible with native elements`, "They speak SCTP, over which there is no TLS: protect it by IPsec between the hosts.")
		case p.Mapping != mapping.None:
			r.fail(at, fmt.Sprintf(`"server_tls" belongs to the pool_elements with mapping %s`, p.Mapping),
				"It is they that connect to the servers: move it there. What goes between the sidecars has a tls block.")
		}
	}
	if p.serverTLS.EndTLS != nil && p.Mapping == mapping.None && !p.Native {
		p.ServerTLS = p.serverTLS.EndTLS
	}
}

// checkRequiredEnds refuses what goes to clients and servers beyond this machine without TLS, if require_tls says so.
func (r *reader) checkRequiredEnds() {
	for _, u := range r.users {
		if beyond(u.Listen) && len(u.tls.asked) == 0 {
			r.fail(u.seen["listen"], fmt.Sprintf("require_tls: pool_user %q can be reached from other machines, and there is no TLS", u.Name),
				"Give it a tls block, or have it listen on 127.0.0.1.")
		}
	}
	for _, e := range r.elements {
		if beyond(e.Server) && len(e.serverTLS.asked) == 0 {
			r.fail(e.seen["server"], fmt.Sprintf("require_tls: the server of pool_element %q may be another machine, and there is no TLS", e.Name),
				"Give it a server_tls block, or have it stand beside its server.")
		}
	}
	for _, p := range r.pools {
		if p.Mapping != mapping.None || p.Native || len(p.serverTLS.asked) > 0 {
			continue
		}
		for _, e := range p.written() {
			if beyond(e.Address) {
				r.fail(e.seen["address"], fmt.Sprintf("require_tls: pool %q goes to servers on other machines without TLS", p.Handle), "Give it a server_tls block.")
				break
			}
		}
		if len(p.elements) == 0 {
			r.fail(p.at, fmt.Sprintf("require_tls: pool %q may go to servers on other machines without TLS", p.Handle), "Give it a server_tls block.")
		}
	}
}

package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// mostUnix bounds the path of a unix socket, in bytes: what sockaddr_un has room for.
const mostUnix = 107

func (r *reader) readAdmin(b *hclsyntax.Block) {
	r.adminAt = b.DefRange()
	a := &r.config.Admin
	t := &proxy.EndTLS{}
	r.admin = r.block(b, &shape{
		what:       "an admin block",
		attributes: map[string]setter{"listen": r.adminListen(a), "token_file": r.tokenFile(&a.TokenFile)},
		once: map[string]func(*hclsyntax.Block){"tls": func(b *hclsyntax.Block) {
			r.readEnd(&r.adminTLS, t, b, &shape{
				what:       "a tls block of the admin API",
				attributes: map[string]setter{"cert": r.pem(&t.Cert), "key": r.pem(&t.Key), "ca": r.pem(&t.CA), "allow": r.allow(&t.Allow)},
				required:   []string{"cert", "key"},
			})
		}},
	})
	a.TLS = r.adminTLS.EndTLS
}

// adminListen reads an address, the path of a unix socket, or "off".
func (r *reader) adminListen(a *proxy.Admin) setter {
	return func(x *hclsyntax.Attribute) {
		const hint = `Write: "127.0.0.1:7878", "unix:/run/poolproxy/admin.sock", or "off".`
		r.adminAt = x.Expr.Range()
		s, ok := r.text(x.Name, x.Expr, hint)
		if !ok {
			return
		}
		path, unix := strings.CutPrefix(s, "unix:")
		switch {
		case unix && (!filepath.IsAbs(path) || len(path) > mostUnix):
			r.fail(x.Expr.Range(), fmt.Sprintf("%q is not the full path of a unix socket", path), fmt.Sprintf("It may have %d bytes. %s", mostUnix, hint))
		case unix:
			a.Listen, a.Unix = netip.AddrPort{}, filepath.Clean(path)
		case s == "off":
			a.Listen = netip.AddrPort{}
		default:
			r.parseAddress(&a.Listen, s, x.Name, x.Expr.Range(), hint, true)
		}
	}
}

// tokenFile reads the path of a file with a token.
func (r *reader) tokenFile(dst *string) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write: %s = "/etc/poolproxy/token"; and make it: umask 077; openssl rand -hex 32 >/etc/poolproxy/token`, a.Name)
		path, ok := r.text(a.Name, a.Expr, hint)
		switch {
		case !ok:
		case !filepath.IsAbs(path):
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the full path of a file", path), hint)
		default:
			if _, err := admin.LoadToken(path); err != nil {
				r.fail(a.Expr.Range(), fmt.Sprintf("%q cannot be used: %v", a.Name, err), hint)
				return
			}
			*dst = path
		}
	}
}

// checkAdmin refuses an admin API that others could use without proving who they are.
func (r *reader) checkAdmin() {
	a := &r.config.Admin
	secret, hasToken := r.admin["token_file"]
	block := r.adminTLS.asked
	mutual := a.TLS != nil && a.TLS.CA != ""
	switch {
	case !a.Listen.IsValid() && len(block) > 0:
		r.fail(block[0], `"tls" is for an admin API that listens by TCP`, "A unix socket is for one user of this machine: leave tls out.")
	case !a.On() && hasToken:
		r.fail(secret, `"token_file" has no effect without the admin API`, `Leave it out, or write listen = "127.0.0.1:7878".`)
	case !beyond(a.Listen):
	case !hasToken && !mutual && (len(block) == 0 || a.TLS != nil): // else what is wrong with it was reported
		r.fail(r.adminAt, "The admin API listens beyond loopback, and anybody could use it", "Whoever can, can drain servers and read what goes on: give it a "+
			`token_file, best with tls; or a tls block with ca, for mutual TLS. Else use 127.0.0.1, "unix:/run/poolproxy/admin.sock" or "off".`)
	case len(block) == 0:
		if r.requireTLS {
			r.fail(r.adminAt, "require_tls: the admin API listens beyond loopback without TLS", "Give it a tls block.")
			return
		}
		r.warn(r.adminAt, "The admin API listens beyond loopback without TLS", "Whoever can read what goes by has the token: give it a tls block, or keep it in a network that you trust.")
	}
	if at, set := r.adminAllow(); set && !mutual && a.TLS != nil {
		r.fail(at, `"allow" needs "ca"`, "Names count where an authority has signed them.")
	}
}

// adminAllow is where the admin API's tls block has names.
func (r *reader) adminAllow() (at hcl.Range, set bool) {
	return r.adminTLS.at, r.adminTLS.EndTLS != nil && len(r.adminTLS.Allow) > 0
}

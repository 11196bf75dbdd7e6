package main

import (
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

// adminSecrets loads the certificates of the admin API, and has the proxy look after them. Those that are in use are taken, if they are in the
// same files and can still be read. nil: there are none.
func adminSecrets(c *proxy.Config, used *secure.Credentials) (*secure.Credentials, error) {
	t := c.Admin.TLS
	if t == nil {
		return nil, nil
	}
	all, err := secure.Load(secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA})
	if err != nil {
		return nil, fmt.Errorf("admin: tls: %w", err)
	}
	if used != nil && used.Files() == all.Files() {
		all = used
	}
	c.Watched = append(c.Watched, proxy.Watched{Credentials: all})
	return all, nil
}

// gate is what keeps others out of the admin API.
type gate struct {
	tls     *secure.Credentials // nil: it is without TLS
	refused func(reason string) // counts; nil: nobody does
}

// prepare prepares the admin API; instead is one at the same place that ends when this one serves, nil: there is none.
func (g gate) prepare(c proxy.Admin, o admin.Options, instead *admin.Server) (*admin.Server, error) {
	o.Unix, o.Refused = c.Unix, g.refused
	if c.TokenFile != "" {
		token, err := admin.LoadToken(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("admin: token_file: %w", err)
		}
		o.Token = token
	}
	if g.tls != nil {
		o.Mutual = c.TLS.CA != ""
		o.TLS = g.tls.ServerConfig(c.TLS.Allow, g.turnsAway(o.Log))
	}
	return admin.Prepare(c.Listen, o, instead)
}

// turnsAway counts and logs who is not let in by TLS.
func (g gate) turnsAway(log hclog.Logger) func(*secure.Refusal) {
	return func(why *secure.Refusal) {
		if g.refused != nil {
			g.refused(string(why.Reason))
		}
		log.Warn("TLS refused", "reason", why.Reason, "text", why.Err)
	}
}

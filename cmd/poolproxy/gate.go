package main

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

// gate is what the admin API has beside the proxy: its metrics, and what keeps others out.
type gate struct {
	metrics http.Handler
	tls     *secure.Credentials // nil: it is without TLS
	refused func(reason string) // counts; nil: nobody does
}

// adminSecrets loads the certificates of the admin API, and has the proxy look after them. nil: there are none.
func adminSecrets(c *proxy.Config) (*secure.Credentials, error) {
	t := c.Admin.TLS
	if t == nil {
		return nil, nil
	}
	all, err := secure.Load(secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA})
	if err != nil {
		return nil, fmt.Errorf("admin: tls: %w", err)
	}
	c.Watched = append(c.Watched, proxy.Watched{Credentials: all})
	return all, nil
}

// start starts the admin API.
func (g gate) start(c proxy.Admin, o admin.Options) (*admin.Server, error) {
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
	return admin.Start(c.Listen, o)
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

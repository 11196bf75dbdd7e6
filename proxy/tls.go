package proxy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/secure"
)

// TLS is how the associations of one block are secured: TLS 1.3, and both sides show certificates.
type TLS struct {
	Cert, Key, CA string        // paths of files in PEM
	Allow         []string      // names of peers; see secure.CheckName
	Elements      []ElementName // of a pool: who single elements are, in place of Allow
}

// ElementName says who one element of a pool is.
type ElementName struct {
	Element string // its name in the pool
	Allow   []string
}

// of is who may be an element; ok is false if that is whom Allow says.
func (t *TLS) of(element string) (secure.Allow, bool) {
	i := slices.IndexFunc(t.Elements, func(n ElementName) bool { return n.Element == element })
	if i < 0 {
		return nil, false
	}
	return t.Elements[i].Allow, true
}

func (t *TLS) files() secure.Files { return secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA} }

// secrets are the certificates and keys of a process. The map is not changed.
type secrets map[secure.Files]*secure.Credentials

// of are those of a block; nil: it has none.
func (s secrets) of(t *TLS) *secure.Credentials {
	if t == nil {
		return nil
	}
	return s[t.files()]
}

// ofEnd are those of a block towards clients or servers; nil: it has none.
func (s secrets) ofEnd(t *EndTLS) *secure.Credentials {
	if t == nil {
		return nil
	}
	return s[t.files()]
}

// loadSecrets reads what the configuration names. Those that were there before are the same ones; that they can be read, too, is
// seen to. The error names the block.
func loadSecrets(c Config, before secrets) (secrets, error) {
	all := make(secrets)
	var failed error
	add := func(f secure.Files, kind, name string) {
		if failed != nil || all[f] != nil {
			return
		}
		if all[f], failed = secure.Load(f); failed != nil {
			failed = fmt.Errorf("%s %q: tls: %w", kind, name, failed)
		}
		if old := before[f]; old != nil {
			all[f] = old
		}
	}
	each := func(t *TLS, end *EndTLS, kind, name string) {
		if t != nil {
			add(t.files(), kind, name)
		}
		if end != nil {
			add(end.files(), kind, name)
		}
	}
	for _, p := range c.Pools {
		each(p.TLS, p.ServerTLS, "pool", p.Handle)
	}
	for _, u := range c.Users {
		each(nil, u.TLS, "pool_user", u.Name)
	}
	for _, e := range c.Elements {
		each(e.TLS, e.ServerTLS, "pool_element", e.Name)
	}
	return all, failed
}

// tls are the rules of one side.
func (s *Shard) tls(credentials *secure.Credentials, t *TLS, kind, name string) secure.Rules {
	peer := "pool_user"
	if kind == "pool_user" {
		peer = "address"
	}
	return secure.Rules{Credentials: credentials, Allow: t.Allow, Refused: s.refused(kind, kind, name, peer)}
}

// refused counts handshakes that fail, and says so. side is what it is counted under; kind and name are the block, peer is what the other
// one is called.
func (s *Shard) refused(side, kind, name, peer string) secure.Refused {
	return func(from netip.AddrPort, why *secure.Refusal) {
		s.count(tlsRefused, side, name, string(why.Reason))
		level := hclog.Warn
		if why.Reason == secure.Broken || why.Reason == secure.Late { // a load balancer that looks whether somebody listens, too
			level = hclog.Info
		}
		s.log.Log(level, "TLS refused", kind, name, peer, from, "reason", why.Reason, "text", why.Err)
	}
}

// secured is the mapping TCP in TLS as this shard's pool_user dials with it.
func (s *Shard) secured(in *poolBlock, u User) secure.Mapping {
	p := in.config
	rules := s.tls(in.credentials, p.TLS, "pool_user", u.Name)
	rules.At = func(to netip.AddrPort) (secure.Allow, bool) {
		e, ok := in.pool.ElementAt(to)
		if !ok {
			return nil, false
		}
		return p.TLS.of(e.Name)
	}
	return secure.Mapping{Rules: rules}
}

// tlsCaller is a peekable in TLS.
type tlsCaller struct{ *secure.Conn }

func (c tlsCaller) leave() (loop.Accepted, func(loop.Loop, loop.Conn, func(loop.Conn) loop.Handler) loop.Handler) {
	accepted, moved := c.Leave()
	return accepted, moved.Adopt
}

// meetTLS takes up a connection on the first shard, behind its handshake.
func (e *elementSide) meetTLS(conn *secure.Conn) loop.Handler { return e.meetCaller(tlsCaller{conn}) }

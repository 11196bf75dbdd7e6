package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

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

// loadSecrets reads what the configuration names. The error names the block.
func loadSecrets(c Config) (secrets, error) {
	all := make(secrets)
	add := func(t *TLS, kind, name string) (err error) {
		if t != nil && all[t.files()] == nil {
			if all[t.files()], err = secure.Load(t.files()); err != nil {
				err = fmt.Errorf("%s %q: tls: %w", kind, name, err)
			}
		}
		return err
	}
	for _, p := range c.Pools {
		if err := add(p.TLS, "pool", p.Handle); err != nil {
			return nil, err
		}
	}
	for _, e := range c.Elements {
		if err := add(e.TLS, "pool_element", e.Name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// tls are the rules of one side.
func (s *Shard) tls(t *TLS, kind, name string) secure.Rules {
	peer := "pool_user"
	if kind == "pool_user" {
		peer = "address"
	}
	return secure.Rules{Credentials: s.common.secrets[t.files()], Allow: t.Allow,
		Refused: func(from netip.AddrPort, why *secure.Refusal) {
			s.count(tlsRefused, kind, name, string(why.Reason))
			level := hclog.Warn
			if why.Reason == secure.Broken || why.Reason == secure.Late { // a load balancer that looks whether somebody listens, too
				level = hclog.Info
			}
			s.log.Log(level, "TLS refused", kind, name, peer, from, "reason", why.Reason, "text", why.Err)
		}}
}

// secured is the mapping TCP in TLS as this shard's pool_user dials with it.
func (s *Shard) secured(p Pool, u User) secure.Mapping {
	rules := s.tls(p.TLS, "pool_user", u.Name)
	rules.At = func(to netip.AddrPort) (secure.Allow, bool) {
		e, ok := s.common.pools[p.Handle].ElementAt(to)
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

// renewEvery is how often the files of certificates are looked at.
const renewEvery = 5 * time.Second

// renewal looks for other certificates. Those who shake hands from then on see them; associations go on.
type renewal struct {
	secrets secrets
	log     hclog.Logger
	now     chan struct{} // has it look at once
	stop    chan struct{}
	running sync.WaitGroup
	said    map[secure.Files]string // the last error of each; its goroutine only
}

// renew begins to look, if there are certificates.
func renew(s secrets, log hclog.Logger) *renewal {
	if len(s) == 0 {
		return nil
	}
	r := &renewal{secrets: s, log: log, now: make(chan struct{}, 1), stop: make(chan struct{}), said: make(map[secure.Files]string)}
	r.running.Add(1)
	go r.run()
	return r
}

// run looks now and then. It ends with close, which waits for it.
func (r *renewal) run() {
	defer r.running.Done()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.now:
		case <-r.stop:
			return
		}
		r.look()
	}
}

// soon has it look without waiting for its time.
func (r *renewal) soon() {
	if r == nil {
		return
	}
	select {
	case r.now <- struct{}{}:
	default: // it is about to
	}
}

func (r *renewal) look() {
	for f := range r.secrets {
		changed, err := r.secrets[f].Refresh()
		switch {
		case err != nil && r.said[f] != err.Error():
			r.said[f] = err.Error()
			r.log.Warn("certificate not read again: the one before stays in use", "cert", f.Cert, "until", r.secrets[f].Expires(), "reason", err)
		case err == nil:
			delete(r.said, f)
			if changed {
				r.log.Info("certificate read again: handshakes from now on have it", "cert", f.Cert, "until", r.secrets[f].Expires())
			}
		}
	}
}

func (r *renewal) close() {
	if r != nil {
		close(r.stop)
		r.running.Wait()
	}
}

package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/etcd"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/secure"
)

const (
	mostPassword = 1024 // bytes of a file with a password
	mostPrefix   = 255  // bytes
)

// etcdKind is source "etcd".
type etcdKind struct {
	c   etcd.Config
	tls endBlock
}

func newEtcdKind() *etcdKind {
	return &etcdKind{c: etcd.Config{Prefix: etcd.DefaultPrefix, Lease: etcd.DefaultLease, Timeout: etcd.DefaultTimeout}}
}

func (e *etcdKind) shape(r *reader) *shape {
	return &shape{
		what: "an etcd source",
		attributes: map[string]setter{
			"endpoints":     r.endpoints(&e.c.Endpoints),
			"prefix":        r.str(&e.c.Prefix, mostPrefix),
			"lease":         r.duration(&e.c.Lease, etcd.LeastLease, time.Hour),
			"timeout":       r.duration(&e.c.Timeout, 100*time.Millisecond, 10*time.Second),
			"username":      r.str(&e.c.Username, 255),
			"password_file": r.password(&e.c.Password),
		},
		required: []string{"endpoints"},
		once:     map[string]func(*hclsyntax.Block){"tls": e.readTLS(r)},
	}
}

// readTLS reads how the members are spoken to.
func (e *etcdKind) readTLS(r *reader) func(*hclsyntax.Block) {
	return func(b *hclsyntax.Block) {
		t := &proxy.EndTLS{}
		seen := r.readEnd(&e.tls, t, b, &shape{
			what:       "a tls block of an etcd source",
			attributes: map[string]setter{"cert": r.pem(&t.Cert), "key": r.pem(&t.Key), "ca": r.pem(&t.CA), "server_name": r.serverName(&t.ServerName)},
			required:   []string{"ca"},
		})
		e.tls.EndTLS = r.paired(e.tls.EndTLS, seen)
	}
}

// secured has etcd spoken to in TLS, by what is in the files then.
func (e *etcdKind) secured(r *reader) error {
	t := e.tls.EndTLS
	if t == nil {
		return nil
	}
	all, err := secure.Load(secure.Files{Cert: t.Cert, Key: t.Key, CA: t.CA})
	if err != nil {
		return err
	}
	r.config.Watched = append(r.config.Watched, proxy.Watched{Credentials: all})
	e.c.TLS = &etcd.TLS{Config: all.ClientConfig, ServerName: t.ServerName}
	return nil
}

func (e *etcdKind) made(r *reader, s *sourceBlock) pool.Source {
	before := len(r.diags.Errs())
	if e.c.Lease%time.Second != 0 {
		r.fail(s.seen["lease"], `"lease" must be in whole seconds`, "etcd knows nothing shorter.")
	}
	if e.c.Lease <= 2*e.c.Timeout {
		at, set := s.seen["timeout"]
		if !set {
			at = s.seen["lease"]
		}
		r.fail(at, fmt.Sprintf("lease (%s) must be longer than twice timeout (%s)", durationText(e.c.Lease), durationText(e.c.Timeout)),
			"Else a member that is silent lets it end: another one is asked only after the timeout.")
	}
	if least := etcd.CheckEvery + 2*e.c.Timeout; s.stale <= least {
		r.fail(s.seen["stale_after"], fmt.Sprintf("stale_after (%s) must be longer than %s", durationText(s.stale), durationText(least)),
			fmt.Sprintf("etcd is asked every %s, and may take twice timeout: else there would be an alarm while all is well.", durationText(etcd.CheckEvery)))
	}
	user, hasUser := s.seen["username"]
	file, hasFile := s.seen["password_file"]
	if hasUser && !hasFile {
		r.fail(user, `"username" needs "password_file"`, `Write: password_file = "/path/to/PASSWORD".`)
	} else if hasFile && !hasUser {
		r.fail(file, `"password_file" needs "username"`, `Write: username = "...".`)
	}
	if len(r.diags.Errs()) > before {
		return nil
	}
	s.digest = withFile(s.digest, e.c.Password)
	if err := e.secured(r); err != nil {
		r.fail(e.tls.at, fmt.Sprintf("tls cannot be used: %v", err), "Its files have just changed: try again.")
		return nil
	}
	source, err := etcd.New(e.c)
	if err != nil {
		at, set := s.seen["prefix"]
		if !set {
			at = s.at
		}
		r.fail(at, fmt.Sprintf("Source %q cannot be", s.name), fmt.Sprintf(`Write: prefix = "/poolproxy". (%v)`, err))
		return nil
	}
	return source
}

func (e *etcdKind) poolOf(*reader, *poolBlock, hcl.Range) {}

// endpoints reads the addresses of the members of an etcd cluster. Names are looked up when they are connected to, each time.
func (r *reader) endpoints(dst *[]string) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write all members of one cluster: %s = ["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"].`, a.Name)
		items, ok := r.some(a, etcd.MostEndpoints, hint)
		if !ok {
			return
		}
		var all []string
		for _, item := range items {
			s, ok := r.text(a.Name, item, hint)
			if !ok {
				return
			}
			if err := etcd.CheckEndpoint(s); err != nil {
				r.fail(item.Range(), fmt.Sprintf("%q has something that is no member's address", a.Name), fmt.Sprintf("%s (%v)", hint, err))
				return
			}
			if slices.Contains(all, s) {
				r.fail(item.Range(), fmt.Sprintf("%q has %s twice", a.Name, s), "Leave one out.")
				return
			}
			all = append(all, s)
		}
		*dst = all
	}
}

// password reads a password from the file that is named.
func (r *reader) password(dst *string) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf(`Write: %s = "/path/to/PASSWORD"; chmod 600 PASSWORD.`, a.Name)
		path, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		if !filepath.IsAbs(path) {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the full path of a file", path), hint)
			return
		}
		secret, err := readSecret(path, mostPassword, "who has the password can change the pools")
		if err == nil {
			if secret = withoutLineEnd(secret, 0); len(secret) == 0 {
				err = fmt.Errorf("%s is empty", path)
			}
		}
		if err != nil {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q cannot be used: %v", a.Name, err), hint)
			return
		}
		*dst = string(secret)
	}
}

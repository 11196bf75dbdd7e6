// Package etcd is the distributed handlespace: pools whose elements register themselves in etcd, under leases, and are followed there by
// all pool users. It is a pool.Source, pool.Registry, pool.Reporter and pool.Refresher.
//
// It is the only one that knows etcd's client. Nothing here is needed for a session to go on: while etcd cannot be reached, whoever
// follows a pool keeps what was known last, and whoever is registered tries until it is again.
package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// Config is what a Source is made of.
type Config struct {
	Endpoints []string      // "host:port" of the members of one cluster, at least one; all of them, so that it may be any that is down
	Prefix    string        // of all keys, beginning with a slash; "": DefaultPrefix
	Lease     time.Duration // an element is gone within that when its registrant has died, in whole seconds, at least LeastLease; 0: DefaultLease
	Timeout   time.Duration // how long one member may take for one answer; a second one is asked then. 0: DefaultTimeout

	Username, Password string // both or none

	TLS *TLS // nil: without
}

// What holds where the configuration says nothing, and the bounds of it.
const (
	DefaultPrefix  = "/poolproxy"
	DefaultLease   = 10 * time.Second
	DefaultTimeout = 2 * time.Second
	LeastLease     = 3 * time.Second
	MostEndpoints  = 16
)

const (
	// CheckEvery is how often it is made sure that a pool is what is known of it, while nothing is heard of changes. So long may the
	// pool's age become, and a little more, while all is well.
	CheckEvery = 5 * time.Second

	// MaxElements is how many entries of one pool are taken from etcd. If there are more, that is an error.
	MaxElements = 4096
)

// Source is the handlespace in one etcd cluster. It is connected while somebody follows a pool or is registered.
type Source struct {
	c        Config
	instance string             // of this process, in what it writes
	ctx      context.Context    // done: Close was called
	cancel   context.CancelFunc // of ctx
	running  sync.WaitGroup     // the goroutines

	mu        sync.Mutex
	conn      *connection            // guarded by mu; nil: not connected
	making    *attempt               // guarded by mu; nil: nobody is connecting
	users     int                    // guarded by mu: of the connection
	followers map[string][]*follower // guarded by mu: by the pool handle
	queue     []report               // guarded by mu: not yet sent
	recent    map[report]time.Time   // guarded by mu: when it was queued
	reporting bool                   // guarded by mu: a goroutine sends them
}

var (
	_ pool.Source    = (*Source)(nil)
	_ pool.Registry  = (*Source)(nil)
	_ pool.Reporter  = (*Source)(nil)
	_ pool.Refresher = (*Source)(nil)
)

// New returns a Source, and connects to nobody yet. The error is that of a configuration which can never work.
func New(c Config) (*Source, error) {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	orElse(&c.Lease, DefaultLease)
	orElse(&c.Timeout, DefaultTimeout)
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	s := &Source{c: c, instance: rand.Text(), followers: make(map[string][]*follower), recent: make(map[report]time.Time)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}

func (c *Config) check() error {
	if len(c.Endpoints) == 0 || len(c.Endpoints) > MostEndpoints {
		return fmt.Errorf("there are %d endpoints, not 1 to %d", len(c.Endpoints), MostEndpoints)
	}
	for _, e := range c.Endpoints {
		if err := CheckEndpoint(e); err != nil {
			return err
		}
	}
	switch {
	case !strings.HasPrefix(c.Prefix, "/") || len(c.Prefix) > mostName || checkName("the prefix", c.Prefix) != nil:
		return fmt.Errorf("the prefix %.300q is not one line of text that begins with a slash, of at most %d bytes", c.Prefix, mostName)
	case c.Lease < LeastLease || c.Lease%time.Second != 0:
		return fmt.Errorf("the lease %v is not in whole seconds, or shorter than %v", c.Lease, LeastLease)
	case (c.Username == "") != (c.Password == ""):
		return errors.New("a user name needs a password, and a password a user name")
	}
	return nil
}

// CheckEndpoint tells why something is not the endpoint of a member, "host:port"; nil: it is.
func CheckEndpoint(e string) error {
	switch host, port, err := net.SplitHostPort(e); {
	case strings.HasPrefix(e, "https:"):
		return fmt.Errorf("%q is not host:port: leave https:// out, a tls block says so", e)
	case strings.Contains(e, "/"):
		return fmt.Errorf("%q is not host:port: leave out what is no part of that", e)
	case err != nil || host == "" || strings.ContainsAny(host, " @%?#"):
		return fmt.Errorf("%q is not host:port", e)
	default:
		if n, err := net.LookupPort("tcp", port); err != nil || n == 0 || port[0] < '0' || port[0] > '9' {
			return fmt.Errorf("%q has no port from 1 to 65535", e)
		}
		return nil
	}
}

// Close ends all that is under way, as stopping every follower does, and waits for it. What is registered stays until its lease ends: to
// have it gone at once, deregister it before. Nothing of the Source is to be used afterwards.
func (s *Source) Close() {
	s.mu.Lock()
	s.cancel() // nobody begins to connect or to report behind this
	s.mu.Unlock()
	s.running.Wait()
	s.mu.Lock()
	last := s.conn
	s.conn = nil
	s.mu.Unlock()
	last.close()
}

// Follow tells of the pool's elements (pool.Source).
func (s *Source) Follow(handle string, told func(pool.News)) (stop func()) {
	if err := checkName("the pool handle", handle); err != nil { // it will never be known
		told(pool.News{Err: fmt.Errorf("etcd: %w", err)})
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	f := newFollower(ctx, s, handle, told)
	s.mu.Lock()
	s.followers[handle] = append(s.followers[handle], f)
	s.mu.Unlock()
	s.running.Go(f.run)
	return func() { cancel(); <-f.ended }
}

// Register registers an element (pool.Registry).
func (s *Source) Register(r pool.Registration, told func(error)) (pool.Registered, error) {
	reg, err := newRegistration(s, r, told)
	if err != nil {
		return nil, err
	}
	s.running.Go(reg.run)
	return reg, nil
}

// Refresh asks for the pool's elements now (pool.Refresher). If nobody follows the pool, it only finds out whether they can be known.
func (s *Source) Refresh(ctx context.Context, handle string) error {
	if err := checkName("the pool handle", handle); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	s.mu.Lock()
	followers := append([]*follower(nil), s.followers[handle]...)
	s.mu.Unlock()
	if len(followers) == 0 {
		s.hold()
		defer s.release()
		return s.list(ctx, poolDir(s.c.Prefix, handle)+elementsDir, func(entry) {}).err
	}
	for _, f := range followers {
		if err := f.refresh(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Package dns is DNS both ways: a source of pools (pool.Source) whose elements DNS knows, as A and AAAA or as SRV records, and an
// answerer, by which unmodified programs ask for a pool's element as they ask for any host.
//
// It is the only one that knows the DNS library. What is asked and answered goes over sockets and goroutines of its own, not over the
// loops: a look-up is seldom, and may take seconds.
package dns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/pool"
)

// Config is what a Source is made of.
type Config struct {
	// Servers are asked in this order, each twice at most, until one knows. Recursive ones and authoritative ones will do. nil: those of
	// /etc/resolv.conf, as it is at the beginning of each look-up.
	Servers []netip.AddrPort

	Name string // of the records; {pool} in it stands for the pool handle
	Port uint16 // of the elements, with A and AAAA records; 0: SRV records tell it

	Least   time.Duration // an answer is not asked for again before that, whatever its TTL; 0: 1 s
	Most    time.Duration // it is asked for again by then, whatever its TTL; 0: 1 min
	Timeout time.Duration // how long one server may take for one answer; 0: 2 s

	// Empty is how long DNS must have said, each time it was asked, that there are no such records, until it is believed and the pool is
	// empty. Until then that counts as a failure to know: name servers that have just begun say the same. 0: it is never believed. That
	// costs little: elements that are not there take no sessions.
	Empty time.Duration
}

// What holds where the configuration says nothing.
const (
	DefaultLeast   = time.Second
	DefaultMost    = time.Minute
	DefaultTimeout = 2 * time.Second
)

// MaxElements is how many elements of one pool are taken from DNS. If there are more, that is an error.
const MaxElements = 4096

// ErrNone is that DNS knows of no such records. It wraps pool.ErrEmptyPool: who asks for a pool of which nothing else is known is not told
// that the name servers do not answer.
var ErrNone = fmt.Errorf("there are no such records: %w", pool.ErrEmptyPool)

// Source is a pool.Source over DNS. Elements are called by their addresses, since DNS does not name them. Of SRV records the priority
// is turned round (RFC 2782: the smallest number first; RFC 5356: the largest), the weight is as it stands.
type Source struct {
	c Config
}

var _ pool.Source = (*Source)(nil)

// New returns a Source. The error is that of a name which cannot be one, whatever the pool handle.
func New(c Config) (*Source, error) {
	s := &Source{c}
	if name, err := s.Name("p"); err != nil {
		return nil, err
	} else if strings.ContainsAny(name, "{}") || c.Name == "" {
		return nil, fmt.Errorf("dns: %q is no name: only {pool} may stand in it", c.Name)
	}
	orElse(&s.c.Least, DefaultLeast)
	orElse(&s.c.Most, max(DefaultMost, s.c.Least))
	orElse(&s.c.Timeout, DefaultTimeout)
	return s, nil
}

// Name is the name that is asked for a pool. The error is that of a pool handle which makes none.
func (s *Source) Name(handle string) (string, error) {
	name := wire.Fqdn(strings.ReplaceAll(s.c.Name, "{pool}", handle))
	if _, ok := wire.IsDomainName(name); !ok || strings.ContainsFunc(name, unicode.IsSpace) {
		return name, fmt.Errorf("dns: %q is no domain name", name)
	}
	return name, nil
}

func orElse(d *time.Duration, otherwise time.Duration) {
	if *d <= 0 {
		*d = otherwise
	}
}

// Follow asks for the pool's elements, and again when the answer has become old (pool.Source).
func (s *Source) Follow(handle string, told func(pool.News)) (stop func()) {
	name, err := s.Name(handle)
	if err != nil { // it will never be known
		told(pool.News{Err: err})
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{c: s.c, name: name, told: told, ctx: ctx, ended: make(chan struct{})}
	go f.run()
	return func() { cancel(); <-f.ended }
}

// Look asks once. It returns the elements in the order of their addresses, and how long the answer is good for by its TTL, which the
// bounds of Config do not change here. ErrNone is wrapped where that is what DNS says; then ttl is how long it says so for.
func (s *Source) Look(ctx context.Context, handle string) (elements []pool.Element, ttl time.Duration, err error) {
	name, err := s.Name(handle)
	if err != nil {
		return nil, 0, err
	}
	return look(ctx, &s.c, name)
}

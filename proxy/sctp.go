package proxy

import (
	"fmt"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// Supported tells whether this machine can run the configuration. The error names the block that it cannot, and what to do; it wraps
// mapping.ErrNoSCTP where the kernel has no SCTP.
func Supported(c Config) error {
	for _, e := range c.Elements {
		if e.Mapping == mapping.SCTP {
			if err := e.sctp().Supported(); err != nil {
				return fmt.Errorf("pool_element %q: %w", e.Name, err)
			}
		}
	}
	for _, u := range c.Users {
		if p, ok := c.pool(u.Pool); ok && p.Mapping == mapping.SCTP {
			if err := p.sctp(u, nil).Supported(); err != nil {
				return fmt.Errorf("pool %q: %w", p.Handle, err)
			}
		}
	}
	return nil
}

// pool finds a pool by its handle.
func (c Config) pool(handle string) (Pool, bool) {
	for _, p := range c.Pools {
		if p.Handle == handle {
			return p, true
		}
	}
	return Pool{}, false
}

// sctp is the mapping SCTP as a pool_user dials with it. Further addresses of elements are those that the pool knows when it dials: a source
// may name elements later, and the same ones with other addresses.
func (p Pool) sctp(u User, elements *pool.Pool) mapping.SCTPMapping {
	m := mapping.SCTPMapping{Native: p.Native, Local: u.Local, UDPPort: p.UDPPort}
	if elements != nil {
		m.Peer = elements.Paths
	}
	return m
}

// sctp is the mapping SCTP as this shard's pool_user dials with it.
func (s *Shard) sctp(p Pool, u User, elements *pool.Pool) mapping.SCTPMapping {
	return s.watched(p.sctp(u, elements), "pool_user", u.Name)
}

// sctp is the mapping SCTP as the pool_element listens with it.
func (e Element) sctp() mapping.SCTPMapping {
	return mapping.SCTPMapping{Native: e.Native, Local: e.Paths, UDPPort: e.UDPPort}
}

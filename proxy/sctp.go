package proxy

import (
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/mapping"
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
			if err := p.sctp(u).Supported(); err != nil {
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

// sctp is the mapping SCTP as a pool_user dials with it.
func (p Pool) sctp(u User) mapping.SCTPMapping {
	paths := make(map[netip.AddrPort][]netip.Addr)
	for _, e := range p.Elements {
		paths[e.Address] = e.Paths
	}
	return mapping.SCTPMapping{Native: p.Native, Local: u.Local, UDPPort: p.UDPPort, Peer: func(to netip.AddrPort) []netip.Addr { return paths[to] }}
}

// sctp is the mapping SCTP as the pool_element listens with it.
func (e Element) sctp() mapping.SCTPMapping {
	return mapping.SCTPMapping{Native: e.Native, Local: e.Paths, UDPPort: e.UDPPort}
}

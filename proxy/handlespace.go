package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// deregisterTime is how long a proxy that stops takes to tell others that what was registered with it is gone. It does so also if its
// sessions get no time at all: else others would send theirs to it until the leases end.
const deregisterTime = 2 * time.Second

// registers gives pools without a source one of this process, by which elements can be registered in them, too. The configuration is not
// changed.
func registers(c Config, local *pool.Local) Config {
	c.Pools = slices.Clone(c.Pools)
	for i := range c.Pools {
		if p := &c.Pools[i]; p.Source == nil {
			if !local.Has(p.Handle) {
				local.Set(p.Handle, p.Policy, p.Elements)
			}
			p.Source = local
		}
	}
	return c
}

// newHandlespace makes a handlespace of the pools. The shards feed them.
func (p *Proxy) newHandlespace() *handlespace.Handlespace {
	h := handlespace.New(time.Now)
	for _, b := range p.common.now.Load().pools {
		p.share(h, b)
	}
	return h
}

// share makes a pool known to the handlespace.
func (p *Proxy) share(h *handlespace.Handlespace, b *poolBlock) {
	x := b.config
	h.Share(handlespace.Pool{
		Pool: b.pool, Mapping: x.Mapping.String(), Source: x.Source, SourceName: x.SourceName,
		Refuses: func(e pool.Element) error {
			if e.Mapping == mapping.None.String() && usersOf(x.Handle, p.common.now.Load().config.Users)(e) {
				return fmt.Errorf("a pool_user of pool %q listens on %v, and would connect to itself: write the server's own address", x.Handle, e.Address)
			}
			return nil
		},
		Learned: func() { p.runners[0].do(func() {}) }, // news are posted to the first shard, one after another
	})
}

// Handlespace is the service primitives of nameservice mode over the proxy's pools. It is closed when the proxy stops.
func (p *Proxy) Handlespace() *handlespace.Handlespace { return p.handlespace }

// deregister takes what was registered with the proxy out of its pools.
func (p *Proxy) deregister() {
	ctx, cancel := context.WithTimeout(context.Background(), deregisterTime)
	defer cancel()
	if err := p.handlespace.Close(ctx); err != nil {
		p.log.Warn("not all elements that were registered here could be deregistered", "error", err)
	}
}

package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A running proxy takes another configuration as far as nothing but the elements of static pools is different. What is running
// is changed as news of a source would: sessions stay where they are, and new ones go where the pool says.

// ErrStopped is that of a proxy that has been stopped.
var ErrStopped = errors.New("proxy: it has been stopped")

// RestartError says why a proxy does not take a configuration: not while it runs.
type RestartError struct {
	Differences []string // one a line, for people
}

func (e *RestartError) Error() string {
	more := ""
	if n := len(e.Differences); n > 1 {
		more = fmt.Sprintf(" (and %d more)", n-1)
	}
	return "needs a restart: " + e.Differences[0] + more
}

// ReloadStatus is what became of the wishes to read the configuration again.
type ReloadStatus struct {
	Done   *time.Time `json:"done"`   // when what was read was last taken; nil: not since the start
	Failed *time.Time `json:"failed"` // when it last was not; nil: never
	Error  string     `json:"error"`  // why the last one failed; "": it did not
}

// Reload has the proxy go on with another configuration, which must be a checked one, and returns how many pools have changed.
// It is all or nothing: on an error everything is as before. The errors are *RestartError and ErrStopped. Sources, protocols and callbacks
// of c are compared, but not used. It may be called from any goroutine.
func (p *Proxy) Reload(c Config) (pools int, err error) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	p.renewal.soon()
	changes := diff(p.config, c)
	var refused []string
	for _, x := range changes {
		if x.pool == nil {
			refused = append(refused, x.String())
		}
	}
	if len(refused) > 0 {
		return 0, &RestartError{refused}
	}
	next := p.config
	next.Pools = slices.Clone(p.config.Pools)
	for _, x := range changes {
		i := slices.IndexFunc(next.Pools, func(p Pool) bool { return p.Handle == x.pool.handle })
		next.Pools[i].Elements = x.pool.elements
	}
	if !p.runners[0].do(func() { p.runners[0].shard.reload(next, changes) }) {
		return 0, ErrStopped
	}
	for _, x := range changes {
		c, _ := next.pool(x.pool.handle)
		p.local.Set(c.Handle, c.Policy, c.Elements)
	}
	p.runners[0].do(func() {}) // what that source has told has come before this
	p.config = next
	return len(changes), nil
}

// reload prepares for what the source of static pools is about to tell; it is run on the first shard. c belongs to all shards from now on,
// and is not changed by any.
func (s *Shard) reload(c Config, changes []change) {
	s.config = c
	s.onOthers(func(s *Shard) { s.config = c })
	for _, x := range changes {
		for _, f := range s.feeds {
			f.reloaded = f.reloaded || f.config.Handle == x.pool.handle
		}
	}
}

package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// A running proxy takes another configuration as a whole or not at all. First everything is made that may fail: files are read, addresses are
// listened on, sides are built on all shards. Only then the shards go over to it, each in one turn, in which nothing can fail (shift). Sessions
// stay with the sides that they began with, and go on by what was configured then.

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

// Reload has the proxy go on with another configuration, which must be a checked one, and returns what is different, one line each, without
// secrets. It is all or nothing: on an error everything is as before. The errors are *RestartError, ErrStopped, ErrReplaced, and those of addresses that
// cannot be listened on and of files that cannot be read. What it does not run itself (Log, Admin, DNS, Metrics) it compares, and leaves to its
// caller. Of sources, protocols and callbacks of c those are used that are other ones than before. It may be called from any goroutine.
func (p *Proxy) Reload(c Config) (changes []string, err error) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	if p.left {
		return nil, ErrReplaced
	}
	was := p.common.now.Load()
	c = keepSources(was.config, c)
	found := diff(was.config, c)
	if refused := p.restarts(found, c); len(refused) > 0 {
		return nil, &RestartError{refused}
	}
	if err := Supported(c); err != nil {
		return nil, err
	}
	next, known, err := p.follows(was, c)
	if err == nil && len(found) > 0 {
		if err = p.shift(was, next, found); err != nil {
			next.release()
		}
	}
	if err != nil {
		for _, handle := range known {
			p.local.Forget(handle)
		}
		return nil, err
	}
	p.renewal.set(next.secrets, c.Watched)
	for _, x := range found {
		changes = append(changes, x.String())
	}
	return changes, nil
}

// restarts lists what cannot be changed while the process runs.
func (p *Proxy) restarts(found []change, c Config) (refused []string) {
	for _, x := range found {
		if x.restart {
			line := x.String()
			if x.field != "Limits" { // the shards are handed over as they are
				line += " (poolproxy upgrade does that)"
			}
			refused = append(refused, line)
		}
	}
	if n := len(p.runners); n > c.Limits.MostShards() && len(refused) == 0 {
		refused = append(refused, fmt.Sprintf("limits.memory changed to %d, which is too little for the %d shards that run", c.Limits.Memory, n))
	}
	return refused
}

// follows makes the next layout. known are the pools that the process's own source has got to know for that.
func (p *Proxy) follows(was *layout, c Config) (next *layout, known []string, err error) {
	for _, x := range c.Pools {
		if x.Source == nil && !p.local.Has(x.Handle) {
			known = append(known, x.Handle)
		}
	}
	next, err = p.common.layout(was, registers(c, p.local))
	return next, known, err
}

// shift has all shards go over to another layout. The first one prepares last and commits first: when it lets somebody in, the others
// know to whom; and what they were given before comes before they commit.
func (p *Proxy) shift(was, next *layout, found []change) (err error) {
	others := p.runners[1:]
	for i, r := range others {
		if !r.do(func() { _, err = r.shard.prepare(next) }) {
			err = ErrStopped
		}
		if err != nil {
			undo(others[:i])
			return err
		}
	}
	first := p.runners[0]
	if !first.do(func() { err = p.shiftFirst(first.shard, was, next, found) }) {
		err = ErrStopped
	}
	if err != nil {
		undo(others)
		return err
	}
	for _, r := range others {
		r.do(func() { r.shard.shift.commit() })
	}
	for _, b := range next.elements {
		b.before = nil // all sides have taken over
	}
	first.do(func() {}) // what the process's own source has told has come before this
	for handle, b := range next.pools {
		if was.pools[handle] == nil || was.pools[handle].pool != b.pool || was.pools[handle].config.Source != b.config.Source {
			p.share(p.handlespace, b)
		}
	}
	for handle := range was.pools {
		if next.pools[handle] == nil {
			p.handlespace.Withdraw(handle)
		}
	}
	return nil
}

// shiftFirst is the first shard's part; it runs on its goroutine.
func (p *Proxy) shiftFirst(s *Shard, was, next *layout, found []change) error {
	t, err := s.prepare(next)
	if err != nil {
		return err
	}
	p.tellLocal(was, next)
	t.commit()
	p.common.now.Store(next)
	for _, f := range s.feeds {
		f.reloaded = f.reloaded || slices.ContainsFunc(found, func(c change) bool { return c.pool != nil && c.pool.handle == f.config.Handle })
	}
	return nil
}

// undo has shards forget what they have prepared.
func undo(shards []*shardRunner) {
	for _, r := range shards {
		r.do(func() { r.shard.shift.undo() })
	}
}

// tellLocal tells the process's own source which static pools there are, and what is in them.
func (p *Proxy) tellLocal(was, next *layout) {
	own := func(b *poolBlock) bool { return b != nil && b.config.Source == pool.Source(p.local) }
	for handle, b := range next.pools {
		if !own(b) {
			continue
		}
		old := was.pools[handle]
		if !own(old) || old.config.Policy != b.config.Policy || old.pool != b.pool || !sameElements(old.config, b.config) {
			p.local.Set(handle, b.config.Policy, b.config.Elements)
		}
	}
	for handle, b := range was.pools {
		if own(b) && !own(next.pools[handle]) {
			p.local.Forget(handle)
		}
	}
}

// sameElements reports whether two pools have the same elements in the same order.
func sameElements(a, b Pool) bool {
	return slices.EqualFunc(a.Elements, b.Elements, func(x, y pool.Element) bool { return x.Name == y.Name && !x.Elsewhere(y) && sameValues(x, y) })
}

func sameValues(x, y pool.Element) bool {
	return x.Mapping == y.Mapping && x.Priority == y.Priority && x.Weight == y.Weight && x.Load == y.Load && x.Degradation == y.Degradation
}

// keepSources has a configuration use the sources and registries that are in use already, where they are the same: what is known, and who is
// registered, is theirs.
func keepSources(old, c Config) Config {
	type key struct{ name, digest string }
	known := make(map[key]any)
	for _, p := range old.Pools {
		if p.SourceName != "" {
			known[key{p.SourceName, p.SourceDigest}] = p.Source
		}
	}
	for _, e := range old.Elements {
		for _, r := range e.Register {
			known[key{r.SourceName, r.SourceDigest}] = r.Registry
		}
	}
	c.Pools, c.Elements = slices.Clone(c.Pools), slices.Clone(c.Elements)
	for i := range c.Pools {
		x := &c.Pools[i]
		if s, is := known[key{x.SourceName, x.SourceDigest}].(pool.Source); is && x.SourceName != "" {
			x.Source = s
		}
	}
	for i := range c.Elements {
		x := &c.Elements[i]
		x.Register = slices.Clone(x.Register)
		for k := range x.Register {
			r := &x.Register[k]
			if s, is := known[key{r.SourceName, r.SourceDigest}].(pool.Registry); is {
				r.Registry = s
			}
		}
	}
	return c
}

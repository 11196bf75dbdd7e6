package proxy

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// feed brings what a source says of a pool to the shards. It belongs to the first shard's goroutine; the source has its own, and posts.
type feed struct {
	shard   *Shard // the first
	config  Pool
	pool    *pool.Pool
	stop    func()
	old     loop.Timer // runs out when what is known has become too old
	failing bool       // it was said that the source fails
	looped  bool       // it was said that it names ourselves
	differs bool       // it was said that it has another policy for the pool
	alarm   bool

	mu      sync.Mutex
	waiting []pool.News // guarded by mu: what the source has said and the shard has not heard: at most an answer, and a failure behind it

	over   bool          // it is followed no more
	before *feed         // of the same pool, which is to end first
	ended  func()        // what runs then; nil: nobody waits for that
	gone   chan struct{} // closed then; nil: likewise

	reloaded bool // what comes next is of a configuration that was read again: policy values are worth a line, too
}

// follow has the sources of all pools followed, as the layout has them.
func (s *Shard) follow() {
	old := s.feeds
	s.feeds = nil
	for _, c := range s.config.Pools {
		if c.Source == nil {
			continue
		}
		b := s.layout.pools[c.Handle]
		b.pool.SetPolicy(c.Policy)
		i := slices.IndexFunc(old, func(f *feed) bool { return f.pool == b.pool && f.config.Source == c.Source })
		if i >= 0 {
			s.feeds = append(s.feeds, old[i])
			old[i].goOn(c)
			old = slices.Delete(old, i, i+1)
			continue
		}
		f := &feed{shard: s, config: c, pool: b.pool}
		f.old.Func = f.stale
		if j := slices.IndexFunc(old, func(f *feed) bool { return f.pool == b.pool }); j >= 0 {
			f.before = old[j]
		}
		s.feeds = append(s.feeds, f)
	}
	for _, f := range s.feeds {
		if f.stop == nil && f.before != nil {
			f.wait()
		}
	}
	for _, f := range old {
		f.end()
	}
	for _, f := range s.feeds {
		if f.stop == nil {
			f.begin()
		}
	}
}

// begin follows the source.
func (f *feed) begin() {
	f.fresh()
	f.stop = f.pool.Follow(f.shard.loop.Now(), f.config.Source, f.told)
}

// wait has it begin as soon as the one before is not followed any more: what the pool wants to be told, it tells the one that it follows last.
func (f *feed) wait() {
	was := f.before
	f.before, was.gone = nil, make(chan struct{})
	f.stop = func() { <-was.gone }
	was.ended = func() {
		if !f.over {
			f.begin()
		}
	}
}

// goOn is with the same source, and perhaps with other settings of the pool.
func (f *feed) goOn(c Pool) {
	stale := f.config.Stale
	f.config = c
	if stale != c.Stale {
		f.shard.loop.Cancel(&f.old)
		f.fresh()
	}
}

// end follows it no more while the process goes on. The source may take a moment for that.
func (f *feed) end() {
	f.over = true
	f.shard.loop.Cancel(&f.old)
	if f.shard.virtual {
		f.stop()
		if f.gone != nil {
			close(f.gone)
		}
		f.left()
		return
	}
	f.shard.calls.Add(1)
	go f.leave()
}

// leave is the goroutine that ends what a source does for a feed. It ends with that; Shard.Close waits for it, but not for ever.
func (f *feed) leave() {
	defer f.shard.calls.Done()
	f.stop()
	if f.gone != nil {
		close(f.gone)
	}
	f.shard.loop.Post(f.left)
}

// left runs when the source says nothing more.
func (f *feed) left() {
	if f.ended != nil && !f.shard.closed {
		f.ended()
	}
}

// told is called on the source's goroutine. What the shard has not heard yet is replaced by what is newer: of a thousand changes at once
// it learns the last.
func (f *feed) told(n pool.News) {
	f.mu.Lock()
	idle := len(f.waiting) == 0
	for k := len(f.waiting) - 1; k >= 0 && (n.Err == nil || f.waiting[k].Err != nil); k-- { // a failure leaves the elements that are known
		old := f.waiting[k]
		n.Reported, n.Left = slices.Concat(old.Reported, n.Reported), slices.Concat(old.Left, n.Left)
		f.waiting = f.waiting[:k]
	}
	f.waiting = append(f.waiting, n)
	f.mu.Unlock()
	if idle {
		f.shard.loop.Post(f.hear) // if the loop has ended nobody wants to know
	}
}

// hear takes what is waiting.
func (f *feed) hear() {
	f.mu.Lock()
	waiting := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for _, n := range waiting {
		f.learn(n)
	}
}

// learn takes what the source says.
func (f *feed) learn(n pool.News) {
	if f.shard.closed || f.over {
		return
	}
	for _, err := range n.Left[:min(len(n.Left), mostSome)] {
		f.shard.log.Warn("a source has something of a pool that cannot be used", "pool", f.config.Handle, "source", f.config.SourceName, "error", err)
	}
	if more := len(n.Left) - mostSome; more > 0 {
		f.shard.log.Warn("a source has more of a pool that cannot be used", "pool", f.config.Handle, "source", f.config.SourceName, "more", more)
	}
	n.Elements = f.others(pool.ReachedBy(f.config.Mapping.String(), n.Elements))
	now := f.shard.loop.Now()
	change := f.pool.Learn(now, n)
	f.pool.Reported(now, n.Reported)
	if n.Err != nil {
		f.failed(n.Err)
		return
	}
	if f.failing || f.alarm {
		f.shard.log.Info("the source of a pool answers again", "pool", f.config.Handle, "source", f.config.SourceName)
	}
	f.failing, f.alarm = false, false
	f.fresh()
	f.compare(n.Policy)
	if change.None() && len(change.Valued) == 0 {
		return
	}
	if !change.None() || f.reloaded {
		f.reloaded = false
		source := cmp.Or(f.config.SourceName, "the configuration, and registrations here")
		f.shard.log.Info("a pool has changed", "pool", f.config.Handle, "source", source, "elements", f.pool.Len(),
			"added", some(change.Added), "gone", some(change.Gone), "moved", some(change.Moved),
			"other_values", some(change.Valued))
	}
	f.shard.updated(f.pool)
	f.shard.onOthers(func(s *Shard) { s.updated(f.pool) })
}

// compare says once that the source has another policy for the pool: loads and weights that elements register for that one are then read as
// those of another, or not at all.
func (f *feed) compare(told *pool.Policy) {
	policy := f.pool.Policy()
	differs := told != nil && *told != policy
	if differs && !f.differs {
		f.shard.log.Warn("the source of a pool has another policy for it: elements are chosen by that of the configuration", "pool", f.config.Handle,
			"source", f.config.SourceName, "policy", policy, "source_has", *told)
	}
	f.differs = differs
}

// others leaves out elements with mapping none that are the pool's own users: a pool_user would connect to itself, again and again until
// nothing is left. What the configuration says is checked when it is read; a source may say so later.
func (f *feed) others(elements []pool.Element) []pool.Element {
	if f.config.Mapping != mapping.None {
		return elements
	}
	loop := usersOf(f.config.Handle, f.shard.config.Users)
	first := slices.IndexFunc(elements, loop)
	if first < 0 {
		return elements
	}
	if !f.looped {
		f.looped = true
		f.shard.log.Warn("the source of a pool names the pool_user itself: that element is left out", "pool", f.config.Handle,
			"source", f.config.SourceName, "address", elements[first].Address)
	}
	return slices.DeleteFunc(slices.Clone(elements), loop)
}

// usersOf returns what tells whether a server's address is that of one of the pool's own users.
func usersOf(handle string, users []User) func(pool.Element) bool {
	own := make(map[netip.AddrPort]bool)
	for _, u := range users {
		if u.Pool == handle {
			own[u.Listen] = true
			own[netip.AddrPortFrom(netip.IPv6Unspecified(), u.Listen.Port())] = u.Listen.Addr().IsUnspecified()
		}
	}
	host := thisHost{}
	return func(e pool.Element) bool {
		anywhere := netip.AddrPortFrom(netip.IPv6Unspecified(), e.Address.Port())
		return own[e.Address] || own[anywhere] && host.has(e.Address.Addr())
	}
}

// thisHost is what the addresses of this host are. The system is asked once, when the first one is looked for: with thousands of
// elements it would take long to ask it for each.
type thisHost map[netip.Addr]bool

// has reports whether the address is one of this host's; if that cannot be known, whether it is loopback.
func (h thisHost) has(ip netip.Addr) bool {
	if len(h) == 0 {
		h[netip.IPv6Loopback()] = true
		addresses, _ := net.InterfaceAddrs()
		for _, a := range addresses {
			if prefix, is := a.(*net.IPNet); is {
				own, _ := netip.AddrFromSlice(prefix.IP)
				h[own.Unmap()] = true
			}
		}
	}
	return ip.IsLoopback() || h[ip.WithZone("")]
}

// updated tells this shard's pool users of a pool that is theirs.
func (s *Shard) updated(p *pool.Pool) {
	for _, u := range s.users {
		if u.block.pool.pool == p {
			u.updated()
		}
	}
}

// sweepEvery is how often it is looked whether what leads to elements that are gone may be ended, while there is such.
const sweepEvery = time.Second

// updated follows the pool. What leads to elements that are gone is ended as soon as it carries no session.
func (u *userSide) updated() {
	left := u.rules.Updated()
	left = u.direct.updated() || left
	u.asker.updated(u.rules)
	if left {
		u.shard.loop.Schedule(&u.sweep, u.shard.loop.Now().Add(sweepEvery))
	} else {
		u.shard.loop.Cancel(&u.sweep)
	}
}

// failed says that the source does not know, once until it knows again.
func (f *feed) failed(err error) {
	args := []any{"pool", f.config.Handle, "source", f.config.SourceName, "elements", f.pool.Len(), "error", err}
	if f.failing {
		f.shard.log.Debug("the source of a pool still fails", args...)
		return
	}
	f.failing = true
	f.shard.log.Warn("the source of a pool fails: the elements known last stay", args...)
}

// fresh puts off the alarm.
func (f *feed) fresh() {
	if f.config.Stale > 0 {
		f.shard.loop.Schedule(&f.old, f.shard.loop.Now().Add(f.config.Stale))
	}
}

// stale is the alarm: it is true until the source knows again.
func (f *feed) stale() {
	f.alarm = true
	s := f.pool.Standing()
	f.shard.log.Error("what is known of a pool is too old: its source has said nothing of use for too long", "pool", f.config.Handle,
		"source", f.config.SourceName, "age", s.Age(f.shard.loop.Now()).Round(time.Second), "bound", f.config.Stale, "error", s.Err)
}

func (f *feed) close() {
	f.over = true
	f.stop()
	f.shard.loop.Cancel(&f.old)
}

// measure says how old it is what is known, in seconds, of how many elements, and whether that is an alarm.
func (f *feed) measure(to gauges) {
	alive, draining := 0, 0
	for _, e := range f.pool.States() {
		if e.Failures == 0 {
			alive++
		}
		if e.Draining != "" {
			draining++
		}
	}
	to[poolDraining.of(f.config.Handle)] = draining
	to[poolElements.of(f.config.Handle)], to[poolAlive.of(f.config.Handle)] = f.pool.Len(), alive
	if f.config.SourceName == "" {
		return
	}
	alarm := 0
	if f.alarm {
		alarm = 1
	}
	to[poolAge.of(f.config.Handle, f.config.SourceName)] = int(f.pool.Standing().Age(f.shard.loop.Now()).Seconds())
	to[poolAlarm.of(f.config.Handle, f.config.SourceName)] = alarm
}

// SourceStatus is how a pool stands to the source of its elements.
type SourceStatus struct {
	Name  string        `json:"name"`
	Told  *time.Time    `json:"told"` // when it last said which elements there are; nil: it never has
	Age   time.Duration `json:"age_ns"`
	Alarm bool          `json:"alarm"` // it is older than it may be
	Error string        `json:"error"` // why the source does not know now; "": it does
}

// sourceStatus is asked on the first shard.
func (s *Shard) sourceStatus(c Pool) *SourceStatus {
	for _, f := range s.feeds {
		if f.config.Handle != c.Handle || c.SourceName == "" { // what the configuration says does not become old
			continue
		}
		standing := f.pool.Standing()
		to := &SourceStatus{Name: c.SourceName, Age: standing.Age(s.loop.Now()), Alarm: f.alarm}
		if !standing.Told.IsZero() {
			to.Told = &standing.Told
		}
		if standing.Err != nil {
			to.Error = standing.Err.Error()
		}
		return to
	}
	return nil
}

// mostSome is how many of what may be thousands people are told at once.
const mostSome = 5

// some lists names for people, not all of a thousand.
func some(names []string) string {
	if len(names) <= mostSome {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostSome], ", "), len(names)-mostSome)
}

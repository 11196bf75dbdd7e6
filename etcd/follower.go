package etcd

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// gather is the least time between two tellings: a thousand elements that come at once are told in a few.
	gather = 50 * time.Millisecond

	// leastRetry and mostRetry bound the pause behind a failure; it doubles.
	leastRetry = 100 * time.Millisecond
	mostRetry  = 2 * time.Second
)

// follower follows one pool. What is not said to be otherwise belongs to run's goroutine.
type follower struct {
	s      *Source
	handle string
	dir    string // of the pool
	told   func(pool.News)
	ctx    context.Context // done: the end of run
	ended  chan struct{}   // closed when run has ended
	asks   chan chan error // from refresh: tell anew, and answer when that is done, or why not

	entries  map[string]entry // by key, the bad ones too: all that there is
	revision int64            // of etcd, up to which entries is true
	said     map[string]int64 // bad entries that were told, by key: the revision of each
	reported []string         // not yet told
	last     time.Time        // when elements were told
	pending  []chan error     // who waits for a refresh
	pause    time.Duration    // behind the last failure; 0: there is none
}

func newFollower(ctx context.Context, s *Source, handle string, told func(pool.News)) *follower {
	return &follower{s: s, handle: handle, dir: poolDir(s.c.Prefix, handle), told: told, ctx: ctx, ended: make(chan struct{}),
		asks: make(chan chan error), said: make(map[string]int64)}
}

// run is the follower's goroutine. The function that Follow returned ends it, or Close; both wait for it.
func (f *follower) run() {
	defer close(f.ended)
	defer f.leave()
	f.s.hold()
	defer f.s.release()
	for f.ctx.Err() == nil {
		f.join()
		err := f.look()
		if f.ctx.Err() != nil { // what was found is only that we end
			break
		}
		f.answer(err)
		if err != nil {
			f.told(pool.News{Err: err})
			f.rest()
			continue
		}
		f.tell()
		begun := time.Now()
		again := f.watch()
		if time.Since(begun) >= mostRetry {
			f.pause = 0
		}
		if !again {
			f.rest() // should it not be possible to watch, it is at least looked at now and then
		}
	}
	f.answer(context.Canceled)
}

// leave takes the follower off the list of those that are refreshed.
func (f *follower) leave() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	others := slices.DeleteFunc(f.s.followers[f.handle], func(o *follower) bool { return o == f })
	if f.s.followers[f.handle] = others; len(others) == 0 {
		delete(f.s.followers, f.handle)
	}
}

// refresh has the pool asked for, from any goroutine.
func (f *follower) refresh(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case f.asks <- done:
	case <-f.ended:
		return nil // nobody wants to know any more
	case <-ctx.Done():
		return f.late(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return f.late(ctx)
	}
}

// late is the error of a refresh that has no more time.
func (f *follower) late(ctx context.Context) error {
	return fmt.Errorf("etcd: pool %q: %w: no answer from %s yet: %w", f.handle, pool.ErrSourceDown, strings.Join(f.s.c.Endpoints, ", "), context.Cause(ctx))
}

// join has all who ask for a refresh now be answered together.
func (f *follower) join() {
	for {
		select {
		case done := <-f.asks:
			f.pending = append(f.pending, done)
		default:
			return
		}
	}
}

// answer tells those who have asked for a refresh what became of it.
func (f *follower) answer(err error) {
	for _, done := range f.pending {
		done <- err
	}
	f.pending = nil
}

// rest waits after a failure, each time longer.
func (f *follower) rest() {
	f.pause = min(max(2*f.pause, leastRetry), mostRetry)
	timer := time.NewTimer(spread(f.pause))
	defer timer.Stop()
	select {
	case <-f.ctx.Done():
	case <-timer.C:
	case done := <-f.asks:
		f.pending = append(f.pending, done)
	}
}

// spread shortens a pause by up to a quarter: those that were started together, or lost etcd together, shall not ask together for ever.
func spread(d time.Duration) time.Duration {
	return d - rand.N(d/4+1)
}

// look asks for all there is.
func (f *follower) look() error {
	entries := make(map[string]entry)
	l := f.s.list(f.ctx, f.dir+elementsDir, func(e entry) { entries[e.key] = e })
	if l.err == nil {
		f.entries, f.revision = entries, l.revision
	}
	return l.err
}

// tell tells all elements, in the order in which they were registered, so that all pool users have the same.
func (f *follower) tell() {
	n := pool.News{Reported: f.reported}
	f.reported, f.last = nil, time.Now()
	good := make([]entry, 0, len(f.entries))
	for key, e := range f.entries {
		if e.bad == nil {
			good = append(good, e)
		} else if f.said[key] != e.modified {
			f.said[key] = e.modified
			n.Left = append(n.Left, e.bad)
		}
	}
	for key := range f.said {
		if f.entries[key].bad == nil {
			delete(f.said, key)
		}
	}
	slices.SortFunc(good, func(a, b entry) int { return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.key, b.key)) })
	n.Elements = make([]pool.Element, len(good))
	for i, e := range good {
		n.Elements[i] = e.Element
	}
	if len(good) > 0 { // who registers later is refused if he has another one
		if p, err := policyOf(good[0].value.Policy); err == nil {
			n.Policy = &p
		}
	}
	f.told(n)
}

// watch tells of changes until it can do so no longer, for whatever reason: what is true then must be looked up. It reports whether that
// is wanted at once.
func (f *follower) watch() (again bool) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(f.ctx))
	checks := make(chan bool, 1)
	checking := false
	defer func() {
		cancel()
		if checking {
			<-checks
		}
	}()
	events, begun := f.begin(ctx, cancel)
	defer begun.Stop()
	gathered := time.NewTimer(gather) // runs while there is something to tell
	gathered.Stop()
	check := time.NewTimer(spread(CheckEvery))
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case done := <-f.asks:
			f.pending = append(f.pending, done)
			return true
		case r, ok := <-events:
			if !ok || r.Err() != nil {
				return false
			}
			if r.Created {
				begun.Stop()
			}
			if f.take(r) {
				gathered.Reset(max(0, gather-time.Since(f.last)))
			}
			if len(f.entries) > MaxElements {
				return true // which look makes an error of
			}
		case <-gathered.C:
			f.tell()
		case <-check.C:
			checking = true
			go f.check(ctx, f.sum(), checks)
		case same := <-checks:
			checking = false
			if !same {
				return true
			}
			f.tell()
			check.Reset(spread(CheckEvery))
		}
	}
}

// begin begins to watch. If that has not begun in time, the context is cancelled.
func (f *follower) begin(ctx context.Context, cancel context.CancelFunc) (clientv3.WatchChan, *time.Timer) {
	timer := time.AfterFunc(2*f.s.c.Timeout, cancel)
	c, err := f.s.connected(ctx)
	if err != nil {
		cancel()
		return nil, timer
	}
	return c.client.Watch(ctx, f.dir, clientv3.WithPrefix(), clientv3.WithRev(f.revision+1), clientv3.WithCreatedNotify(), clientv3.WithFragment()), timer
}

// take takes what has changed, and reports whether that is to be told.
func (f *follower) take(r clientv3.WatchResponse) (news bool) {
	for _, ev := range r.Events {
		key := strings.TrimPrefix(string(ev.Kv.Key), f.dir)
		if element, ok := strings.CutPrefix(key, elementsDir); ok {
			if news = true; ev.Type == clientv3.EventTypeDelete {
				delete(f.entries, element)
			} else {
				f.entries[element] = entryOf(element, ev.Kv)
			}
		} else if escaped, ok := strings.CutPrefix(key, reportsDir); ok && ev.Type != clientv3.EventTypeDelete {
			news = f.hear(escaped, ev.Kv.Value) || news
		}
	}
	f.revision = max(f.revision, r.Header.GetRevision())
	return news
}

// hear takes a report of another pool user's, and reports whether it is one.
func (f *follower) hear(escaped string, text []byte) bool {
	name, err := parseName(escaped)
	if err != nil || len(f.reported) >= MaxElements || slices.Contains(f.reported, name) || ofReport(text) == f.s.instance {
		return false
	}
	f.reported = append(f.reported, name)
	return true
}

// summary is what a check compares.
type summary struct{ count, modified int64 }

func (f *follower) sum() summary {
	sum := summary{count: int64(len(f.entries))}
	for _, e := range f.entries {
		sum.modified = max(sum.modified, e.modified)
	}
	return sum
}

// check finds out whether what is known is all there is. That a quorum of members answers is what it is for, and to find a watch that
// hangs at a member which has fallen silent. It ends with ctx; watch waits for it.
func (f *follower) check(ctx context.Context, known summary, same chan<- bool) {
	count, modified, err := f.s.newest(ctx, f.dir+elementsDir)
	same <- err == nil && summary{count, modified} == known
}

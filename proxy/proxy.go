// Package proxy joins TCP connections to sessions. Its pool_user side accepts the connections of unmodified clients; its
// pool_element side connects to unmodified servers; between them are the rules of package session over the associations of
// package mapping.
//
// A Proxy is one process's worth: any number of pool_user and pool_element sides, on one or several shards. A shard has a loop and a
// goroutine of its own (package loop), on which everything here runs but the methods of Proxy. Shards share what is in spread.
package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// Version is the version of poolproxy; the build may set it.
var Version = "0.1.0-dev"

// Proxy is a running proxy. Its methods may be called from any goroutine.
type Proxy struct {
	runners []*shardRunner
	common  *spread  // of the shards
	renewal *renewal // of certificates; nil: there are none
	census  *census  // of the processes that hold the servers' sockets; ends behind the shards
	started time.Time
	once    sync.Once
	log     hclog.Logger

	local       *pool.Local // of the pools without a source
	handlespace *handlespace.Handlespace

	rehearsing sync.Map // the handles of the pools of which sessions are being rehearsed

	reloading sync.Mutex // held while another configuration is taken

	moving sync.RWMutex // held for writing while the proxy is handed over, for reading while somebody changes what is
	left   bool         // guarded by moving and by reloading: another process has taken over
}

// Start listens and begins to serve. An address that cannot be listened on is an error that names it; then nothing is left running.
func Start(c Config, log hclog.Logger, m *metrics.Metrics) (*Proxy, error) {
	return start(c, log, m, nil)
}

// start is Start; with old, whose place it takes, all shards stand still at the end.
func start(c Config, log hclog.Logger, m *metrics.Metrics, old *past) (*Proxy, error) {
	if err := Supported(c); err != nil {
		return nil, err
	}
	local := pool.NewLocal()
	c = registers(c, local)
	p := &Proxy{started: time.Now(), census: newCensus(), log: log, local: local}
	loops, err := p.makeLoops(old.shards(c))
	if err != nil {
		p.end()
		return nil, err
	}
	common := newSpread(c, loops, random)
	p.common = common
	first, err := common.layout(nil, c)
	if err != nil {
		p.end()
		return nil, err
	}
	old.bequeath(common, first)
	common.now.Store(first)
	p.handlespace = p.newHandlespace()
	if old != nil {
		p.hold()
	}
	for i := len(loops) - 1; i >= 0; i-- { // the first one listens: by then the others are there
		r := p.runners[i]
		var err error
		r.do(func() { r.shard, err = newShard(i, common, log, m, openKernel(p.census)) })
		if err != nil {
			p.letGo()
			p.end()
			return nil, err
		}
	}
	p.census.begin()
	p.renewal = renew(first.secrets, c.Watched, log, m)
	return p, nil
}

// makeLoops makes the loops of so many shards, and has them run.
func (p *Proxy) makeLoops(shards int) (loops []loop.Loop, err error) {
	for range shards {
		l, err := loop.New()
		if err != nil {
			return nil, fmt.Errorf("proxy: cannot make an event loop: %w", err)
		}
		r := &shardRunner{loop: l, stopped: make(chan struct{})}
		go r.run()
		p.runners = append(p.runners, r)
		loops = append(loops, l)
		if _, can := l.(loop.Adopter); !can { // connections stay where they were accepted
			break
		}
	}
	return loops, nil
}

// shardRunner is a shard with its loop and goroutine.
type shardRunner struct {
	loop    loop.Runner
	shard   *Shard        // the shard's goroutine only
	stopped chan struct{} // closed when that has ended
	still   stillness
}

// run is the shard's goroutine. It ends when Proxy.end stops the loop, which waits for it.
func (r *shardRunner) run() {
	defer close(r.stopped)
	r.loop.Run()
}

// do runs f on the shard and waits for it; it reports false, with f not run, when the shard has stopped. It does so also while the shard
// stands still.
func (r *shardRunner) do(f func()) bool {
	done := make(chan struct{})
	if !r.still.pass(func() { f(); close(done) }, r.loop.Post) {
		return false
	}
	select {
	case <-done:
		return true
	case <-r.stopped:
		return false
	}
}

// Pools are the pools that the proxy knows, by their handles. The map is not to be changed.
func (p *Proxy) Pools() map[string]*pool.Pool { return p.common.now.Load().handles }

// Status tells what the proxy is doing. Each shard is asked in its turn, for its sessions in several: none is held up by a status.
func (p *Proxy) Status() Status {
	s := Status{Version: Version, Started: p.started}
	for i, r := range p.runners {
		var left []sessionAt
		if !r.do(func() { r.shard.outline(&s); left = r.shard.sessionIDs() }) && i == 0 {
			break // it is the first one that makes the lists to which the others add; it stops first
		}
		for len(left) > 0 && r.do(func() { left = r.shard.someSessions(&s, left) }) {
		}
	}
	s.finish()
	s.Disturbances, _ = p.common.chaos.list()
	return s
}

// Stop asks pool users to move their sessions away from the pool_elements, deregisters these and what was registered with the proxy's Handlespace, stops accepting, lets sessions end until ctx is
// done, then closes what is left, and waits until nothing of the proxy runs. Twice is harmless.
func (p *Proxy) Stop(ctx context.Context) {
	for _, r := range p.runners {
		r.do(func() { r.shard.leave() })
	}
	gone := p.withdraw()
	p.deregister()
	<-gone.Done()
	for _, r := range p.runners { // the first one first: then nothing more is handed to the others
		r.do(func() { r.shard.StopAccepting() })
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p.busy() {
		select {
		case <-ctx.Done():
			p.end()
			return
		case <-tick.C:
		}
	}
	p.end()
}

// withdraw has others told that the pool_elements of this process are gone, before they are. What it returns is done when they have been,
// or after deregisterTime.
func (p *Proxy) withdraw() context.Context {
	gone, cancel := context.WithTimeout(context.Background(), deregisterTime)
	if len(p.runners) == 0 || !p.runners[0].do(func() { p.runners[0].shard.withdraw(cancel) }) {
		cancel()
	}
	return gone
}

func (p *Proxy) busy() (busy bool) {
	for _, r := range p.runners {
		r.do(func() { busy = busy || r.shard.Busy() })
	}
	return busy
}

func (p *Proxy) end() {
	p.once.Do(func() {
		for _, r := range p.runners {
			r.do(func() {
				if r.shard != nil {
					r.shard.Close()
				}
			})
		}
		for _, r := range p.runners {
			r.loop.Stop()
			<-r.stopped
		}
		p.renewal.close()
		p.census.close()
	})
}

// Shard is everything that one loop owns. It belongs to the loop's goroutine. It is exported for simulation: over a
// looptest.World the whole proxy runs in virtual time.
type Shard struct {
	index     int     // 0: the first, which listens
	common    *spread // what it shares with others
	loop      loop.Loop
	layout    *layout
	config    Config // of layout
	log       hclog.Logger
	metrics   *metrics.Metrics
	users     []*userSide               // in the order of the configuration, in every shard; behind them those that are leaving
	elements  []*elementSide            // likewise
	leaving   []leaver                  // sides that are not in the configuration any more
	former    []*elementSide            // those that others have taken over from
	entrances map[entranceKey]*entrance // of the first shard
	shift     *shift                    // what is being prepared; nil: nothing
	sweep     loop.Timer                // runs while there are leaving or former ones
	feeds     []*feed                   // of the first shard
	records   []Record                  // at least the last keptRecords, oldest first
	changes   []PathChange              // likewise
	scratch   *loop.Buffer
	random    func([]byte)
	kernel    *kernel   // nil: it cannot be asked
	blind     bool      // it was said that the kernel does not answer about connections
	starved   time.Time // when it was last said that the memory limit is reached
	gauges    loop.Timer
	gauged    gauges                     // what they were set to last
	past      map[string]session.Traffic // of pool_users' sides that have ended, by name
	calls     sync.WaitGroup             // of registries
	strikes   []*strike                  // what is disturbed on purpose
	taken     *elementCounts             // where a place is taken for the leg that is connected next; else nil
	virtual   bool                       // there is one goroutine: registries are called on it
	stopping  bool                       // nobody is accepted any more
	closed    bool
}

// keptRecords is how many failover records are kept for Status.
const keptRecords = 100

func random(p []byte) { _, _ = rand.Read(p) } // crypto/rand.Read never fails

// newShard makes one of the shards of a process. The first one listens as the configuration says. On an error nothing is left
// listening.
func newShard(index int, common *spread, log hclog.Logger, m *metrics.Metrics, k *kernel) (*Shard, error) {
	s := &Shard{index: index, common: common, loop: common.loops[index], log: log, metrics: m, random: random, kernel: k}
	common.shards[index] = s
	if len(common.loops) > 1 {
		s.loop.Buffers().Share(&common.memory)
	}
	return s, s.begin(common.now.Load())
}

// NewVirtualShard is a whole proxy of one shard for a loop of virtual hosts: tokens come from random, so that it can be repeated, and
// the kernel is not asked about hosts that it does not know. The configuration must name no programs: they do not run in virtual time.
func NewVirtualShard(l loop.Loop, c Config, log hclog.Logger, m *metrics.Metrics, random func([]byte)) (*Shard, error) {
	s := &Shard{common: newSpread(c, []loop.Loop{l}, random), loop: l, log: log, metrics: m, random: random, virtual: true}
	s.common.shards[0] = s
	first, err := s.common.layout(nil, c)
	if err != nil {
		return nil, err
	}
	return s, s.begin(first)
}

// begin begins with the first layout.
func (s *Shard) begin(first *layout) error {
	s.sweep.Func = s.sweepLeft
	s.watchDescriptors()
	s.config = first.config
	t, err := s.prepare(first)
	if err != nil {
		s.Close()
		return err
	}
	t.commit()
	if s.metrics != nil && s.index == 0 {
		s.gauges.Func = s.gauge
		s.gauge()
	}
	return nil
}

// StopAccepting closes the listeners for clients, and refuses new legs; sessions and legs go on, and so do connections that were accepted
// before. Pool users may come yet, to resume their legs.
func (s *Shard) StopAccepting() {
	s.stopping = true
	for _, d := range s.entrances {
		if d.resumes() == nil {
			d.listener.Close()
		}
	}
	for _, u := range s.users {
		u.stopAccepting()
	}
	for _, e := range s.elements {
		e.stopAccepting()
	}
}

// Busy reports whether there are sessions, or legs: also those that wait for their pool user, which may come back.
func (s *Shard) Busy() bool {
	for _, u := range s.users {
		if u.rules.Count() > 0 || len(u.prefaces) > 0 {
			return true
		}
	}
	for _, e := range s.elements {
		if live, held := e.rules.Legs(); live+held > 0 {
			return true
		}
	}
	return false
}

// Close ends everything.
func (s *Shard) Close() {
	s.closed = true
	s.undisturb("", "the process stops")
	if s.shift != nil {
		s.shift.undo()
	}
	s.StopAccepting()
	for _, d := range s.entrances {
		d.listener.Close()
	}
	s.loop.Cancel(&s.sweep)
	for _, f := range s.feeds {
		f.close()
	}
	s.leaveRegistries()
	for _, u := range s.users {
		u.close()
	}
	for _, e := range s.elements {
		e.close()
	}
	for _, e := range s.former {
		e.dismantle()
	}
	s.loop.Cancel(&s.gauges)
	if s.kernel != nil {
		s.kernel.close()
		s.kernel = nil
	}
	if s.scratch != nil {
		s.scratch.Drop()
		s.scratch = nil
	}
}

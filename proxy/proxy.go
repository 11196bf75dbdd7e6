// Package proxy joins TCP connections to sessions. Its pool_user side accepts the connections of unmodified clients; its
// pool_element side connects to unmodified servers; between them are the rules of package session over the associations of
// package mapping.
//
// A Proxy is one process's worth: any number of pool_user and pool_element sides on one shard (package loop). Everything here
// but the methods of Proxy runs on the shard's goroutine.
package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// Version is the version of poolproxy; the build may set it.
var Version = "0.1.0-dev"

// Proxy is a running proxy. Its methods may be called from any goroutine.
type Proxy struct {
	loop    loop.Runner
	shard   *Shard
	started time.Time
	stopped chan struct{} // closed when the shard's goroutine has ended
	once    sync.Once
}

// Start listens and begins to serve. An address that cannot be listened on is an error that names it; then nothing is left running.
func Start(c Config, log hclog.Logger, m *metrics.Metrics) (*Proxy, error) {
	runner, err := loop.New()
	if err != nil {
		return nil, fmt.Errorf("proxy: cannot make an event loop: %w", err)
	}
	p := &Proxy{loop: runner, started: time.Now(), stopped: make(chan struct{})}
	go p.run()
	p.do(func() { p.shard, err = NewShard(runner, c, log, m) })
	if err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// run is the shard's goroutine. It ends when end stops the loop, which waits for it.
func (p *Proxy) run() {
	defer close(p.stopped)
	p.loop.Run()
}

// do runs f on the shard and waits for it; it reports false, with f not run, when the shard has stopped.
func (p *Proxy) do(f func()) bool {
	done := make(chan struct{})
	if !p.loop.Post(func() { f(); close(done) }) {
		return false
	}
	select {
	case <-done:
		return true
	case <-p.stopped:
		return false
	}
}

// Status tells what the proxy is doing.
func (p *Proxy) Status() Status {
	s := Status{Version: Version, Started: p.started}
	p.do(func() { p.shard.status(&s) })
	return s
}

// Stop stops accepting, lets sessions end until ctx is done, then closes what is left, and waits until nothing of the proxy
// runs. Twice is harmless.
func (p *Proxy) Stop(ctx context.Context) {
	p.do(func() { p.shard.StopAccepting() })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for busy := true; busy; {
		if !p.do(func() { busy = p.shard.Busy() }) || !busy {
			break
		}
		select {
		case <-ctx.Done():
			busy = false
		case <-tick.C:
		}
	}
	p.end()
}

func (p *Proxy) end() {
	p.once.Do(func() {
		p.do(func() {
			if p.shard != nil {
				p.shard.Close()
			}
		})
		p.loop.Stop()
		<-p.stopped
	})
}

// Shard is everything that one loop owns. It belongs to the loop's goroutine. It is exported for simulation: over a
// looptest.World the whole proxy runs in virtual time.
type Shard struct {
	loop     loop.Loop
	config   Config
	log      hclog.Logger
	metrics  *metrics.Metrics
	pools    map[string]*pool.Pool
	users    []*userSide
	elements []*elementSide
	records  []Record // at least the last keptRecords, oldest first
	number   uint64   // of the last session
	scratch  *loop.Buffer
	random   func([]byte)
	kernel   *kernel   // nil: it cannot be asked
	blind    bool      // it was said that the kernel does not answer about connections
	starved  time.Time // when it was last said that the memory limit is reached
	gauges   loop.Timer
}

// keptRecords is how many failover records are kept for Status.
const keptRecords = 100

// NewShard listens on the loop as the configuration says. On an error nothing is left listening.
func NewShard(l loop.Loop, c Config, log hclog.Logger, m *metrics.Metrics) (*Shard, error) {
	s := &Shard{loop: l, config: c, log: log, metrics: m, pools: make(map[string]*pool.Pool),
		random: func(p []byte) { _, _ = rand.Read(p) }, // crypto/rand.Read never fails
		kernel: openKernel()}
	return s, s.listen()
}

// NewVirtualShard is NewShard for a loop of virtual hosts: tokens come from random, so that it can be repeated, and the kernel
// is not asked about hosts that it does not know. The configuration must name no programs: they do not run in virtual time.
func NewVirtualShard(l loop.Loop, c Config, log hclog.Logger, m *metrics.Metrics, random func([]byte)) (*Shard, error) {
	s := &Shard{loop: l, config: c, log: log, metrics: m, pools: make(map[string]*pool.Pool), random: random}
	return s, s.listen()
}

func (s *Shard) listen() error {
	for _, c := range s.config.Pools {
		s.pools[c.Handle] = pool.New(c.Handle, c.Policy, c.Elements)
	}
	for _, c := range s.config.Elements {
		side, err := newElementSide(s, c)
		if err != nil {
			s.Close()
			return fmt.Errorf("pool_element %q: %w", c.Name, err)
		}
		s.elements = append(s.elements, side)
	}
	for _, c := range s.config.Users {
		side, err := newUserSide(s, c)
		if err != nil {
			s.Close()
			return fmt.Errorf("pool_user %q: %w", c.Name, err)
		}
		s.users = append(s.users, side)
	}
	if s.metrics != nil {
		s.gauges.Func = s.gauge
		s.gauge()
	}
	return nil
}

// StopAccepting closes the listeners; sessions and legs go on.
func (s *Shard) StopAccepting() {
	for _, u := range s.users {
		u.stopAccepting()
	}
	for _, e := range s.elements {
		e.listener.Close()
		e.rules.Refuse()
	}
}

// Busy reports whether there are sessions, or legs in touch with their pool user.
func (s *Shard) Busy() bool {
	for _, u := range s.users {
		if u.rules.Count() > 0 {
			return true
		}
	}
	for _, e := range s.elements {
		if live, _ := e.rules.Legs(); live > 0 {
			return true
		}
	}
	return false
}

// Close ends everything.
func (s *Shard) Close() {
	s.StopAccepting()
	for _, u := range s.users {
		u.close()
	}
	for _, e := range s.elements {
		e.close()
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

// sessions counts the sessions of all sides.
func (s *Shard) sessions() (n int) {
	for _, u := range s.users {
		n += u.rules.Count()
	}
	return n
}

func (s *Shard) token() (t session.Token) {
	s.random(t[:])
	return t
}

//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// share is how often a failure that can strike one column alone is drawn, of all of them. What is cheap is drawn often; what takes a second
// goes on beside others.
var share = map[string]int{"server-kill": 30, "reset": 40, "cut": 8, "one-way": 7, "delay-loss": 4, "server-stop": 4, "server-term": 5, "server-oom": 2}

// betweenWide is how long the columns of a world are struck each by itself, until something strikes all of them.
const betweenWide = 12 * time.Second

// logSize is how long a log may become, diskLogSize one that is on the disk of a host, which is small.
const (
	logSize     = 24 << 20
	diskLogSize = 4 << 20
)

// TestChaos lets failures fall by chance over the matrix, in several worlds at once, until there were POOLPROXY_EVENTS of them or
// POOLPROXY_DURATION is over. Before that it plays each cell of the matrix once. make chaos runs it.
func TestChaos(t *testing.T) {
	events, _ := strconv.ParseInt(os.Getenv(eventsVariable), 10, 64)
	duration, _ := time.ParseDuration(os.Getenv(durationVariable))
	if events <= 0 && duration <= 0 {
		t.Skipf("it runs when %s or %s is set: make chaos", eventsVariable, durationVariable)
	}
	needs(t, "ip", "etcd", "redis-server")
	r := newRun(seed())
	t.Logf("seed %d", r.record.Seed)
	t.Cleanup(func() { r.end(t) })
	if os.Getenv(cellVariable) == "" {
		r.matrix(t)
	}
	worlds := 1
	if n, err := strconv.Atoi(os.Getenv(worldsVariable)); err == nil {
		worlds = n
	}
	m := &mass{run: r, events: events}
	m.ctx, m.stop = context.WithCancel(context.Background())
	if duration > 0 {
		m.ctx, m.stop = context.WithTimeout(context.Background(), duration)
	}
	defer m.stop()
	for i := range worlds {
		m.begin(t, plan{name: fmt.Sprintf("world-%d", i), level: "info", mappings: bothMappings, dialects: dialects})
	}
	m.begin(t, plan{name: "world-etcd", level: "info", mappings: bothMappings, dialects: dialects[2:4], etcd: true})
	m.watch()
	m.working.Wait()
	for _, w := range m.worlds {
		w.close()
	}
}

// mass is a run of failures by chance.
type mass struct {
	run     *run
	events  int64 // 0: no end
	ctx     context.Context
	stop    context.CancelFunc
	worlds  []*world
	working sync.WaitGroup
	broken  atomic.Int64 // steps that could not be played to their end
}

// mostBroken is how many of them a run may have until it is ended; with one it has failed.
const mostBroken = 10

// begin starts a world, and what strikes it.
func (m *mass) begin(t *testing.T, p plan) {
	t.Helper()
	w, err := newWorld(p)
	if err != nil {
		t.Fatal(err)
	}
	m.worlds = append(m.worlds, w)
	gate := &sync.RWMutex{} // read: one column is struck; written: all are
	for i, c := range w.columns {
		random := rand.New(rand.NewPCG(m.run.record.Seed, uint64(len(m.worlds)*100+i)))
		m.working.Go(func() { m.alone(w, c, gate, random) })
	}
	random := rand.New(rand.NewPCG(m.run.record.Seed, uint64(len(m.worlds)*100+99)))
	m.working.Go(func() { m.together(w, gate, random) })
}

// alone strikes one column, again and again. It ends with the run, which waits for it.
func (m *mass) alone(w *world, c *column, gate *sync.RWMutex, random *rand.Rand) {
	for m.ctx.Err() == nil {
		f, s := drawn(random), states[random.IntN(len(states)-1)]
		if s == stateUpgrade || !wanted(f, s, c) {
			continue
		}
		gate.RLock()
		m.play(w, []*column{c}, f, s, random.Uint64())
		gate.RUnlock()
	}
}

// drawn is a failure that can strike one column.
func drawn(random *rand.Rand) failure {
	all := 0
	for _, n := range share {
		all += n
	}
	n := random.IntN(all)
	for _, f := range failures {
		if n -= share[f.id]; n < 0 && share[f.id] > 0 {
			return f
		}
	}
	return failures[0]
}

// together strikes all columns of a world at once, now and then: by what they have in common, or while sidecars are replaced. It ends with
// the run, which waits for it.
func (m *mass) together(w *world, gate *sync.RWMutex, random *rand.Rand) {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(betweenWide):
		}
		f, s := failures[random.IntN(len(failures))], states[random.IntN(len(states))]
		if !f.wide && !f.onCable {
			s = stateUpgrade // else it strikes columns alone
		}
		if w.plan.etcd && random.IntN(2) == 0 {
			f = etcdLost
		}
		if f.needsEtcd && !w.plan.etcd {
			continue
		}
		var columns []*column
		for _, c := range w.columns {
			if wanted(f, s, c) {
				columns = append(columns, c)
			}
		}
		if len(columns) == 0 {
			continue
		}
		gate.Lock()
		m.play(w, columns, f, s, random.Uint64())
		w.trim()
		gate.Unlock()
	}
}

// play plays a step, and ends the run when there were enough, or when it cannot go on: one step that could not be played does not end it.
func (m *mass) play(w *world, columns []*column, f failure, s state, seed uint64) {
	_, err := m.run.step(w, columns, f, s, seed)
	if err != nil {
		m.run.fail(err)
		m.run.keepLogs(w, &outcome{column: columns[0], failure: f, state: s, verdict: none})
		if m.broken.Add(1) > mostBroken {
			m.stop()
		}
	}
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	if m.events > 0 && m.run.record.Strikes >= m.events {
		m.stop()
	}
}

// watch says how far the run is, until it ends.
func (m *mass) watch() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
		m.run.mu.Lock()
		c := &m.run.record
		fmt.Printf("%s: %d strikes, %d missed, %d sessions, %d findings\n", c.Took.Round(time.Second), c.Strikes, c.Missed, c.Sessions, len(c.Findings))
		m.run.mu.Unlock()
		m.run.save() // a run that is killed has said what it has seen
	}
}

// trim begins logs anew that have become long, and removes what holds have left behind.
func (w *world) trim() {
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*.log"))
	for _, path := range logs {
		cut(path, logSize)
	}
	for _, h := range append(w.hosts, w.user) {
		cut(h.outer(filepath.Join(w.diskOf(h), "access.log")), diskLogSize)
	}
	for _, c := range w.columns {
		left, _ := filepath.Glob(filepath.Join(c.holds.Dir, "*"))
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
}

// cut empties a file that is longer than most.
func cut(path string, most int64) {
	if info, err := os.Stat(path); err == nil && info.Size() > most {
		_ = os.Truncate(path, 0)
	}
}

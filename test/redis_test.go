//go:build linux

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

const (
	redisClients     = 20
	redisSubscribers = 2
	redisLeastKills  = 5
)

// redisCommands is how many commands a run has: POOLPROXY_REDIS_COMMANDS for more, or fewer. The race detector gets a tenth.
func redisCommands(t *testing.T, normal int) int64 {
	text := os.Getenv("POOLPROXY_REDIS_COMMANDS")
	switch {
	case text == "" && raceDetector:
		return int64(normal) / 10
	case text == "":
		return int64(normal)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("POOLPROXY_REDIS_COMMANDS: %v", err)
	}
	return n
}

// redisRun is clients at work while servers die.
type redisRun struct {
	t       *testing.T
	pair    *redisPair
	address string // for clients
	most    int    // honest errors that a client may see for a kill; 0: any number
	kill    bool

	left  atomic.Int64 // commands still to be asked
	kills atomic.Int64 // counted before each kill

	workers     []*redisWorker
	subscribers []*redisSubscriber
	publisher   *redisPublisher
	running     sync.WaitGroup

	mu       sync.Mutex
	problems []string       // guarded by mu
	refusals map[string]int // guarded by mu: honest errors by their text
}

// TestRedis is issue 3, item 2: real servers, one replicating from the other, the serving one killed again and again, and a client library
// that never retries.
func TestRedis(t *testing.T) {
	needs(t, false, "redis-server")
	t.Run("no proxy, no kills", func(t *testing.T) { // that the checks accept what redis does
		pair := newRedisPair(t, "")
		newRedisRun(t, pair, pair.primary.address, 0, redisCommands(t, 10_000)).play(false)
	})
	for _, c := range []struct {
		mapping, ack string
		most         int
		commands     int
	}{
		{"tcp", "reply", 0, 100_000},
		{"tcp", "read", 1, 100_000},
		{"none", "read", 1, 30_000},
	} {
		t.Run(c.mapping+" "+c.ack, func(t *testing.T) {
			pair := newRedisPair(t, "")
			f := launchRedis(t, pair, c.mapping, c.ack)
			newRedisRun(t, pair, f.listen, c.most, redisCommands(t, c.commands)).play(true)
		})
	}
}

// launchRedis starts sidecars before the pair.
func launchRedis(t *testing.T, pair *redisPair, mapping, ack string) *fleet {
	t.Helper()
	f := &fleet{t: t, listen: porttest.FreeString(t), admin: porttest.FreeString(t), plan: plan{mapping: mapping, protocol: "  protocol \"redis\" {}\n",
		failover: fmt.Sprintf("    ack = %q", ack)}}
	for i, address := range pair.addresses() {
		e := &element{name: string(rune('a' + i)), address: address}
		f.elements = append(f.elements, e)
		if mapping != "none" {
			e.listen = porttest.FreeString(t)
			f.startSidecar(i)
		}
	}
	f.user = f.run("user", f.userConfig())
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	return f
}

func newRedisRun(t *testing.T, pair *redisPair, address string, most int, commands int64) *redisRun {
	t.Helper()
	r := &redisRun{t: t, pair: pair, address: address, most: most, refusals: make(map[string]int)}
	r.left.Store(commands)
	return r
}

// play runs it all, and checks what remains.
func (r *redisRun) play(kill bool) {
	r.t.Helper()
	r.kill = kill
	r.t.Cleanup(func() { // also when the test gives up in the middle
		r.left.Store(-1 << 40)
		r.hangUp()
		r.running.Wait()
	})
	r.connect()
	began := time.Now()
	for _, w := range r.workers {
		r.running.Go(w.work)
	}
	if kill {
		for r.wanted() && !r.stuck() {
			r.fail()
		}
	}
	waitFor(r.t, "all clients to end", func() bool {
		return !slices.ContainsFunc(r.workers, func(w *redisWorker) bool { return !w.over.Load() })
	})
	took := time.Since(began)
	r.published()
	r.hangUp()
	r.running.Wait()
	r.check()
	r.print(took)
	for _, p := range r.problems[:min(len(r.problems), 20)] {
		r.t.Error(p)
	}
}

// The checks find what must not be: a client that is not told what was carried out, and asks for it again.
func TestRedisFindsRepeats(t *testing.T) {
	needs(t, false, "redis-server")
	pair := newRedisPair(t, "")
	r := newRedisRun(t, pair, pair.primary.address, 1, 0)
	w := &redisWorker{run: r, conn: r.dial(0), refused: map[int64][]string{1: {"one", "two"}}, doubtful: []string{"again"}, acked: []string{"never"},
		aborted: []string{"again"}, pairs: [][2]string{{"again", "never"}}}
	defer w.conn.Close()
	if err := w.send(redisAsk{name: "INCR", args: []any{"again"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server to carry it out", func() bool {
		n, _ := redis.Int(pair.primary.do("EXISTS", "again"), nil)
		return n == 1
	})
	pair.waitInSync()
	pair.fail()
	pair.primary.do("INCR", "again")
	r.workers, r.refusals = []*redisWorker{w}, map[string]int{"… (GET) …": 1}
	r.check()
	for _, want := range []string{"again was changed 2 times", "told that it may have been", "told that it was not", "never was changed 0 times",
		"a transaction was torn", `["one" "two"]`, "readonly"} {
		if !slices.ContainsFunc(r.problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("%q is not among %q", want, r.problems)
		}
	}
}

// dial makes one connection, with no deadline shorter than any failover.
func (r *redisRun) dial(db int) redis.Conn {
	r.t.Helper()
	c, err := redis.Dial("tcp", r.address, redis.DialReadTimeout(time.Minute), redis.DialWriteTimeout(time.Minute), redis.DialDatabase(db),
		redis.DialClientName("poolproxy-test"))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *redisRun) connect() {
	r.t.Helper()
	for i := range redisClients {
		db := i % redisDatabases
		r.workers = append(r.workers, &redisWorker{run: r, id: i, db: db, conn: r.dial(db), rnd: rand.New(rand.NewPCG(uint64(i), 1)),
			refused: make(map[int64][]string)})
	}
	for i := range redisSubscribers {
		s := &redisSubscriber{run: r, conn: redis.PubSubConn{Conn: r.dial(0)}, pattern: i%2 == 1}
		if err := s.subscribe(); err != nil {
			r.t.Fatal(err)
		}
		r.subscribers = append(r.subscribers, s)
		r.running.Go(s.listen)
	}
	r.publisher = &redisPublisher{run: r, conn: r.dial(0)}
	r.running.Go(r.publisher.publish)
}

func (r *redisRun) hangUp() {
	for _, w := range r.workers {
		w.conn.Close()
	}
	for _, s := range r.subscribers {
		s.closing.Store(true)
		s.conn.Conn.Close()
	}
	if r.publisher != nil {
		r.publisher.stop.Store(true)
	}
}

// wanted: there are commands left to ask, or kills to be seen.
func (r *redisRun) wanted() bool {
	return r.left.Load() > 0 || r.kill && r.kills.Load() < redisLeastKills && r.left.Load() > -1<<39 && !r.stuck()
}

func (r *redisRun) asked(n int) { r.left.Add(int64(-n)) }

// stuck: no client goes on.
func (r *redisRun) stuck() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.problems) >= redisClients/2
}

func (r *redisRun) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf("behind kill %d: %s", r.kills.Load(), fmt.Sprintf(format, args...)))
}

func (r *redisRun) refusal(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals[text]++
}

// fail is one round: the serving server is killed when the other one is in sync and every client has got something done.
func (r *redisRun) fail() {
	r.t.Helper()
	r.goOn()
	r.published()
	r.pair.waitInSync()
	if !r.wanted() {
		return
	}
	r.kills.Add(1)
	r.pair.fail()
}

// goOn returns when every client that is not over has carried out something that it began after this was called.
func (r *redisRun) goOn() {
	r.t.Helper()
	for _, w := range r.workers {
		since := w.steps.Load()
		waitFor(r.t, fmt.Sprintf("client %d to go on", w.id), func() bool { return w.over.Load() || w.steps.Load() >= since+2 })
	}
}

// published returns when every subscriber has got a message that was published after this was called.
func (r *redisRun) published() {
	r.t.Helper()
	since := r.publisher.sent.Load()
	for i, s := range r.subscribers {
		waitFor(r.t, fmt.Sprintf("subscriber %d to get a message behind %d", i, since), func() bool { return s.over.Load() || s.got.Load() > since })
	}
}

// check compares what clients were told with what servers have done.
func (r *redisRun) check() {
	r.t.Helper()
	record := r.pair.record()
	for key, n := range record.carriedOut {
		if n > 1 {
			r.problem("%s was changed %d times", key, n)
		}
	}
	for text := range r.refusals {
		if strings.Contains(text, "(GET)") || strings.Contains(text, "(LRANGE)") {
			r.problem("servers call this readonly: %s", text)
		}
	}
	for _, w := range r.workers {
		w.compare(record)
		for kill, what := range w.refused {
			if kill == 0 || r.most > 0 && len(what) > r.most {
				r.problem("client %d: behind kill %d these were answered by errors: %q", w.id, kill, what)
			}
		}
	}
}

// compare checks each key that this client has asked to be changed.
func (w *redisWorker) compare(record *redisRecord) {
	for _, list := range []struct {
		keys        []string
		told        string
		least, most int
	}{{w.acked, "that it was", 1, 1}, {w.aborted, "that it was not", 0, 0}, {w.doubtful, "that it may have been", 0, 1}} {
		for _, key := range list.keys {
			n := record.carriedOut[key]
			if n < list.least || n > list.most || n > 0 && record.database[key] != w.db {
				w.run.problem("client %d: %s was changed %d times (in database %d, not %d); it was told %s", w.id, key, n,
					record.database[key], w.db, list.told)
			}
		}
	}
	for _, p := range w.pairs {
		if record.carriedOut[p[0]] != record.carriedOut[p[1]] {
			w.run.problem("client %d: a transaction was torn: %v", w.id, p)
		}
	}
}

// print tells the figures that the issue asks for.
func (r *redisRun) print(took time.Duration) {
	r.t.Helper()
	commands, errors, requests, lost, slowest := 0, 0, 0, 0, time.Duration(0)
	for _, w := range r.workers {
		commands += w.commands
		errors += w.errors
		for _, what := range w.refused {
			requests += len(what)
		}
		lost += w.lost(r)
		slowest = max(slowest, w.slowest)
	}
	kills := int(r.kills.Load())
	r.t.Logf("%d commands of %d clients in %v, %d kills; answered by an honest error: %d (%.4f %%), %.3f per connection and kill; "+
		"longest wait %v; acknowledged writes that redis's replication lost: %d",
		commands, len(r.workers), took.Round(time.Millisecond), kills, errors, 100*float64(errors)/float64(commands),
		float64(requests)/float64(max(1, kills*len(r.workers))), slowest.Round(time.Millisecond), lost)
	for _, s := range r.subscribers {
		r.t.Logf("a subscriber got %d messages of %d", s.count, r.publisher.sent.Load())
	}
	for text, n := range r.refusals {
		r.t.Logf("%6d times: %s", n, text)
	}
}

// lost counts the writes that were acknowledged and are gone: redis passes them on to its replica when it has answered.
func (w *redisWorker) lost(r *redisRun) (n int) {
	r.t.Helper()
	r.pair.primary.do("SELECT", w.db)
	for part := range slices.Chunk(w.acked, 1000) {
		args := make([]any, len(part))
		for i, key := range part {
			args[i] = key
		}
		there, err := redis.Int(r.pair.primary.do("EXISTS", args...), nil)
		if err != nil {
			r.t.Fatal(err)
		}
		n += len(part) - there
	}
	return n
}

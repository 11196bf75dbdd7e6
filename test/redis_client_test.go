//go:build linux

package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// What is there from the beginning, in each database.
const (
	redisDatabases  = 2
	redisList       = "preloaded:list"
	redisListLength = 2000
	redisBig        = "preloaded:big"
	redisBigSize    = 300 << 10
)

func redisElement(db, i int) string {
	return fmt.Sprintf("element %d of the list in database %d", i, db)
}

func redisBigValue(db int) string { return strings.Repeat(string(rune('A'+db)), redisBigSize) }

// redisWorker is one client: one connection that is never made again, and a mix of commands on it, each reply checked.
type redisWorker struct {
	run   *redisRun
	id    int
	db    int
	conn  redis.Conn
	rnd   *rand.Rand
	made  int        // keys
	sets  []redisSet // those with an OK
	steps atomic.Int64
	over  atomic.Bool

	commands int
	refused  map[int64][]string // requests answered by an honest error, a transaction being one, by the kill before
	errors   int                // honest errors
	slowest  time.Duration
	acked    []string // keys of which the client was told that they were changed
	aborted  []string // keys of which it was told that they were not
	doubtful []string // keys of which it was told neither
	pairs    [][2]string
}

// redisSet is a key that was set, and how many kills there had been when that was asked for.
type redisSet struct {
	key, value string
	kills      int64
}

// redisAsk is one command, and what its reply must be. check is told of replies that are no error.
type redisAsk struct {
	name  string
	args  []any
	keys  []string // that it changes
	check func(reply any) error
}

// work runs until the run has enough commands. The run waits for it.
func (w *redisWorker) work() {
	defer w.over.Store(true)
	for w.run.wanted() {
		var err error
		switch n := w.rnd.IntN(100); {
		case n < 25:
			err = w.ask(w.incr())
		case n < 27:
			err = w.ask(w.getBig())
		case n < 45:
			err = w.ask(w.get())
		case n < 65:
			err = w.ask(w.set())
		case n < 80:
			err = w.ask(w.lrange(50 + (n-65)*130))
		case n < 88:
			err = w.ask(w.pipeline()...)
		default:
			err = w.transaction(n%2 == 0)
		}
		if err != nil {
			w.run.problem("client %d: %v", w.id, err)
			return
		}
		w.steps.Add(1)
	}
}

var errRedisLost = errors.New("the connection is lost")

// key is a new one.
func (w *redisWorker) key(kind string) string {
	w.made++
	return fmt.Sprintf("%s:%d:%d", kind, w.id, w.made)
}

// incr is an INCR of a key of its own: whoever carries it out twice answers 2.
func (w *redisWorker) incr() redisAsk {
	key := w.key("incr")
	return redisAsk{name: "INCR", args: []any{key}, keys: []string{key}, check: is(int64(1))}
}

func (w *redisWorker) set() redisAsk {
	key := w.key("set")
	value := strings.Repeat(key+" ", 1+w.rnd.IntN(50))
	kills := w.run.kills.Load()
	return redisAsk{name: "SET", args: []any{key, value}, keys: []string{key}, check: func(reply any) error {
		w.sets = append(w.sets, redisSet{key, value, kills})
		return is("OK")(reply)
	}}
}

// get reads what was there before, or what this client has set. A write that the dead server had acknowledged and not yet
// passed to its replica is redis's own loss: a key may be gone if there was a kill since it was asked for.
func (w *redisWorker) get() redisAsk {
	if len(w.sets) == 0 {
		return w.lrange(1)
	}
	last := w.sets[max(0, len(w.sets)-100):]
	s := last[w.rnd.IntN(len(last))]
	return redisAsk{name: "GET", args: []any{s.key}, check: func(reply any) error {
		if reply == nil && s.kills != w.run.kills.Load() {
			return nil
		}
		return is(s.value)(reply)
	}}
}

// getBig reads what takes many packets.
func (w *redisWorker) getBig() redisAsk {
	return redisAsk{name: "GET", args: []any{redisBig}, check: is(redisBigValue(w.db))}
}

func (w *redisWorker) lrange(most int) redisAsk {
	n := 1 + w.rnd.IntN(most)
	first := w.rnd.IntN(redisListLength - n + 1)
	return redisAsk{name: "LRANGE", args: []any{redisList, first, first + n - 1}, check: func(reply any) error {
		got, err := redis.Strings(reply, nil)
		if err != nil || len(got) != n {
			return fmt.Errorf("%d elements, %v; not %d", len(got), err, n)
		}
		for i, e := range got {
			if e != redisElement(w.db, first+i) {
				return fmt.Errorf("%q in place of element %d", e, first+i)
			}
		}
		return nil
	}}
}

// pipeline is 50 commands: some have long replies, others mix small ones.
func (w *redisWorker) pipeline() []redisAsk {
	asks := make([]redisAsk, 50)
	long := w.rnd.IntN(4) == 0
	for i := range asks {
		switch n := w.rnd.IntN(4); {
		case long && n == 0:
			asks[i] = w.lrange(redisListLength / 4)
		case long && i == 10:
			asks[i] = w.getBig()
		case n == 1:
			asks[i] = w.get()
		case n == 0:
			asks[i] = w.lrange(50)
		case n == 2:
			asks[i] = w.set()
		default:
			asks[i] = w.incr()
		}
	}
	return asks
}

// is checks that a reply is want: a status or a bulk string, or an integer.
func is(want any) func(any) error {
	return func(reply any) error {
		if b, ok := reply.([]byte); ok {
			reply = string(b)
		}
		if reply != want {
			return fmt.Errorf("answered %.80q, not %.80q", fmt.Sprint(reply), fmt.Sprint(want))
		}
		return nil
	}
}

// ask sends the commands in one go and checks their replies.
func (w *redisWorker) ask(asks ...redisAsk) error {
	began := time.Now()
	if err := w.send(asks...); err != nil {
		return err
	}
	for i, a := range asks {
		reply, lost, err := w.receive(a)
		switch {
		case err != nil:
			return err
		case lost != "":
			w.refuse(fmt.Sprintf("%s %q (%d of %d): %s", a.name, a.keys, i+1, len(asks), lost))
			w.doubtful = append(w.doubtful, a.keys...)
			continue
		}
		if err := a.check(reply); err != nil {
			return fmt.Errorf("%s %.100q: %w", a.name, a.args, err)
		}
		w.acked = append(w.acked, a.keys...)
	}
	w.slowest = max(w.slowest, time.Since(began))
	return nil
}

// refuse notes a request that was answered by an honest error.
func (w *redisWorker) refuse(what string) {
	kill := w.run.kills.Load()
	w.refused[kill] = append(w.refused[kill], what)
}

func (w *redisWorker) send(asks ...redisAsk) error {
	for _, a := range asks {
		if err := w.conn.Send(a.name, a.args...); err != nil {
			return fmt.Errorf("%w: %w", errRedisLost, err)
		}
	}
	if err := w.conn.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errRedisLost, err)
	}
	w.commands += len(asks)
	w.run.asked(len(asks))
	return nil
}

// receive takes one reply. lost is the honest error in place of it, "" if there is a reply.
func (w *redisWorker) receive(a redisAsk) (reply any, lost string, err error) {
	reply, err = w.conn.Receive()
	var told redis.Error
	switch {
	case err == nil:
		return reply, "", nil
	case !errors.As(err, &told):
		return nil, "", fmt.Errorf("%s: %w: %w", a.name, errRedisLost, err)
	case strings.HasPrefix(string(told), "ERR poolproxy") || strings.HasPrefix(string(told), "EXECABORT Transaction discarded: poolproxy"):
		w.errors++
		w.run.refusal(string(told))
		return nil, string(told), nil
	}
	return nil, "", fmt.Errorf("%s %.100q: %w", a.name, a.args, err)
}

// transaction increments two keys and sets a third, all or nothing; in one go or step by step.
func (w *redisWorker) transaction(stepwise bool) error {
	one, two, three := w.key("incr"), w.key("incr"), w.key("set")
	keys := []string{one, two, three}
	asks := []redisAsk{{name: "MULTI", check: is("OK")}, {name: "INCR", args: []any{one}, check: is("QUEUED")},
		{name: "INCR", args: []any{two}, check: is("QUEUED")}, {name: "SET", args: []any{three, "x"}, check: is("QUEUED")},
		{name: "EXEC", check: func(reply any) error { return is("[1 1 OK]")(fmt.Sprint(reply)) }}}
	began := time.Now()
	if !stepwise {
		if err := w.send(asks...); err != nil {
			return err
		}
	}
	before := ""
	for i, a := range asks {
		if stepwise {
			if err := w.send(a); err != nil {
				return err
			}
		}
		reply, lost, err := w.receive(a)
		if err != nil {
			return err
		}
		if lost == "" {
			err = a.check(reply)
			if before != "" && i == len(asks)-1 {
				err = fmt.Errorf("carried out, although one of its commands was answered %q", before)
			}
		}
		if err != nil {
			return fmt.Errorf("%s %q of a transaction: %w", a.name, a.args, err)
		}
		if lost != "" {
			before = lost
		}
	}
	w.slowest = max(w.slowest, time.Since(began))
	w.pairs = append(w.pairs, [2]string{one, two}, [2]string{two, three})
	if before != "" {
		w.refuse("transaction: " + before)
	}
	w.noteTransaction(keys, before)
	return nil
}

// noteTransaction notes what the client was told by the reply to EXEC, the last honest error of the transaction if there was one.
func (w *redisWorker) noteTransaction(keys []string, lost string) {
	switch {
	case lost == "":
		w.acked = append(w.acked, keys...)
	case strings.HasPrefix(lost, "EXECABORT"):
		w.aborted = append(w.aborted, keys...)
	default:
		w.doubtful = append(w.doubtful, keys...)
	}
}

package proxy

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// asker asks redis servers which of their commands are safe: it is a callback, and asks over the legs of sessions right after
// they are opened. One leg at a time asks an element, and others do not wait for it. What a server answers, be it an error (it may
// want a login first, which the first leg of a session has not had), is never a reason to leave it.
type asker struct {
	loop  loop.Loop
	log   hclog.Logger
	pool  *pool.Pool
	table *protocol.RedisTable
	asked map[string]*asked // by the name of the element
	first firstAsker
}

func newAsker(s *Shard, c User, in *pool.Pool) *asker {
	return &asker{loop: s.loop, log: s.log.Named(c.Name), pool: in, table: c.Commands, asked: make(map[string]*asked),
		first: firstAsker{loop: s.loop}}
}

// asked is what became of the questions to one element.
type asked struct {
	at       time.Time // of the last one
	failures uint64    // of the element until then: it may be another program since
	waiting  bool      // for the answer
	known    bool      // the last answer was a table
	told     string    // the last complaint in the log
}

const (
	// askAgain is how old an answer may become.
	askAgain = 10 * time.Minute

	// askPatience is how long an answer is waited for before another leg asks: the one that asked may have ended.
	askPatience = 5 * time.Second

	// askRefused is the least time between two questions to a server that does not tell.
	askRefused = time.Second
)

// Call is asked for every new leg (session.Callback).
func (a *asker) Call(at session.Moment, answer func(session.Reaction, error)) {
	if !a.due(at) {
		answer(session.Reaction{}, nil)
		return
	}
	q := a.asked[at.Element]
	if q == nil {
		q = &asked{}
		a.asked[at.Element] = q
		a.table.Use(at.Element)
	}
	q.at, q.failures, q.waiting = a.loop.Now(), a.pool.Failures(at.Element), true
	answer(session.Reaction{Send: []byte(protocol.RedisCommandQuery), Expect: func(reply []byte) error {
		a.learn(at.Element, q, reply)
		return nil
	}}, nil)
}

// due reports whether the server of a new leg is to be asked.
func (a *asker) due(at session.Moment) bool {
	q := a.asked[at.Element]
	if q == nil || q.failures != a.pool.Failures(at.Element) {
		return true
	}
	age := a.loop.Now().Sub(q.at)
	switch {
	case q.waiting:
		return age >= askPatience
	case !q.known: // a session that was moved has its login again, where the first leg of one has not
		return at.Failover || age >= askRefused
	}
	return age >= askAgain
}

// learn takes a server's answer.
func (a *asker) learn(element string, q *asked, reply []byte) {
	n, err := a.table.Learn(element, reply)
	q.waiting, q.known = false, err == nil
	switch {
	case err == nil:
		a.log.Debug("the server told its commands", "pool_element", element, "commands", n)
		q.told = ""
	case a.table.Known(): // a session that listens to messages (RESP2) must not ask; another one will
		a.log.Debug("the server does not tell its commands on this connection", "pool_element", element, "reason", err)
	case q.told != err.Error():
		q.told = err.Error()
		a.log.Warn("the server does not tell which commands may be repeated: none is, but those in safe", "pool_element", element, "reason", err)
	}
	a.first.later()
}

// firstAsker is the client of a session that is there for its callback only: so that the answer is there before clients are. It
// is the session's socket, too.
type firstAsker struct {
	loop    loop.Loop
	session *session.Session // nil: there is none
	limit   loop.Timer
}

var errAsked = errors.New("the server was asked for its commands")

// begin opens the session. Where no server is reached for a while, the first client's leg asks.
func (f *firstAsker) begin(rules *session.User) {
	f.limit.Func = f.end
	f.loop.Schedule(&f.limit, f.loop.Now().Add(askPatience))
	f.session = rules.Accept(f, "poolproxy itself")
}

// later ends the session when this turn ends: it may be the one that calls.
func (f *firstAsker) later() {
	if f.session != nil {
		f.loop.Later(f.end)
	}
}

func (f *firstAsker) end() {
	f.loop.Cancel(&f.limit)
	if s := f.session; s != nil {
		f.session = nil
		s.Broken(errAsked)
	}
}

// Write takes what the server says unasked (session.Socket).
func (f *firstAsker) Write(bufs ...[]byte) (n int, err error) {
	for _, p := range bufs {
		n += len(p)
	}
	return n, nil
}

// CloseWrite hears the server's end (session.Socket).
func (f *firstAsker) CloseWrite() error {
	f.later()
	return nil
}

// Close hears that the session is over (session.Socket).
func (f *firstAsker) Close() { f.Reset() }

// Reset hears that the session is over (session.Socket).
func (f *firstAsker) Reset() {
	f.session = nil
	f.loop.Cancel(&f.limit)
}

// ReadOn has nothing to read on (session.Socket).
func (f *firstAsker) ReadOn() {}

// updated forgets the elements that the pool does not have any more, when no association leads there: until then what their servers say of
// commands counts, for requests that they have carried out may be repeated elsewhere.
func (a *asker) updated(rules *session.User) {
	if a == nil || len(a.asked) == 0 {
		return
	}
	known := make(map[string]bool)
	for _, e := range a.pool.States() {
		known[e.Name] = true
	}
	for name := range a.asked {
		if !known[name] && !rules.Uses(name) {
			delete(a.asked, name)
			a.table.Forget(name)
		}
	}
}

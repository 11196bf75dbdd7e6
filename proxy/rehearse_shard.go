package proxy

import (
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// rehearsalSide is a rehearsal of one session: rules of its own, whose pool is the element for rehearsals, beside those of the pool_user whose
// session it is. So nothing that happens there is known to the pool, to other sessions, or to this one. It belongs to the shard's goroutine.
type rehearsalSide struct {
	user   *userSide
	rules  *session.User
	direct *elementSide // mapping none: the element's rules, in this process; else nil
	run    *session.Rehearsal
	done   func(session.Rehearsed) // nil: it was told
}

// rehearse begins to rehearse a session of this shard. done is told what comes of it, once, if there is no error.
func (s *Shard) rehearse(x script, timeout time.Duration, done func(session.Rehearsed)) (*rehearsalSide, error) {
	u := s.user(x.user)
	if u == nil || u.rules.Session(x.id) == nil {
		return nil, fmt.Errorf("%w: it has ended", session.ErrNothing)
	}
	b := s.layout.pools[u.config.Pool]
	if b == nil || len(b.config.Rehearsals) == 0 || u.rehearsal != nil {
		return nil, fmt.Errorf("%w: the configuration has changed meanwhile", session.ErrNothing)
	}
	r := &rehearsalSide{user: u, done: done}
	if err := r.makeRules(*b); err != nil {
		return nil, err
	}
	u.rehearsal = r
	run, err := r.rules.Rehearse(u.rules.Session(x.id), timeout, r.tell)
	if r.run = run; err != nil {
		r.done = nil
		r.close()
		return nil, err
	}
	return r, nil
}

// makeRules makes the rules, for the pool of one element.
func (r *rehearsalSide) makeRules(b poolBlock) error {
	u, s := r.user, r.user.shard
	c, e := u.config, b.config.Rehearsals[0]
	b.config.Elements = b.config.Rehearsals
	b.pool = pool.New(c.Pool, pool.RoundRobin, b.config.Elements)
	dialer, err := r.dialer(&b, e)
	if err != nil {
		return err
	}
	var callbacks []session.Callback
	for _, x := range c.Callbacks {
		if x.Rule != nil { // programs are not run
			callbacks = append(callbacks, x.Rule)
		}
	}
	r.rules = session.NewUser(session.UserConfig{Loop: s.loop, Name: c.Name, Instance: s.common.token(), Pool: b.pool, Dialer: dialer,
		Association: associationConfig(c.Heartbeat), Protocol: c.Protocol, Memory: c.Memory, Callbacks: callbacks, Associations: 1, Once: true,
		Failover: session.Failover{Replay: session.ReplayNone, Ack: session.AckDelivered, Attempts: 1, Deadline: time.Hour, Fence: c.Failover.Fence},
		Random:   s.random, Number: s.nextNumber, Trace: s.rehearsalTrace(c.Name, e.Name),
		Script: &session.ScriptConfig{Memory: 2 * c.Rehearsal.Memory, Scarce: func() bool { return s.full(true) }}})
	return nil
}

// dialer is what the association with the element is begun by, as with others of the pool.
func (r *rehearsalSide) dialer(b *poolBlock, e pool.Element) (mapping.Dialer, error) {
	u, s := r.user, r.user.shard
	switch {
	case b.config.Mapping == mapping.None:
		direct := mapping.NewDirect()
		var err error
		r.direct, err = newDirectSide(u, direct, e, nil)
		return direct, err
	case b.config.Mapping == mapping.SCTP:
		return s.sctp(b.config, u.config, b.pool), nil
	case b.config.TLS != nil:
		return s.secured(b, u.config), nil
	}
	return mapping.TCPMapping{}, nil
}

// rehearsalTrace is what the rules of a rehearsal report to: the log, where nobody need be alarmed.
func (s *Shard) rehearsalTrace(user, element string) session.Trace {
	log := s.log.Named(user).With("rehearsal_at", element)
	return session.Trace{Log: func(_ byte, message string, args ...any) { log.Debug(message, args...) }}
}

// tell takes what has come of it.
func (r *rehearsalSide) tell(t session.Rehearsed) {
	if r.done == nil {
		return
	}
	done := r.done
	r.done = nil
	r.user.shard.loop.Later(r.close) // the rules are in the middle of it
	done(t)
}

// end ends it early. There may be none (nil). Twice is harmless.
func (r *rehearsalSide) end(reason string) {
	if r == nil || r.done == nil {
		return
	}
	r.run.End(reason)
}

// endRehearsal ends the rehearsal of one of its sessions, if there is one, and lets go of what it has.
func (u *userSide) endRehearsal(reason string) {
	if r := u.rehearsal; r != nil {
		r.end(reason)
		r.close()
	}
}

// close lets go of everything.
func (r *rehearsalSide) close() {
	if r.user.rehearsal == r {
		r.user.rehearsal = nil
	}
	if r.rules != nil {
		r.rules.Close()
		r.rules = nil
	}
	if r.direct != nil {
		r.direct.close()
		r.direct = nil
	}
}

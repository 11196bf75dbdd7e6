package proxy

import (
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/session"
)

// Observer is told of what becomes of sessions. Its methods are called on the goroutines of the shards, of several at once:
// they return at once, whatever becomes of what they were told.
type Observer interface {
	Failover(Record)
	Ended(SessionEnd)
}

// SessionEnd is what remains of a session, with the pool_user that it was one of.
type SessionEnd struct {
	Pool, User string
	session.Ended
}

// observe has the observers, if there are any, told of what happens at a pool_user.
func (s *Shard) observe(user string, t *session.Trace) {
	all := s.common.observers
	if len(all) == 0 {
		return
	}
	pool, record := s.poolOf(user), t.Failover
	t.Failover = func(r session.Record) {
		record(r)
		for _, o := range all {
			o.Failover(Record{User: user, Record: r})
		}
	}
	t.Ended = func(e session.Ended) {
		for _, o := range all {
			o.Ended(SessionEnd{pool, user, e})
		}
	}
}

// Add counts n of what a counter counts, in a meter that may be nil, from any goroutine. There are as many values as the
// counter has labels.
func (m *Metric) Add(to *metrics.Metrics, n int, values ...string) {
	if to != nil && n > 0 {
		to.IncrCounterWithLabels([]string{m.Name}, float32(n), m.tags(values))
	}
}

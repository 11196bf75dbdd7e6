package main

import (
	"maps"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/proxy/access"
	"github.com/poolproxy/poolproxy/proxy/traces"
)

// observers are what a configuration wants to be told of what becomes of sessions: the access log, and the traces of failovers. Others may take
// their place while the proxy tells them (proxy.Observer).
type observers struct {
	now       atomic.Pointer[watching]
	endReopen func()
}

// watching are the observers of one configuration. Each may be nil.
type watching struct {
	access *access.Log
	traces *traces.Traces
}

// newObservers returns observers of nothing. The signal to open the log again is taken also where there is none: it would end the process.
func newObservers() *observers {
	o := &observers{}
	o.now.Store(&watching{})
	o.endReopen = onReopen(func() {
		if l := o.now.Load().access; l != nil {
			l.Reopen()
		}
	})
	return o
}

// Failover is of proxy.Observer.
func (o *observers) Failover(r proxy.Record) {
	if t := o.now.Load().traces; t != nil {
		t.Failover(r)
	}
}

// Ended is of proxy.Observer.
func (o *observers) Ended(e proxy.SessionEnd) {
	if l := o.now.Load().access; l != nil {
		l.Ended(e)
	}
}

// prepare begins what another configuration wants, or keeps what is the same. left are those that end if it is taken, begun those that do if not.
func (o *observers) prepare(was, c proxy.Config, log hclog.Logger, meter *metrics.Metrics) (next *watching, left, begun []func(), err error) {
	now := *o.now.Load()
	next = &now
	if c.Access != was.Access {
		if now.access != nil {
			left = append(left, now.access.Close)
		}
		if next.access = nil; c.Access.File != "" {
			if next.access, err = access.Open(c.Access, log.Named("access_log"), meter); err != nil {
				return nil, nil, nil, err
			}
			begun = append(begun, next.access.Close)
		}
	}
	if c.Traces != was.Traces || c.Traces.OTLP != "" && !sameUsers(was, c) {
		if now.traces != nil {
			left = append(left, now.traces.Close)
		}
		if next.traces = nil; c.Traces.OTLP != "" {
			if next.traces, err = traces.Start(c, versionText(), log.Named("traces"), meter); err != nil {
				for _, end := range begun {
					end()
				}
				return nil, nil, nil, err
			}
			begun = append(begun, next.traces.Close)
		}
	}
	return next, left, begun, nil
}

// sameUsers reports whether the same pool_users use the same pools: traces tell of that.
func sameUsers(a, b proxy.Config) bool {
	in := func(c proxy.Config) map[string]string {
		all := make(map[string]string)
		for _, u := range c.Users {
			all[u.Name] = u.Pool
		}
		return all
	}
	return maps.Equal(in(a), in(b))
}

// close ends them, when the proxy has ended.
func (o *observers) close() {
	o.endReopen()
	was := o.now.Swap(&watching{})
	if was.access != nil {
		was.access.Close()
	}
	if was.traces != nil {
		was.traces.Close()
	}
}

package main

import (
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/proxy/access"
	"github.com/poolproxy/poolproxy/proxy/traces"
)

// observers are what a configuration wants to be told of what becomes of sessions: the access log, and the traces of failovers.
// What is returned last ends them, and has to be called when the proxy has ended.
func observers(c proxy.Config, log hclog.Logger, meter *metrics.Metrics) (all []proxy.Observer, end func(), err error) {
	reopen := func() {} // the signal is taken also where there is no log: it would end the process
	var ends []func()
	end = func() {
		for _, f := range ends {
			f()
		}
	}
	if c.Access.File != "" {
		l, err := access.Open(c.Access, log.Named("access_log"), meter)
		if err != nil {
			return nil, nil, err
		}
		all, ends, reopen = append(all, l), append(ends, l.Close), l.Reopen
	}
	if c.Traces.OTLP != "" {
		t, err := traces.Start(c, versionText(), log.Named("traces"), meter)
		if err != nil {
			end()
			return nil, nil, err
		}
		all, ends = append(all, t), append(ends, t.Close)
	}
	ends = append([]func(){onReopen(reopen)}, ends...)
	return all, end, nil
}

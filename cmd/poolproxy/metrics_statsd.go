package main

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
)

// statsd sends durations in milliseconds, as its protocol has them; ours are in seconds.
type statsd struct{ *metrics.StatsdSink }

// newStatsd sends to the daemon at an address until Shutdown. Nobody may tell it anything afterwards.
func newStatsd(at netip.AddrPort, log hclog.Logger) (*statsd, error) {
	daemon, err := metrics.NewStatsdSinkWithLogger(at.String(), log.Named("statsd"))
	if err != nil {
		return nil, fmt.Errorf("metrics.statsd: %w", err)
	}
	return &statsd{daemon}, nil
}

// AddSampleWithLabels is of metrics.MetricSink.
func (s *statsd) AddSampleWithLabels(key []string, value float32, labels []metrics.Label) {
	s.StatsdSink.AddSampleWithLabels(key, 1000*value, labels)
}

// switched is a sink that may become another one, or none, while it is told things.
type switched struct {
	metrics.BlackholeSink // nothing is told without labels

	mu  sync.RWMutex // held for reading while the daemon is told something, which does not wait
	now *statsd      // guarded by mu; nil: nobody is told
}

// to goes over to another one, and shuts the one before down.
func (s *switched) to(next *statsd) {
	s.mu.Lock()
	was := s.now
	s.now = next
	s.mu.Unlock()
	if was != nil {
		was.Shutdown()
	}
}

// SetGaugeWithLabels is of metrics.MetricSink.
func (s *switched) SetGaugeWithLabels(key []string, value float32, labels []metrics.Label) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.now != nil {
		s.now.SetGaugeWithLabels(key, value, labels)
	}
}

// IncrCounterWithLabels is of metrics.MetricSink.
func (s *switched) IncrCounterWithLabels(key []string, value float32, labels []metrics.Label) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.now != nil {
		s.now.IncrCounterWithLabels(key, value, labels)
	}
}

// AddSampleWithLabels is of metrics.MetricSink.
func (s *switched) AddSampleWithLabels(key []string, value float32, labels []metrics.Label) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.now != nil {
		s.now.AddSampleWithLabels(key, value, labels)
	}
}

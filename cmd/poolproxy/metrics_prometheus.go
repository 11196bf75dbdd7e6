package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/poolproxy/poolproxy/proxy"
)

// meters are where the proxy's figures go: to the page /metrics in Prometheus's format, and to a statsd daemon if there is one.
type meters struct {
	*metrics.Metrics
	page   http.Handler
	daemon *switched
}

// newMetrics makes meters without a daemon. The registry is its own: what libraries put into the global one is not for our users.
func newMetrics() (*meters, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	page, err := newPageSink(registry)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m := &meters{page: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), daemon: &switched{}}
	if m.Metrics, err = metrics.New(meterConfig(), metrics.FanoutSink{page, m.daemon}); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.send(nil)
	return m, nil
}

// send has the figures sent to a daemon from now on, and not to the one before; nil: to none.
func (m *meters) send(to *statsd) {
	m.daemon.to(to)
	m.SetGaugeWithLabels([]string{"info"}, 1, []metrics.Label{{Name: "version", Value: versionText()}})
}

// pageSink has the proxy's metrics for the page. That of go-metrics makes summaries of samples, which cannot be added up over processes; these are
// histograms, and only what the proxy declares, so that each has its labels and its help. Counters begin with the process and never expire.
type pageSink struct {
	metrics.BlackholeSink // nothing is told without labels

	gauges   map[string]*prometheus.GaugeVec
	counters map[string]*prometheus.CounterVec
	samples  map[string]*prometheus.HistogramVec
}

// infoHelp is of the one metric that is the process's, not the proxy's.
const infoHelp = "1; the label says which version runs."

func newPageSink(registry *prometheus.Registry) (*pageSink, error) {
	s := &pageSink{gauges: map[string]*prometheus.GaugeVec{}, counters: map[string]*prometheus.CounterVec{}, samples: map[string]*prometheus.HistogramVec{}}
	declared := append([]*proxy.Metric{{Name: "info", Kind: proxy.Gauge, Labels: []string{"version"}, Help: infoHelp}}, proxy.Metrics()...)
	for _, m := range declared {
		name := "poolproxy_" + m.Name
		var c prometheus.Collector
		switch m.Kind {
		case proxy.Gauge:
			s.gauges[name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: m.Help}, m.Labels)
			c = s.gauges[name]
		case proxy.Counter:
			s.counters[name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: m.Help}, m.Labels)
			c = s.counters[name]
		case proxy.Histogram:
			s.samples[name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
			c = s.samples[name]
		default:
			return nil, fmt.Errorf("%s is of kind %q, which there is not", name, m.Kind)
		}
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// nameOf is how a key is called; keys are "poolproxy" and the name.
func nameOf(key []string) string { return strings.Join(key, "_") }

// SetGaugeWithLabels is of metrics.MetricSink. What is not declared is not ours, and left out; so with the others.
func (s *pageSink) SetGaugeWithLabels(key []string, value float32, labels []metrics.Label) {
	if v, is := s.gauges[nameOf(key)]; is {
		if g, err := v.GetMetricWithLabelValues(values(labels)...); err == nil {
			g.Set(float64(value))
		}
	}
}

// IncrCounterWithLabels is of metrics.MetricSink.
func (s *pageSink) IncrCounterWithLabels(key []string, value float32, labels []metrics.Label) {
	if v, is := s.counters[nameOf(key)]; is {
		if c, err := v.GetMetricWithLabelValues(values(labels)...); err == nil {
			c.Add(float64(value))
		}
	}
}

// AddSampleWithLabels is of metrics.MetricSink.
func (s *pageSink) AddSampleWithLabels(key []string, value float32, labels []metrics.Label) {
	if v, is := s.samples[nameOf(key)]; is {
		if h, err := v.GetMetricWithLabelValues(values(labels)...); err == nil {
			h.Observe(float64(value))
		}
	}
}

// values are those of labels.
func values(labels []metrics.Label) []string {
	to := make([]string, len(labels))
	for i, l := range labels {
		to[i] = l.Value
	}
	return to
}

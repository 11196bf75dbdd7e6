package main

import (
	"fmt"
	"net/http"

	"github.com/hashicorp/go-metrics"
	sink "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics makes the meter that the proxy writes to, and the page /metrics in Prometheus's format. The registry is its own: what
// libraries put into the global one is not for our users.
func newMetrics() (*metrics.Metrics, http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Expiration 0: a counter that rests for a minute must not begin anew.
	out, err := sink.NewPrometheusSinkFrom(sink.PrometheusOpts{Name: "poolproxy_sink", Registerer: registry})
	if err != nil {
		return nil, nil, fmt.Errorf("metrics: %w", err)
	}
	meter, err := metrics.New(meterConfig(), out)
	if err != nil {
		return nil, nil, fmt.Errorf("metrics: %w", err)
	}
	return meter, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

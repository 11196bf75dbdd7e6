package main

import "github.com/hashicorp/go-metrics"

// meterConfig says how the proxy's figures are named: poolproxy_..., without the host's name, which whoever collects them knows. The
// runtime's figures are left out: go-metrics would collect them in a goroutine that never ends.
func meterConfig() *metrics.Config {
	c := metrics.DefaultConfig("poolproxy")
	c.EnableHostname = false
	c.EnableRuntimeMetrics = false
	return c
}

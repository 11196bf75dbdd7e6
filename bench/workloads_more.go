package main

import (
	"math"
	"slices"
	"time"
)

// besideWorkloads are requests that have to get past something else on the same way.
func besideWorkloads(length time.Duration) []workload {
	return []workload{
		{
			name: "mixed", title: "mixed: 16 connections beside one bulk download", class: classBeside,
			job: job{Kind: jobMixed, Connections: 16, Length: length}, figures: mixedFigures,
		},
		{
			name: "stall", title: "stall: 2,000/s over 16 beside a client that never reads", class: classBeside,
			job: job{Kind: jobStall, Connections: 16, Rate: 2000, Length: 2 * length}, figures: stallFigures,
		},
	}
}

// planWorkloads need a system that is set up for them.
func planWorkloads(length time.Duration) []workload {
	all := []workload{
		{
			name: "kill", title: "kill -9 under 100 connections", plan: planKill,
			job: job{Kind: jobKill, Connections: 100, Length: length}, figures: killFigures,
		},
		{
			name: "freeze", title: "freeze under 100 connections", plan: planFreeze,
			job: job{Kind: jobFreeze, Connections: 100, Length: length}, figures: killFigures,
		},
		{
			name: "kill-1", title: "kill -9 under 1 connection, again and again", plan: planKill,
			job:     job{Kind: jobKillAgain, Connections: 1, Length: 2 * length},
			figures: slices.Concat(killFigures, stepFigures),
		},
		{
			name: "http", title: "http, keep-alive, 64 connections", plan: planHTTP,
			job: job{Kind: jobHTTP, Connections: 64, Length: length}, figures: requestFigures,
		},
	}
	for _, p := range []struct {
		pipeline    int
		name, title string
	}{{1, "redis", "redis-benchmark, 50 clients"}, {16, "redis-16", "redis-benchmark, 50 clients, -P 16"}} {
		all = append(all, workload{
			name: p.name, title: p.title, plan: planRedis,
			job: job{Kind: jobRedis, Connections: 50, Pipeline: p.pipeline, Length: length}, figures: redisFigures,
		})
	}
	return all
}

// extra is a figure that the load itself has worked out. One that it did not is no number: it has no place in the tables.
func extra(name string) func(outcome) float64 {
	return func(o outcome) float64 {
		if v, ok := o.Values[name]; ok {
			return v
		}
		return math.NaN()
	}
}

var mixedFigures = []figure{
	{name: "rate", unit: "replies/s", of: rateOf},
	{name: "p50", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P50) / 1e3 }},
	{name: "p99", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P99) / 1e3 }},
	{name: valueBulk, unit: "MB/s", of: extra(valueBulk)},
}

var stallFigures = []figure{
	{name: "rate", unit: "replies/s", of: rateOf},
	{name: "p99", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P99) / 1e3 }},
	{name: valueRateShare, unit: "times", own: true, of: extra(valueRateShare)},
	{name: valueP99Share, unit: "times", less: true, own: true, of: extra(valueP99Share)},
}

var killFigures = []figure{
	{name: valueBroken, unit: "connections", less: true, own: true, of: extra(valueBroken)},
	{name: valueStuck, unit: "connections", less: true, own: true, of: extra(valueStuck)},
	{name: valueLost, unit: "replies", less: true, own: true, of: extra(valueLost)},
	{name: valueDoubled, unit: "replies", less: true, own: true, of: extra(valueDoubled)},
	{name: valueGap, unit: "ms", less: true, of: extra(valueGap)},
	{name: valueGap99, unit: "ms", less: true, of: extra(valueGap99)},
}

var stepFigures = makeStepFigures()

func makeStepFigures() []figure {
	all := []figure{{name: stepNoticed, unit: "ms", less: true, proxies: true, of: extra(stepNoticed)}}
	for _, s := range recordSteps {
		all = append(all, figure{name: s.name, unit: "ms", less: true, proxies: true, of: extra(s.name)})
	}
	return all
}

var redisFigures = []figure{
	{name: "GET", unit: "replies/s", of: extra("GET")},
	{name: "SET", unit: "replies/s", of: extra("SET")},
	{name: "CPU", unit: "µs/request", less: true, proxies: true, of: proxyMicroseconds},
}

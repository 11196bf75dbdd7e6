package main

import (
	"fmt"
	"time"
)

// class groups workloads, so that a system can say which it is for.
type class uint8

const (
	classBulk class = 1 << iota
	classRequests
	classConnect
	classIdle
)

const classAll = classBulk | classRequests | classConnect | classIdle

// figure is one number taken from a workload's outcome.
type figure struct {
	name, unit string
	less       bool // less is better
	proxies    bool // of the proxies themselves: where there are none, there is no such figure
	of         func(outcome) float64
}

func (f figure) label() string {
	if f.less {
		return f.name + ", " + f.unit + " ↓"
	}
	return f.name + ", " + f.unit + " ↑"
}

// workload is one thing that is measured of every system.
type workload struct {
	name, title string
	class       class
	fresh       bool // needs a system that has carried nothing yet
	job         job
	figures     []figure
}

// The lengths of one sample. The warm-up comes on top for request loads.
const (
	fullLength  = 750 * time.Millisecond
	shortLength = 250 * time.Millisecond
	warmup      = 100 * time.Millisecond
)

// allWorkloads is the table of what is measured, in this order. Length is that of one sample.
func allWorkloads(length time.Duration) []workload {
	var all []workload
	for _, kind := range []string{jobDown, jobUp} {
		for _, n := range []int{1, 8} {
			all = append(all, workload{
				name: fmt.Sprintf("%s-%d", kind, n), title: fmt.Sprintf("bulk %s, %d %s", kind, n, plural(n, "connection")),
				class: classBulk, job: job{Kind: kind, Connections: n, Length: length}, figures: bulkFigures,
			})
		}
	}
	for _, n := range []int{1, 64, 512} {
		all = append(all, workload{
			name: fmt.Sprintf("requests-%d", n), title: fmt.Sprintf("requests, %d %s", n, plural(n, "connection")),
			class: classRequests, job: job{Kind: jobClosed, Connections: n, Length: length}, figures: requestFigures,
		})
	}
	return append(all,
		workload{
			name: "steady", title: "steady 20,000/s, 64 connections", class: classRequests,
			job: job{Kind: jobOpen, Connections: 64, Rate: 20000, Length: length}, figures: requestFigures,
		},
		workload{
			name: "connect", title: "connect + request + close, 32 at once", class: classConnect,
			job: job{Kind: jobConnect, Connections: 32, Length: length}, figures: connectFigures,
		},
		workload{
			name: "idle", title: "1,000 idle sessions", class: classIdle, fresh: true,
			job: job{Kind: jobIdle, Connections: 1000}, figures: idleFigures,
		})
}

var bulkFigures = []figure{
	{name: "throughput", unit: "MB/s", of: func(o outcome) float64 { return float64(o.Bytes) / 1e6 / o.Seconds }},
	{name: "CPU", unit: "ms/GB", less: true, proxies: true, of: func(o outcome) float64 {
		return o.ProxyCPU * 1e3 / (float64(o.Bytes) / 1e9)
	}},
}

var requestFigures = []figure{
	{name: "rate", unit: "replies/s", of: rate},
	{name: "p50", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P50) / 1e3 }},
	{name: "p99", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P99) / 1e3 }},
	{name: "CPU", unit: "µs/request", less: true, proxies: true, of: proxyMicroseconds},
}

var connectFigures = []figure{
	{name: "rate", unit: "connections/s", of: rate},
	{name: "CPU", unit: "µs/connection", less: true, proxies: true, of: proxyMicroseconds},
}

var idleFigures = []figure{
	{name: "memory", unit: "KB/session", less: true, proxies: true, of: func(o outcome) float64 {
		return float64(o.ResidentAfter-o.ResidentBefore) / 1e3 / float64(o.Count)
	}},
	{name: "memory without sessions", unit: "MB", less: true, proxies: true, of: func(o outcome) float64 {
		return float64(o.ResidentBefore) / 1e6
	}},
}

func rate(o outcome) float64 { return float64(o.Count) / o.Seconds }

func proxyMicroseconds(o outcome) float64 { return o.ProxyCPU * 1e6 / float64(o.Count) }

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

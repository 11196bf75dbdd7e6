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
	classCrowd  // more idle sessions than some can take
	classBeside // requests beside something that takes or blocks the way
	classHistory
	classLegion // so many sessions that a process with two descriptors for each would need more than are allowed
)

const classAll = classBulk | classRequests | classConnect | classIdle | classCrowd | classBeside

// Plans are other ways to set a system up than two hops and the origin. See system.plans.
const (
	planKill   = "kill"   // two origins, each behind a second hop of its own; the first one is preferred
	planFreeze = "freeze" // the same, where a server's silence counts as its death
	planHTTP   = "http"   // the hops speak http
	planRedis  = "redis"  // the server is a redis-server
	planLink   = "link"   // a bad link is between the hops

	planElements = "elements" // a pool of many elements
)

// figure is one number taken from a workload's outcome.
type figure struct {
	name, unit string
	less       bool // less is better
	proxies    bool // of the proxies themselves: where there are none, there is no such figure
	own        bool // it says something by itself, on any machine
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
	plan        string // if not empty, only systems that have it take part, and class does not count
	link        *link  // for planLink
	elements    int    // for planElements
	fresh       bool   // needs a system that has carried nothing yet
	job         job
	figures     []figure
}

// alone tells that a system is started for one sample of this workload.
func (w workload) alone() bool { return w.fresh || w.plan != "" }

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
	all = append(all,
		workload{
			name: "steady", title: "steady 20,000/s, 64 connections", class: classRequests,
			job: job{Kind: jobOpen, Connections: 64, Rate: 20000, Length: length}, figures: requestFigures,
		},
		workload{
			name: "connect", title: "connect + request + close, 32 at once", class: classConnect,
			job: job{Kind: jobConnect, Connections: 32, Length: length}, figures: connectFigures,
		},
		idle(1000, "1,000", classIdle), idle(5000, "5,000", classCrowd))
	return append(append(all, besideWorkloads(length)...), planWorkloads(length)...)
}

func idle(n int, title string, c class) workload {
	return workload{
		name: fmt.Sprintf("idle-%d", n), title: title + " idle sessions", class: c, fresh: true,
		job: job{Kind: jobIdle, Connections: n}, figures: idleFigures,
	}
}

var bulkFigures = []figure{
	{name: "throughput", unit: "MB/s", of: func(o outcome) float64 { return float64(o.Bytes) / 1e6 / o.Seconds }},
	{name: "CPU", unit: "ms/GB", less: true, proxies: true, of: func(o outcome) float64 {
		return o.ProxyCPU * 1e3 / (float64(o.Bytes) / 1e9)
	}},
}

var requestFigures = []figure{
	{name: "rate", unit: "replies/s", of: rateOf},
	{name: "p50", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P50) / 1e3 }},
	{name: "p99", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P99) / 1e3 }},
	{name: "CPU", unit: "µs/request", less: true, proxies: true, of: proxyMicroseconds},
}

var connectFigures = []figure{
	{name: "rate", unit: "connections/s", of: rateOf},
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

func rateOf(o outcome) float64 { return float64(o.Count) / o.Seconds }

func proxyMicroseconds(o outcome) float64 { return o.ProxyCPU * 1e6 / float64(o.Count) }

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

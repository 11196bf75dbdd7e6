//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// sessionSystem keeps the whole session to be sent again.
const sessionSystem = "poolproxy-session"

const growthLength = 300 * time.Millisecond

// allSeries is the table of what grows.
func allSeries() []series {
	return slices.Concat(sessionSeries(), messageSeries(), elementSeries(), linkSeries(), tlsSeries())
}

var growthCPU = figure{name: "CPU", unit: "µs/request", less: true, proxies: true, of: proxyMicroseconds}

// sessionSeries: many sessions, busy and idle.
func sessionSeries() []series {
	two := []string{baseSystem, "poolproxy-line"}
	files := float64(filesAllowed())
	most := min(20000, max(files-500, 1000))
	of := func(x float64, c class) class {
		if 2*x+500 > files {
			return classLegion
		}
		return c
	}
	return []series{{
		name: "sessions", title: "sessions", axis: "sessions", label: count, systems: two, rounds: 3,
		points: []float64{1, 4, 16, 64, 256, 1000, 2500, 5000, min(10000, most/2), most},
		workload: func(x float64) workload {
			long := growthLength + time.Duration(x)*100*time.Microsecond // several requests of each
			return workload{class: of(x, classRequests), fresh: true, job: job{Kind: jobClosed, Connections: int(x), Warmup: long / 2, Length: long}}
		},
		figures: []growthFigure{{figure: growthCPU, file: "sessions", about: "CPU per request of 128 bytes, all sessions busy", why: map[string]reasons{
			baseSystem:       {falls: whyWakeShared, rises: whyCaches},
			"poolproxy-line": {falls: whyBatches, rises: whyCaches},
		}}},
	}, {
		name: "idle", title: "idle sessions", axis: "idle sessions", label: count, systems: two, rounds: 2,
		points:   []float64{100, 1000, 5000, most},
		workload: func(x float64) workload { return idle(int(x), "", of(x, classCrowd)) },
		figures: []growthFigure{{figure: idleFigures[0], file: "idle", about: "memory of both hops per idle session", why: map[string]reasons{
			baseSystem:       {rises: whyPools},
			"poolproxy-line": {falls: whyOnce, rises: whyTables}}}},
	}}
}

// messageSeries: long messages, and a long history.
func messageSeries() []series {
	return []series{{
		name: "size", title: "message size", axis: "bytes", label: size, systems: []string{baseSystem, "poolproxy-line"}, rounds: 3,
		points: []float64{16, 128, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20},
		workload: func(x float64) workload {
			j := job{Kind: jobSized, Connections: 16, Size: int(x), Length: growthLength}
			if x > 1<<20 {
				j.Connections, j.Length = 4, 3*growthLength
			}
			return workload{class: classRequests, job: j}
		},
		figures: []growthFigure{{figure: growthCPU, file: "size", about: "CPU per request and reply by their size, 16 connections (from 4 MiB on 4)", why: map[string]reasons{
			baseSystem:       {rises: whyCopies},
			"poolproxy-line": {rises: whyCopiesAndLooks},
		}}},
	}, {
		name: "history", title: "history retained", axis: "bytes retained", label: size, systems: []string{sessionSystem}, rounds: 3,
		points: []float64{0, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20},
		workload: func(x float64) workload {
			return workload{class: classHistory, fresh: true,
				job: job{Kind: jobSized, Connections: 1, Size: 128, Fill: int64(x), Length: growthLength}}
		},
		figures: []growthFigure{{figure: growthCPU, file: "history",
			about: "CPU per request of 128 bytes with a retained history, 1 connection, replay = \"session\""}},
	}}
}

// elementSeries: pools of many elements, each behind a pool_element of its own.
func elementSeries() []series {
	points := []float64{1, 10, 100, 1000}
	with := func(w workload) func(x float64) workload {
		return func(x float64) workload { w.elements = int(x); return w }
	}
	one := []string{elementsSystem}
	return []series{{
		name: "elements", title: "elements, requests", axis: "elements", label: count, systems: one, points: points, rounds: 3,
		workload: with(workload{plan: planElements, job: job{Kind: jobClosed, Connections: 1000, Warmup: 500 * time.Millisecond, Length: 2 * growthLength}}),
		figures: []growthFigure{{figure: growthCPU, file: "elements", about: "CPU of the pool user per request, 1,000 busy sessions",
			why: map[string]reasons{"": {rises: whyFewerEach}}}},
	}, {
		name: "establish", title: "elements, sessions", axis: "elements", label: count, systems: one, points: points, rounds: 3,
		workload: with(workload{plan: planElements, job: job{Kind: jobIdle, Connections: 1000}}),
		figures: []growthFigure{
			{figure: figure{name: "first reply", unit: "µs", less: true, of: func(o outcome) float64 { return float64(o.P50) / 1e3 }}, file: "establish",
				about: "From a client's connect to its first reply, median of 1,000 one after the other", why: map[string]reasons{
					"": {rises: whyFirstSession}}},
			{figure: figure{name: "memory", unit: "MB", less: true, proxies: true, of: func(o outcome) float64 { return float64(o.ResidentAfter) / 1e6 }},
				file: "elements-memory", about: "Memory of the pool user with 1,000 idle sessions", why: map[string]reasons{
					"": {rises: whyTablesOfEach}}},
		},
	}, {
		name: "elements-kill", title: "elements, failover", axis: "elements", label: count, points: []float64{2, 10, 100, 1000}, rounds: 3,
		systems:  []string{aliveSystem, deadSystem},
		workload: with(workload{plan: planElements, job: job{Kind: jobKill, Connections: 10, Length: growthLength}}),
		figures: []growthFigure{{figure: figure{name: valueGap, unit: "ms", less: true, of: extra(valueGap)}, file: "elements-kill",
			about: "kill -9 of the serving element's server under 10 sessions: gap, median", why: map[string]reasons{
				aliveSystem: {rises: whyLooking},
				deadSystem:  {rises: whyAsking}}}},
	}}
}

// The round-trip times and losses of linkSeries.
var (
	linkTimes  = []float64{0, 1, 5, 25, 100} // ms
	linkLosses = []float64{0, 0.1, 1, 3}     // percent
)

// linkSeries: the path between the hops is slow, or loses packets.
func linkSeries() []series {
	systems := []string{baseSystem, "poolproxy-line", "poolproxy-line-2", "poolproxy-line-4", "poolproxy-line-8"}
	work := func(rtt, loss float64) workload {
		l := &link{Delay: time.Duration(rtt * float64(time.Millisecond) / 2), Loss: loss / 100}
		j := job{Kind: jobClosed, Connections: 64, Warmup: 500 * time.Millisecond, Length: 1200 * time.Millisecond}
		return workload{plan: planLink, link: l, job: j}
	}
	figures := func(name, title string, rate, p50, p99 map[string]reasons) []growthFigure {
		return []growthFigure{
			{figure: figure{name: "rate", unit: "replies/s", of: rateOf}, file: name + "-rate", about: title + ": replies per second", why: rate},
			{figure: figure{name: "p50", unit: "ms", less: true, of: func(o outcome) float64 { return float64(o.P50) / 1e6 }}, file: name + "-p50",
				about: title + ": median latency", why: p50},
			{figure: figure{name: "p99", unit: "ms", less: true, of: func(o outcome) float64 { return float64(o.P99) / 1e6 }}, file: name + "-p99",
				about: title + ": p99 of latency", why: p99},
		}
	}
	number := func(x float64) string { return fmt.Sprint(x) }
	delayed := map[string]reasons{"": {rises: whyRoundTrip}}
	all := []series{{
		name: "delay", title: "delay", axis: "round-trip time, ms", label: number, points: linkTimes, rounds: 2,
		systems:  []string{baseSystem, "poolproxy-line", "poolproxy-line-4"},
		workload: func(x float64) workload { return work(x, 0) },
		figures: figures("delay", "64 connections over a slow path", map[string]reasons{
			"": {falls: whyClosedLoop}}, delayed, delayed),
	}}
	for _, rtt := range []float64{1, 25} {
		name := fmt.Sprintf("loss-%v", rtt)
		lost := map[string]reasons{
			baseSystem: {rises: whyTimer, falls: whyIdler},
			"": {rises: whyHeadOfLine,
				falls: whyIdler}}
		fewer := map[string]reasons{"": {falls: whyWaiting}}
		all = append(all, series{
			name: name, title: "loss", axis: "loss, %", label: number, systems: systems, points: linkLosses, rounds: 2,
			workload: func(x float64) workload { return work(rtt, x) },
			figures:  figures(name, fmt.Sprintf("64 connections, RTT %v ms, with loss", rtt), fewer, lost, lost),
		})
	}
	return all
}

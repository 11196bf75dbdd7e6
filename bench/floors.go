//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// floor is one line of what poolproxy has to reach, and of what it aims at: of a ratio to a peer, or of a figure of its own.
type floor struct {
	text                     string
	workload, figure, system string
	peer                     string // "": the figure itself counts
	congestion               string // "": the first one of the run
	floor, goal              float64
	unit                     string // of the figure itself
}

// allFloors are those of issue 4. Those of bulk by splice come from ratios to an HAProxy that copies, its default; the ratio to one that
// splices, too, stands beside each.
var allFloors = []floor{
	{"replies/s at 64 connections", "requests-64", "rate", "poolproxy-line", baseSystem, "", 1.25, 1.5, ""},
	{"replies/s at 512 connections", "requests-512", "rate", "poolproxy-line", baseSystem, "", 1.35, 1.6, ""},
	{"CPU per request at 512 connections", "requests-512", "CPU", "poolproxy-line", baseSystem, "", 0.70, 0.50, ""},
	{"p50 at 1 connection", "requests-1", "p50", "poolproxy-line", baseSystem, "", 1.15, 1.0, ""},
	{"p99 at a steady 20,000/s", "steady", "p99", "poolproxy-line", baseSystem, "", 1.0, 0.8, ""},
	{"connect-request-close per s", "connect", "rate", "poolproxy-line", baseSystem, "", 1.2, 1.35, ""},
	{"bulk, stream, 8 connections, to HAProxy that copies", "down-8", "throughput", "poolproxy-stream", baseSystem, "", 0.9, 1.0, ""},
	{"the same where the floor is for splicing, bbr", "down-8", "throughput", "poolproxy-stream", baseSystem, "bbr", 1.8, 2.5, ""},
	{"the same, to HAProxy that splices, too, bbr", "down-8", "throughput", "poolproxy-stream", spliceSystem, "bbr", 1.8, 2.5, ""},
	{"the same where the floor is for splicing, reno", "down-8", "throughput", "poolproxy-stream", baseSystem, "reno", 1.3, 1.7, ""},
	{"the same, to HAProxy that splices, too, reno", "down-8", "throughput", "poolproxy-stream", spliceSystem, "reno", 1.3, 1.7, ""},
	{"http, keep-alive, 64 connections: replies/s", "http", "rate", "poolproxy-http", baseSystem, "", 1.0, 1.3, ""},
	{"mixed: 16 connections beside one bulk download: replies/s", "mixed", "rate", "poolproxy-line", baseSystem, "", 5, 10, ""},
	{"the same, to HAProxy with nbthread 1", "mixed", "rate", "poolproxy-line", singleSystem, "", 5, 10, ""},
	{"stall: rate beside a client that never reads, to that without it", "stall", valueRateShare, "poolproxy-line", "", "", 0.98, 1.0, "times"},
	{"stall: p99 beside a client that never reads, to that without it", "stall", valueP99Share, "poolproxy-line", "", "", 2, 1.2, "times"},
	{"redis-benchmark GET, 50 clients", "redis", "GET", "poolproxy-redis", baseSystem, "", 1.0, 1.4, ""},
	{"redis-benchmark SET, 50 clients", "redis", "SET", "poolproxy-redis", baseSystem, "", 1.0, 1.4, ""},
	{"redis-benchmark GET, 50 clients, -P 16", "redis-16", "GET", "poolproxy-redis", baseSystem, "", 1.0, 1.2, ""},
	{"redis-benchmark SET, 50 clients, -P 16", "redis-16", "SET", "poolproxy-redis", baseSystem, "", 1.0, 1.2, ""},
	{"memory per idle session, both sidecars, 5,000 sessions", "idle-5000", "memory", "poolproxy-line", baseSystem, "", 1.0, 0.25, ""},
	{"kill -9 under 100 connections: broken", "kill", valueBroken, "poolproxy-line", "", "", 0, 0, "of 100"},
	{"freeze under 100 connections, reply_timeout 200 ms: broken", "freeze", valueBroken, "poolproxy-line", "", "", 0, 0, "of 100"},
	{"the same: gap, p99", "freeze", valueGap99, "poolproxy-line", "", "", 400, 250, "ms"},
	{"kill -9 of the server → first reply of the next, 1 connection, median", "kill-1", valueGap, "poolproxy-line", "", "", 10, 2, "ms"},
	{"the same, p99 of 100 connections", "kill", valueGap99, "poolproxy-line", "", "", 100, 20, "ms"},
}

// verdict says, in words, where a value stands, to the two decimals that are shown.
func (f floor) verdict(value float64, less bool) string {
	value = math.Round(value*100) / 100
	reached := func(mark float64) bool {
		if less {
			return value <= mark
		}
		return value >= mark
	}
	switch {
	case math.IsNaN(value):
		return "not measured"
	case reached(f.goal):
		return "goal reached"
	case reached(f.floor):
		return "floor reached"
	default:
		return "**not reached**"
	}
}

// measured is the median of the ratios or of the figure; NaN if there is none.
func (f floor) measured(r *results) float64 {
	values := r.values(f.workload, f.system, f.figure)
	if f.peer != "" {
		values = ratios(values, r.values(f.workload, f.peer, f.figure))
	}
	return spreadOf(values).median
}

// say writes a value of the line.
func (f floor) say(value float64) string {
	switch {
	case math.IsNaN(value):
		return ""
	case f.peer != "" || f.unit == "times":
		return fmt.Sprintf("%.2f", value)
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", value), "0"), ".") + " " + f.unit
	}
}

// floorTable compares what was measured with what shall be reached. The verdict is on the line's congestion control, by default the first.
func (w *whole) floorTable() string {
	var out strings.Builder
	out.WriteString("| figure | system | compared with | floor | goal |")
	for _, p := range w.parts {
		out.WriteString(" " + p.Congestion + " |")
	}
	out.WriteString(" |\n| --- | --- | --- | ---: | ---: |" + strings.Repeat(" ---: |", len(w.parts)) + " --- |\n")
	for _, f := range allFloors {
		peer, judged := f.peer, math.NaN()
		if peer == "" {
			peer = "–"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |", f.text, f.system, peer, f.say(f.floor), f.say(f.goal))
		for i := range w.parts {
			p := &w.parts[i]
			value := f.measured(&p.Results)
			fmt.Fprintf(&out, " %s |", f.say(value))
			if f.congestion == p.Congestion || f.congestion == "" && i == 0 {
				judged = value
			}
		}
		fmt.Fprintf(&out, " %s |\n", f.verdict(judged, w.figure(f.workload, f.figure).less))
	}
	out.WriteString("\nThe measured ones are medians of the rounds. The floors and goals are those of issue 4.\n")
	return out.String()
}

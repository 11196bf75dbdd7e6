//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// series is one curve for each system: what a request costs while one thing grows.
type series struct {
	name, title, axis string
	points            []int
	systems           []string
	workload          func(x int) workload
	why               map[string]string // by system: why its curve is not flat
}

// growthFigure is what is plotted.
var growthFigure = figure{name: "CPU", unit: "µs/request", less: true, proxies: true, of: proxyMicroseconds}

const growthLength = 300 * time.Millisecond

// sessionSystem keeps the whole session to be sent again.
const sessionSystem = "poolproxy-session"

var allSeries = []series{
	{
		name: "sessions", title: "CPU per request of 128 bytes, all sessions busy", axis: "sessions",
		points: []int{1, 4, 16, 64, 256, 1000, 2500, 5000}, systems: []string{baseSystem, "poolproxy-line"},
		workload: func(x int) workload {
			return workload{class: classRequests, job: job{Kind: jobClosed, Connections: x, Length: growthLength}}
		},
		why: map[string]string{
			baseSystem: "the more sessions are busy, the more sockets are ready each time a thread wakes, so that waking up costs each of them " +
				"less; with thousands their sockets and buffers no longer fit the caches",
			"poolproxy-line": "the more sessions are busy, the more messages one read and one write of the association carry, and the more sockets " +
				"are ready in one turn of the loop; with thousands their state and sockets no longer fit the caches",
		},
	},
	{
		name: "size", title: "CPU per request by its size, 16 connections", axis: "bytes, of request and reply each",
		points: []int{16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}, systems: []string{baseSystem, "poolproxy-line"},
		workload: func(x int) workload {
			return workload{class: classRequests, job: job{Kind: jobSized, Connections: 16, Size: x, Length: growthLength}}
		},
		why: map[string]string{
			baseSystem: "up to some KiB a request costs its system calls and wake-ups, whatever its size; from there on it costs its bytes, which each " +
				"hop copies in and out in pieces of its buffer, 16 KiB",
			"poolproxy-line": "up to some KiB a request costs its system calls and wake-ups, whatever its size; from there on it costs its bytes, which " +
				"each hop copies in and out, and of which the first looks for the line's end and keeps a copy",
		},
	},
	{
		name: "history", title: "CPU per request of 128 bytes with a retained history, 1 connection, replay = \"session\"", axis: "bytes retained",
		points:  []int{0, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20},
		systems: []string{sessionSystem},
		workload: func(x int) workload {
			return workload{class: classHistory, fresh: true,
				job: job{Kind: jobSized, Connections: 1, Size: 128, Fill: int64(x), Length: growthLength}}
		},
	},
}

// growth measures all series and returns what is to be said of them; the plots are written into folder, if it is not empty. link is the
// path to that folder in the text.
func (w *whole) growth(folder, link string) (string, error) {
	var out strings.Builder
	for _, s := range allSeries {
		b := &bench{settings: w.settings, env: w.env}
		b.settings.rounds, b.settings.limit = min(w.settings.rounds, 3), 3*time.Minute
		var err error
		b.systems, err = choose(allSystems, s.systems, func(s system) string { return s.name }, nil)
		if err != nil {
			return "", err
		}
		for _, x := range s.points {
			work := s.workload(x)
			work.name, work.title, work.figures = fmt.Sprintf("%s-%s", s.name, short(x)), s.name+" "+short(x), []figure{growthFigure}
			b.workloads = append(b.workloads, work)
		}
		if err := b.start(); err != nil {
			return "", err
		}
		b.run()
		running.killAll()
		p := s.plot(b)
		fmt.Fprintf(&out, "![%s](%s/%s.svg)\n\n%s\n", s.title, link, s.name, s.say(p, b))
		if folder != "" {
			if err := os.WriteFile(filepath.Join(folder, s.name+".svg"), []byte(p.svg()), 0o644); err != nil {
				return "", fmt.Errorf("writing a plot: %w", err)
			}
		}
	}
	return out.String(), nil
}

// plot makes the curves of what was measured; points that were not are left out.
func (s series) plot(b *bench) plot {
	p := plot{title: s.title, x: s.axis, y: growthFigure.unit}
	for _, x := range s.points {
		p.labels = append(p.labels, short(x))
	}
	for _, name := range s.systems {
		c := curve{name: name}
		for i, w := range b.workloads {
			if v := spreadOf(b.results.values(w.name, name, growthFigure.name)); v.n > 0 {
				c.points = append(c.points, point{at: i, spread: v})
			}
		}
		p.curves = append(p.curves, c)
	}
	return p
}

// flatWithin is how many times the least of a flat curve its greatest is, at most.
const flatWithin = 1.3

// say puts each curve into words, with the reason if it is not flat, and names what failed.
func (s series) say(p plot, b *bench) string {
	var out strings.Builder
	for _, c := range p.curves {
		if len(c.points) == 0 {
			continue
		}
		low, high, first, last := c.points[0], c.points[0], c.points[0], c.points[len(c.points)-1]
		for _, q := range c.points {
			if q.median < low.median {
				low = q
			}
			if q.median > high.median {
				high = q
			}
		}
		at := func(q point) string { return fmt.Sprintf("%s at %s", number(q.median), p.labels[q.at]) }
		why := s.why[c.name]
		switch {
		case high.median <= flatWithin*low.median:
			why = "flat"
		case why == "":
			why = "**not explained yet**"
		}
		fmt.Fprintf(&out, "- %s, %s: %s, %s; least %s, greatest %s. %s.\n", c.name, p.y, at(first), at(last), at(low), at(high), capital(why))
	}
	t := tableOf{workloads: b.workloads, systems: s.systems, results: &b.results}
	return out.String() + t.failures()
}

// short writes a number of sessions or bytes: 16, 1K, 64M with powers of 1024; 1,000 where it is none.
func short(x int) string {
	switch {
	case x >= 1<<20 && x%(1<<20) == 0:
		return fmt.Sprintf("%dM", x>>20)
	case x >= 1<<10 && x%(1<<10) == 0:
		return fmt.Sprintf("%dK", x>>10)
	default:
		return fmt.Sprint(x)
	}
}

func capital(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

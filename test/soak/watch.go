//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// look is what one process had at one time, by its own metrics.
type look struct {
	Goroutines  float64 `json:"goroutines"`
	Descriptors float64 `json:"descriptors"`
	Resident    float64 `json:"resident_bytes"`
	Heap        float64 `json:"heap_bytes"`
	Buffers     float64 `json:"buffer_bytes"`
	Sessions    float64 `json:"sessions"` // at the element: legs
}

// sample is a look at both processes.
type sample struct {
	Seconds float64 `json:"seconds"` // since the beginning
	User    look    `json:"pool_user"`
	Element look    `json:"pool_element"`
}

// watch looks at the two processes that are never killed.
type watch struct {
	d      *deployment
	t      *traffic
	begun  time.Time
	ended  chan struct{}
	series []sample // run's, until it has ended
}

func newWatch(d *deployment, t *traffic) *watch {
	return &watch{d: d, t: t, begun: time.Now(), ended: make(chan struct{})}
}

// run looks until ctx ends; wait waits for it.
func (w *watch) run(ctx context.Context, o options) {
	defer close(w.ended)
	w.begun = time.Now()
	tick, told := time.NewTicker(o.sample), time.Now()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s, err := w.look()
		if err != nil {
			o.log("%v", err)
			continue
		}
		w.series = append(w.series, s)
		if time.Since(told) >= time.Minute {
			told = time.Now()
			o.log("%.0f s: %.0f sessions; pool_user: %.0f goroutines, %.0f descriptors, %.1f MiB; pool_element: %.0f, %.0f, %.1f MiB", s.Seconds, s.User.Sessions,
				s.User.Goroutines, s.User.Descriptors, s.User.Resident/(1<<20), s.Element.Goroutines, s.Element.Descriptors, s.Element.Resident/(1<<20))
		}
	}
}

func (w *watch) wait() { <-w.ended }

// look asks both.
func (w *watch) look() (s sample, err error) {
	s.Seconds = time.Since(w.begun).Seconds()
	if s.User, err = ask(w.d.admin); err == nil {
		s.Element, err = ask(w.d.hosts[len(w.d.hosts)-1].admin)
	}
	return s, err
}

// settle waits until no session is left anywhere, and as few goroutines and descriptors as there were before there was any, or for a minute;
// held legs are given up after fence, closed connections may linger for some seconds.
func (w *watch) settle(before sample) (s sample, err error) {
	for limit := time.Now().Add(time.Minute); ; time.Sleep(250 * time.Millisecond) {
		if s, err = w.look(); err != nil || time.Now().After(limit) {
			return s, err
		}
		if settled("pool_user", before.User, s.User, runtime.NumCPU()) == nil && settled("pool_element", before.Element, s.Element, runtime.NumCPU()) == nil {
			return s, nil
		}
	}
}

// fields are the metrics that make a look; several of one name are added up.
var fields = map[string]func(*look) *float64{
	"go_goroutines":                 func(l *look) *float64 { return &l.Goroutines },
	"process_open_fds":              func(l *look) *float64 { return &l.Descriptors },
	"process_resident_memory_bytes": func(l *look) *float64 { return &l.Resident },
	"go_memstats_heap_inuse_bytes":  func(l *look) *float64 { return &l.Heap },
	"poolproxy_buffer_bytes":        func(l *look) *float64 { return &l.Buffers },
	"poolproxy_sessions":            func(l *look) *float64 { return &l.Sessions },
	"poolproxy_legs":                func(l *look) *float64 { return &l.Sessions },
}

// ask reads the metrics of a process.
func ask(admin string) (l look, err error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		return l, fmt.Errorf("looking at %s: %w", admin, err)
	}
	defer response.Body.Close()
	found := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if ok && strings.Contains(lines.Text(), "{") { // labels may have spaces
			value = lines.Text()[strings.LastIndex(lines.Text(), " ")+1:]
		}
		field := fields[name]
		if field == nil {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return l, fmt.Errorf("looking at %s: %q: %w", admin, lines.Text(), err)
		}
		*field(&l) += n
		found++
	}
	if err := lines.Err(); err != nil || found < 5 {
		return l, fmt.Errorf("looking at %s: %d metrics, %v", admin, found, err)
	}
	return l, nil
}

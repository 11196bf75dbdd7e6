//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// measure is one of the things that must not grow.
type measure struct {
	name, unit string
	per        float64 // of what is counted, for people
	of         func(*look) float64
	share      float64 // of its mean by which it may seem to grow over the second half
	least      float64 // or this, if that is more
	judged     bool
}

// The bounds are what chance alone makes of the second half of an hour in which nothing grows, and some more. One goroutine or descriptor
// left over for each strike would be 900 of them, 4 KiB 3.6 MiB. What is in buffers is what the last strikes have made of them: in an hour the medians
// of its eighths went up and down between 4.3 and 6.7 MiB. Descriptors are counted without those of sessions: how many of these the
// one pool_element has is chance.
var measures = []measure{
	{"goroutines", "", 1, func(l *look) float64 { return l.Goroutines }, 0, 3, true},
	{"descriptors", "", 1, func(l *look) float64 { return l.Descriptors - l.Sessions }, 0, 10, true},
	{"resident memory", "MiB", 1 << 20, func(l *look) float64 { return l.Resident }, 0.05, 3 << 20, true},
	{"heap in use", "MiB", 1 << 20, func(l *look) float64 { return l.Heap }, 0.1, 3 << 20, true},
	{"buffers", "MiB", 1 << 20, func(l *look) float64 { return l.Buffers }, 0.5, 1 << 20, true},
	{"sessions", "", 1, func(l *look) float64 { return l.Sessions }, 0, 0, false},
}

// processes are the two that live all the time.
var processes = []struct {
	name string
	of   func(*sample) *look
}{
	{"pool_user", func(s *sample) *look { return &s.User }},
	{"pool_element", func(s *sample) *look { return &s.Element }},
}

// trend is how one measure of one process went over the second half.
type trend struct {
	Process string  `json:"process"`
	Measure string  `json:"measure"`
	Unit    string  `json:"unit"`
	Mean    float64 `json:"mean"`  // of the medians of its two halves
	Most    float64 `json:"most"`  // over all of the time
	Grew    float64 `json:"grew"`  // by what the medians of its two halves say
	Bound   float64 `json:"bound"` // 0: it is not judged
	Good    bool    `json:"good"`
}

func (x trend) String() string {
	text := fmt.Sprintf("%-12s %-15s mean %8.1f %-3s most %8.1f, grew by %+.2f in the second half", x.Process, x.Measure, x.Mean, x.Unit, x.Most, x.Grew)
	if x.Bound > 0 {
		text += fmt.Sprintf(" (bound %.2f)", x.Bound)
	}
	if !x.Good {
		text += ": IT GROWS"
	}
	return text
}

// shortest is the shortest run of which a half tells whether something grows.
const shortest = 30 * time.Minute

// judge says whether all is as it should be.
func (r *result) judge() error {
	r.Trends, r.Findings = nil, nil
	for _, k := range r.Traffic {
		if k.Verdict.Sent == 0 {
			r.found("%s: no request was sent", k.Kind)
		}
		for i, f := range k.Verdict.Findings {
			if i == 20 {
				r.found("%s: and %d more", k.Kind, len(k.Verdict.Findings)-i)
				break
			}
			r.found("%s: %v", k.Kind, f)
		}
	}
	if r.struck() == 0 {
		r.found("nothing was killed")
	}
	for _, p := range processes {
		if err := settled(p.name, *p.of(&r.Before), *p.of(&r.After), r.Processors); err != nil {
			r.found("when all sessions had ended: %v", err)
		}
	}
	second := r.Series[len(r.Series)/2:]
	if len(second) < 3 {
		return errors.New("there are too few samples to judge")
	}
	for _, p := range processes {
		for _, m := range measures {
			x := m.trend(p.name, p.of, r.Series, second)
			if r.Duration < shortest || !m.judged {
				x.Good, x.Bound = true, 0
			}
			if !x.Good {
				r.found("%v", x)
			}
			r.Trends = append(r.Trends, x)
		}
	}
	r.Good = len(r.Findings) == 0
	return nil
}

func (r *result) found(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// settled tells what of a process is left over when all sessions have ended.
func settled(name string, before, after look, shards int) error {
	// The associations are the same; besides there are the connections of who looks, helpers of the runtime, and for each of five servers
	// the process that was found behind it at first and the one that is there now (/proc/PID/stat is held open).
	const goroutines, descriptors = 5, 16
	buffers := float64(shards) * loop.LargeBuffer // each shard keeps the one that it reads into
	switch {
	case after.Sessions > 0:
		return fmt.Errorf("%s has %.0f sessions or legs", name, after.Sessions)
	case after.Goroutines > before.Goroutines+goroutines:
		return fmt.Errorf("%s has %.0f goroutines, and had %.0f before", name, after.Goroutines, before.Goroutines)
	case after.Descriptors > before.Descriptors+descriptors:
		return fmt.Errorf("%s has %.0f descriptors, and had %.0f before", name, after.Descriptors, before.Descriptors)
	case after.Buffers > before.Buffers+buffers:
		return fmt.Errorf("%s has %.0f bytes in buffers, and had %.0f before", name, after.Buffers, before.Buffers)
	}
	return nil
}

// trend compares the last quarter with the one before it, by their medians: what is counted while something is being killed is no sign.
func (m measure) trend(process string, of func(*sample) *look, all, second []sample) trend {
	x := trend{Process: process, Measure: m.name, Unit: m.unit}
	for i := range all {
		x.Most = max(x.Most, m.of(of(&all[i]))/m.per)
	}
	var values []float64
	for i := range second {
		values = append(values, m.of(of(&second[i]))/m.per)
	}
	third, fourth := slices.Sorted(slices.Values(values[:len(values)/2])), slices.Sorted(slices.Values(values[len(values)/2:]))
	x.Mean = (third[len(third)/2] + fourth[len(fourth)/2]) / 2
	x.Grew = 2 * (fourth[len(fourth)/2] - third[len(third)/2]) // from the beginning of the half to its end
	x.Bound = max(m.share*x.Mean, m.least/m.per)
	x.Good = x.Grew <= x.Bound
	return x
}

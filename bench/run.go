//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// bench is one run: the systems that stand, and what has been measured.
type bench struct {
	settings  settings
	env       *environment
	origin    *process
	systems   []system
	workloads []workload
	instances map[string]*instance
	results   results
	began     time.Time
}

// start brings up the origin. Systems are started when they are first needed, or again when they have died.
func (b *bench) start() error {
	at, err := b.env.address()
	if err != nil {
		return err
	}
	b.env.origin = at
	b.origin, err = startProcess("the origin", again(context.Background(), roleOrigin, at))
	if err != nil {
		return err
	}
	direct := &instance{address: at, hops: []*process{b.origin}}
	return direct.waitReady()
}

// run measures round by round: within a round every workload, within a workload every system, so that what is compared is measured
// within seconds. The order of the systems turns with every round and workload. It stops early, between rounds, rather than late.
func (b *bench) run() {
	b.instances = map[string]*instance{}
	b.began = time.Now()
	for round := range b.settings.rounds {
		if used := time.Since(b.began); round > 0 && used+used/time.Duration(round) > b.settings.limit {
			fmt.Fprintf(os.Stderr, "bench: stopped after %d rounds: another would pass the limit of %v\n", round, b.settings.limit)
			break
		}
		b.results.Rounds = round + 1
		for i, w := range b.workloads {
			for k := range b.systems {
				s := b.systems[(k+i+round)%len(b.systems)]
				switch {
				case !s.does(w):
				case time.Since(b.began) > b.settings.limit: // systems that hang have used it up
					b.add(sample{Workload: w.name, System: s.name, Round: round, Error: "not measured: the run's time was over"})
				default:
					b.add(b.measureQuiet(w, s, round))
				}
			}
		}
	}
}

// measureQuiet takes a noisy sample again, once, when the run is ahead of its time, and keeps the quieter of the two. A short run has no
// time for that.
func (b *bench) measureQuiet(w workload, s system, round int) sample {
	first := b.measure(w, s, round)
	if !first.noisy() || b.settings.short || b.late() {
		return first
	}
	if second := b.measure(w, s, round); second.Error == "" && second.Foreign < first.Foreign {
		return second
	}
	return first
}

// late tells whether more of the time is used up than of the samples are taken; a fifth of the limit is kept in reserve.
func (b *bench) late() bool {
	all := 0
	for _, w := range b.workloads {
		for _, s := range b.systems {
			if s.does(w) {
				all += b.settings.rounds
			}
		}
	}
	return time.Since(b.began) > b.settings.limit*4/5*time.Duration(len(b.results.Samples))/time.Duration(all)
}

// add keeps a sample and tells the user of it.
func (b *bench) add(s sample) {
	b.results.Samples = append(b.results.Samples, s)
	fmt.Fprintf(os.Stderr, "round %d  %-13s %-17s", s.Round+1, s.Workload, s.System)
	if s.Error != "" {
		fmt.Fprintf(os.Stderr, " FAILED: %s\n", oneLine(s.Error))
		return
	}
	for _, w := range b.workloads {
		for _, f := range w.figures {
			if v, ok := s.Values[f.name]; ok && w.name == s.Workload {
				fmt.Fprintf(os.Stderr, "  %s %s %s", f.name, number(v), f.unit)
			}
		}
	}
	if s.noisy() {
		fmt.Fprintf(os.Stderr, "  NOISY: others used %.0f%% of the machine", s.Foreign*100)
	}
	fmt.Fprintln(os.Stderr)
}

// measure takes one sample.
func (b *bench) measure(w workload, s system, round int) sample {
	out := sample{Workload: w.name, System: s.name, Round: round}
	i, err := b.instance(s, w)
	if w.alone() && i != nil {
		defer i.stop()
	}
	var o outcome
	if err == nil {
		o, err = b.load(w, i)
	}
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Foreign = o.Foreign
	out.Values = map[string]float64{
		"load CPU share": o.LoadCPU / o.Seconds, "origin CPU share": o.OriginCPU / o.Seconds, "proxy CPU share": o.ProxyCPU / o.Seconds,
	}
	for _, f := range w.figures {
		if len(i.hops) > 0 || !f.proxies {
			if v := f.of(o); !math.IsNaN(v) {
				out.Values[f.name] = v
			}
		}
	}
	return out
}

// instance is the running system, or a new one, which the caller stops, if the workload wants that. One of which a process has died is
// started anew.
func (b *bench) instance(s system, w workload) (*instance, error) {
	if w.alone() {
		return b.env.startSystem(s, w)
	}
	if i := b.instances[s.name]; i != nil {
		if i.alive() == nil {
			return i, nil
		}
		i.stop()
		delete(b.instances, s.name)
	}
	i, err := b.env.startSystem(s, w)
	if err != nil {
		i.stop()
		return nil, err
	}
	b.instances[s.name] = i
	return i, nil
}

// loadPatience bounds one sample, whatever happens.
const loadPatience = time.Minute

// load runs the workload in a process of its own.
func (b *bench) load(w workload, i *instance) (outcome, error) {
	var o outcome
	j := w.job
	j.Address, j.Proxies, j.Others = i.address, i.pids(), i.others(b.origin)
	j.Servers, j.Admin = i.servers, i.admin
	argument, err := json.Marshal(j)
	if err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadPatience)
	defer cancel()
	cmd := again(ctx, roleLoad, string(argument))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return o, fmt.Errorf("the load process: %w", errors.Join(err, ctx.Err()))
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return o, fmt.Errorf("the load process said %q: %w", text, err)
	}
	if o.Error != "" {
		return o, errors.Join(errors.New(o.Error), i.alive())
	}
	if o.Count+o.Bytes == 0 {
		return o, errors.New("nothing came through")
	}
	return o, nil
}

// choose keeps what was asked for by name; with no names, what is not optional. A name that nobody has is an error.
func choose[T any](all []T, names []string, name func(T) string, optional func(T) bool) ([]T, error) {
	var chosen []T
	found := 0
	for _, one := range all {
		if slices.Contains(names, name(one)) {
			chosen = append(chosen, one)
			found++
		} else if len(names) == 0 && !optional(one) {
			chosen = append(chosen, one)
		}
	}
	if found < len(names) {
		var known []string
		for _, one := range all {
			known = append(known, name(one))
		}
		return nil, fmt.Errorf("of %q only %d are known; there are %q", names, found, known)
	}
	return chosen, nil
}

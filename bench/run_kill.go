//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"
)

// killsEach is how often runKillAgain kills within one sample.
const killsEach = 4

// recoverTime lies between two kills: what was killed is up again, and every proxy has had time to notice that (poolproxy tries an element
// that has failed again after 250 ms at most, the checks of HAProxy take 100 ms).
const recoverTime = 400 * time.Millisecond

func never() bool { return false }

// runKill kills the server in use, or stops it, in the middle of the window, and goes on until every connection works again.
func runKill(j job) (outcome, error) {
	o := outcome{}
	l, m, err := startKill(j)
	if err != nil {
		return o, err
	}
	defer l.close()
	if err := l.runFor(j.Length/2, never); err != nil {
		return o, err
	}
	signal := syscall.SIGKILL
	if j.Kind == jobFreeze {
		signal = syscall.SIGSTOP
	}
	victim, err := m.busiest(j.Servers)
	if err != nil {
		return o, err
	}
	if err := l.strike(m, j.Servers[victim], signal); err != nil {
		return o, err
	}
	if err := l.runFor(patience, l.healed); err != nil {
		return o, err
	}
	gaps, stuck := l.gaps()
	o.Values = map[string]float64{valueStuck: float64(stuck)}
	if len(gaps) > 0 {
		o.Values[valueGap], o.Values[valueGap99] = spreadOf(gaps).median, quantileOf(gaps, 0.99)
	}
	if err := l.runFor(j.Length/2, never); err != nil { // doubles may come late
		return o, err
	}
	return l.finish(j, m, o)
}

// startKill lets the load run in, and makes certain that a server is in use.
func startKill(j job) (*killLoad, *meter, error) {
	l, err := newKillLoad(j.Address, j.Connections)
	if err != nil {
		return nil, nil, err
	}
	err = l.runFor(patience, l.started)
	if err == nil {
		err = l.runFor(warmup, never)
	}
	if err == nil && !l.started() {
		err = errStuck
	}
	if err == nil && l.broken > 0 {
		err = fmt.Errorf("%d connections broke before anything was killed", l.broken)
	}
	var m *meter
	if err == nil {
		m, err = startMeter(j)
	}
	if err != nil {
		l.close()
	}
	return l, m, err
}

// strike sends a signal to a server and begins to measure the gap.
func (l *killLoad) strike(m *meter, victim server, signal syscall.Signal) error {
	if err := m.lose(victim.Pid); err != nil {
		return err
	}
	l.fail() // before the signal: the gap is rather a little too long than too short
	if err := syscall.Kill(victim.Pid, signal); err != nil {
		return fmt.Errorf("killing the server %s: %w", victim.Address, err)
	}
	return nil
}

// finish counts what is the same for all kills.
func (l *killLoad) finish(j job, m *meter, o outcome) (outcome, error) {
	for _, c := range l.all {
		o.Count += int64(c.seq)
	}
	o.Values[valueBroken], o.Values[valueLost], o.Values[valueDoubled] = float64(l.broken), float64(l.lost), float64(l.doubled)
	if err := m.stop(&o); err != nil {
		return o, err
	}
	if j.Admin == "" {
		return o, nil
	}
	err := addSteps(j.Admin, o.Values)
	if first, ok := o.Values[stepFirst]; ok && err == nil {
		o.Values[stepNoticed] = max(o.Values[valueGap]-first, 0)
	}
	return o, err
}

// runKillAgain kills whichever server is in use, starts it again, and so on: the median of the gaps of one connection.
func runKillAgain(j job) (outcome, error) {
	o := outcome{Values: map[string]float64{valueStuck: 0}}
	l, m, err := startKill(j)
	if err != nil {
		return o, err
	}
	defer l.close()
	servers := slices.Clone(j.Servers)
	var all []float64
	for range killsEach {
		if err := l.runFor(recoverTime, never); err != nil {
			return o, err
		}
		i, err := m.busiest(servers)
		if err != nil {
			return o, err
		}
		if err := l.strike(m, servers[i], syscall.SIGKILL); err != nil {
			return o, err
		}
		if err := l.runFor(patience, l.healed); err != nil {
			return o, err
		}
		gaps, stuck := l.gaps()
		o.Values[valueStuck] += float64(stuck)
		all = append(all, gaps...)
		if stuck > 0 {
			break // the others would take as long, and tell no more
		}
		if servers[i].Pid, err = m.startAgain(servers[i].Address); err != nil {
			return o, err
		}
	}
	slices.Sort(all)
	if len(all) > 0 {
		o.Values[valueGap], o.Values[valueGap99] = spreadOf(all).median, all[len(all)-1]
	}
	return l.finish(j, m, o)
}

// startAgain starts an origin at the address of one that was killed, and waits until it listens.
func (m *meter) startAgain(address string) (pid int, err error) {
	p, err := startProcess("the origin", again(context.Background(), roleOrigin, address))
	if err != nil {
		return 0, err
	}
	for until := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		c, err := net.Dial("tcp4", address)
		if err == nil {
			c.Close()
			m.origin = append(m.origin, p.pid())
			return p.pid(), nil
		}
		if err := errors.Join(p.ended(), err); time.Now().After(until) {
			return 0, fmt.Errorf("starting the origin at %s again: %w", address, err)
		}
	}
}

// addSteps asks the first hop for its failover records and adds the median of each step, in milliseconds.
func addSteps(admin string, values map[string]float64) error {
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + admin + "/v1/failovers")
	if err != nil {
		return fmt.Errorf("asking for the failover records: %w", err)
	}
	defer response.Body.Close()
	var records []map[string]any
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<24)).Decode(&records); err != nil {
		return fmt.Errorf("the failover records: %w", err)
	}
	for _, step := range recordSteps {
		var known []float64
		for _, r := range records {
			if v, ok := r[step.json].(float64); ok && r["kind"] == "moved" {
				known = append(known, v/1e6)
			}
		}
		if s := spreadOf(known); s.n > 0 {
			values[step.name] = s.median
		}
	}
	return nil
}

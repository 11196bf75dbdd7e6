//go:build linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// What is done to the deployment, in this order, again and again.
const (
	serverKilled  = "server: kill -9"
	sidecarKilled = "pool_element's sidecar: kill -9"
	pathReset     = "path: all connections reset"
	pathStalled   = "path: silent for 1 s"
	pathSilent    = "path: silent for 5 s"
)

var order = []string{serverKilled, sidecarKilled, serverKilled, pathReset, serverKilled, sidecarKilled, pathStalled, serverKilled, pathSilent}

// back is how long a killed process stays away.
const back = 500 * time.Millisecond

// strikes is what kills and cuts. A host that is being struck is left alone until it is whole again, so one is always whole.
type strikes struct {
	d     *deployment
	every time.Duration
	only  string
	ended chan struct{} // run has ended
	whole sync.WaitGroup

	mu   sync.Mutex
	busy map[*host]bool
	done map[string]int
}

func newStrikes(d *deployment, o options) *strikes {
	return &strikes{d: d, every: o.every, only: o.only, ended: make(chan struct{}), busy: make(map[*host]bool), done: make(map[string]int)}
}

// run strikes until ctx ends; wait waits for it.
func (s *strikes) run(ctx context.Context) {
	defer close(s.ended)
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if what := order[i%len(order)]; s.only == "" || s.only == what {
				s.strike(what)
			}
		}
	}
}

// wait waits until all that was struck is whole again.
func (s *strikes) wait() {
	<-s.ended
	s.whole.Wait()
}

// strike does one thing to a host that may suffer it.
func (s *strikes) strike(what string) {
	h := s.pick(what)
	if h == nil {
		return // the machine is slow: all of them are still being brought back
	}
	s.whole.Go(func() {
		if err := s.do(what, h); err != nil {
			s.d.o.log("%s on host %s: %v", what, h.name, err)
		}
		s.mu.Lock()
		delete(s.busy, h)
		s.mu.Unlock()
	})
}

// pick takes a host by chance. Two at most are struck at a time.
func (s *strikes) pick(what string) *host {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.busy) > 1 {
		return nil
	}
	for _, i := range rand.Perm(len(s.d.hosts)) {
		h := s.d.hosts[i]
		if s.busy[h] || what == sidecarKilled && h.admin != "" { // that one lives all the time
			continue
		}
		s.busy[h] = true
		s.done[what]++
		return h
	}
	return nil
}

// do strikes, and brings back.
func (s *strikes) do(what string, h *host) error {
	switch what {
	case serverKilled:
		i := rand.IntN(len(h.servers))
		h.servers[i].kill()
		time.Sleep(back)
		return errors.Join(h.servers[i].start(), h.servers[i].listening(at(h.at, firstServer+i)))
	case sidecarKilled:
		h.cable.deaf()
		h.sidecar.kill()
		time.Sleep(back)
		return s.d.startSidecar(h)
	case pathReset:
		h.cable.reset()
	case pathStalled:
		heal := h.cable.stall()
		time.Sleep(time.Second)
		heal()
	case pathSilent:
		heal := h.cable.stall()
		time.Sleep(5 * time.Second)
		heal()
	}
	return nil
}

// counts is how often each was done.
func (s *strikes) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

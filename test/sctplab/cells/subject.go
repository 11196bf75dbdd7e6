//go:build linux

package main

import (
	"context"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// The states that a session is in when a failure strikes, named as in test/chaos.
const (
	idle      = "idle"
	inFlight  = "in-flight"
	halfReply = "half-reply"
	pipelined = "pipelined"
)

var states = []string{idle, inFlight, halfReply, pipelined}

const (
	warmUp   = 2               // requests before the one in whose middle the failure strikes
	pipeline = 50              // requests at once
	cooldown = 3               // requests behind the strike, of which one is unsafe
	held     = 4 * time.Second // how long the server holds a request in whose middle the failure is to strike
	mostWait = 2 * time.Minute // for anything: the machine is emulated
	half     = 16 << 10        // bytes of a reply of which half is delivered
)

// subject is a session that is to be struck in a state.
type subject struct {
	state  string
	kind   workload.Kind
	client workload.Client
	holds  workload.Holds
	report *workload.Report
	ready  chan struct{} // closed when all before the strike is answered
	goOn   chan struct{} // closed when it has struck

	mu     sync.Mutex
	struck time.Time
	next   time.Time // of the first answer behind it
}

func newSubject(state string, kind workload.Kind, address string, number uint64, holds workload.Holds) *subject {
	s := &subject{state: state, kind: kind, holds: holds, ready: make(chan struct{}), goOn: make(chan struct{})}
	s.client = workload.Client{Kind: kind, Address: address, Session: number, Next: s.request, Events: s.event, Timeout: mostWait}
	if state == pipelined {
		s.client.Window = pipeline
	}
	return s
}

// struckAt is the number of the request in whose middle the failure strikes.
const struckAt = warmUp + 1

// request is what the session asks.
func (s *subject) request(number uint64) (workload.Request, bool) {
	r := workload.Request{Number: number, Size: 100}
	last := uint64(struckAt)
	if s.state == pipelined {
		last = warmUp + pipeline
	}
	switch {
	case number < struckAt:
		return r, true
	case number > last+cooldown:
		return r, false
	case number > last || s.state == idle:
		<-s.goOn
		r.Unsafe = number == last+2
		return r, true
	case number == struckAt && s.state == pipelined:
		<-s.ready // until then it is no pipeline
		fallthrough
	case number == struckAt:
		r.Hold = workload.Hold{Where: workload.HoldBeforeAnswer, For: held}
		if s.state == halfReply {
			r.Size, r.Hold.Where = half, workload.HoldHalfAnswered
		}
	}
	return r, true
}

// event notes when it is answered.
func (s *subject) event(e workload.Event) {
	if e.Kind != workload.Answered && e.Kind != workload.Refused {
		return
	}
	if e.Request.Number == warmUp {
		close(s.ready)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.struck.IsZero() && s.next.IsZero() {
		s.next = e.At
	}
}

// run is the session; it ends with it.
func (s *subject) run(ctx context.Context) { s.report = s.client.Run(ctx) }

// wait waits until the session is in its state.
func (s *subject) wait(ctx context.Context) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.state == idle {
		return nil
	}
	return s.holds.Wait(ctx, &workload.Request{Session: s.client.Session, Number: struckAt})
}

// strike notes that it has been struck, and lets it go on.
func (s *subject) strike(at time.Time) {
	s.mu.Lock()
	s.struck = at
	s.mu.Unlock()
	close(s.goOn)
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// traffic is sessions that come and go.
type traffic struct {
	o    options
	d    *deployment
	next atomic.Uint64 // number of the session before

	mu      sync.Mutex
	reports map[workload.Kind][]*workload.Report
	gaps    map[workload.Kind]*workload.Histogram
}

func newTraffic(o options, d *deployment) *traffic {
	t := &traffic{o: o, d: d, reports: make(map[workload.Kind][]*workload.Report), gaps: make(map[workload.Kind]*workload.Histogram)}
	t.next.Store(uint64(time.Now().Unix()) << 24)
	return t
}

// touch has each element serve a session of each kind.
func (t *traffic) touch(ctx context.Context) error {
	for i, k := range t.d.kinds {
		for range 2 * len(t.d.hosts) {
			plan := workload.Plan{Kind: k.name, Requests: 2, Small: true}
			r := t.session(ctx, i, plan, 1)
			if r.End != workload.EndPeace || r.Answered != 2 {
				return fmt.Errorf("%v", r)
			}
		}
	}
	return nil
}

// run keeps as many sessions as there shall be, until ctx ends and they have ended in peace.
func (t *traffic) run(ctx context.Context) {
	end, _ := ctx.Deadline()
	var all sync.WaitGroup
	for i := range t.o.sessions {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			for ctx.Err() == nil {
				kind := i % len(t.d.kinds)
				t.note(t.session(context.Background(), kind, t.plan(kind, end), []int{1, 1, 1, 8}[rand.IntN(4)]))
			}
		})
	}
	all.Wait()
}

// plan is one session: of a few seconds to a minute, talkative or not.
func (t *traffic) plan(kind int, end time.Time) workload.Plan {
	k := t.d.kinds[kind]
	until := time.Now().Add(5*time.Second + rand.N(55*time.Second))
	if until.After(end) {
		until = end
	}
	return workload.Plan{Kind: k.name, Seed: rand.Uint64(), Until: until, Pause: 50*time.Millisecond + rand.N(450*time.Millisecond),
		Unsafe: k.unsafe, Small: rand.IntN(10) > 0, Split: 0.05}
}

func (t *traffic) session(ctx context.Context, kind int, plan workload.Plan, window int) *workload.Report {
	c := workload.Client{Kind: plan.Kind, Address: t.d.client(kind), Session: t.next.Add(1), Window: window}
	c.Next = func(number uint64) (workload.Request, bool) {
		r, more := plan.Next(number)
		if r.Unsafe { // the reply comes at once: who has half of it when the server dies is not protected (docs/failover.md)
			r.Size = min(r.Size, mostUnsafe)
		}
		return r, more
	}
	return c.Run(ctx)
}

// mostUnsafe is how long the reply to an unsafe request is at most: one segment.
const mostUnsafe = 256

// note keeps what a session has seen, but for its histogram, which would be long.
func (t *traffic) note(r *workload.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gaps[r.Kind] == nil {
		t.gaps[r.Kind] = &workload.Histogram{}
	}
	t.gaps[r.Kind].Merge(&r.Gaps)
	r.Gaps = workload.Histogram{}
	t.reports[r.Kind] = append(t.reports[r.Kind], r)
	if r.End != workload.EndPeace {
		t.o.log("%v", r)
	}
}

// judge says what went wrong with the sessions.
func (t *traffic) judge(to *result) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.d.kinds {
		entries, err := t.d.journals(k)
		if err != nil {
			return err
		}
		v := workload.Judge(t.reports[k.name], entries, workload.Promise{Protected: true, Journals: true})
		if t.gaps[k.name] != nil {
			v.Gaps = *t.gaps[k.name]
		}
		to.Traffic = append(to.Traffic, kindResult{k.name, v})
	}
	return nil
}

package workload

import (
	"context"
	"sync"
	"time"
)

// Fleet keeps a number of sessions going: when one ends, another begins. Run it once.
type Fleet struct {
	Client   Client        // what all sessions have in common; its Session is that of the first one, the others count on. Next is the Plan's
	Plan     Plan          // Requests is how many each session sends; a seed of their own is made for each
	Sessions int           // at once
	Again    time.Duration // how long after an end that was not in peace another session begins; 100 ms if 0

	// Ended is told each report, one at a time; nil: nobody is.
	Ended func(*Report)

	mu      sync.Mutex
	begun   uint64
	reports []*Report
}

// Run runs sessions until ctx ends or the Plan's time is over, and returns all reports. Sessions end in peace: what they have asked is waited
// for, as long as Client.Timeout allows.
func (f *Fleet) Run(ctx context.Context) []*Report {
	if !f.Plan.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.Plan.Until)
		defer cancel()
	}
	var wait sync.WaitGroup
	for range f.Sessions {
		wait.Go(func() { f.place(ctx) })
	}
	wait.Wait()
	return f.reports
}

// place runs one session after the other. It ends with ctx; Run waits for it.
func (f *Fleet) place(ctx context.Context) {
	again := f.Again
	if again <= 0 {
		again = 100 * time.Millisecond
	}
	for ctx.Err() == nil {
		report := f.one(ctx)
		if report.End == EndPeace {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// one runs one session.
func (f *Fleet) one(ctx context.Context) *Report {
	c, plan := f.Client, f.Plan
	f.mu.Lock()
	c.Session += f.begun
	plan.Seed = mix(plan.Seed + f.begun)
	c.Together = c.Window > 1 // nothing waits to be written when Next does: then a whole window is
	f.begun++
	f.mu.Unlock()
	c.Next = func(number uint64) (Request, bool) {
		if burst := uint64(max(c.Window, 1)); number > 1 && number%burst == 1%burst && plan.Pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(plan.Pause):
			}
		}
		if ctx.Err() != nil || number > plan.most() {
			return Request{}, false
		}
		return plan.Request(number), true
	}
	report := c.Run(context.WithoutCancel(ctx))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, report)
	if f.Ended != nil {
		f.Ended(report)
	}
	return report
}

package dns

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// lookTime bounds a whole look-up: a pool of many SRV records may take many questions.
	lookTime = 30 * time.Second

	// mostRetry is the longest pause behind a look-up that failed. It begins with Config.Least and doubles.
	mostRetry = 15 * time.Second
)

// follower asks for one pool. Its fields belong to run's goroutine.
type follower struct {
	c     Config
	name  string
	told  func(pool.News)
	ctx   context.Context // done: the end of run
	ended chan struct{}   // closed when run has ended

	pause      time.Duration // behind the last failure; 0: the last look-up did not fail
	emptySince time.Time     // zero: DNS has not said so
}

// run is the follower's goroutine. The function that Follow returned ends it, and waits for it.
func (f *follower) run() {
	defer close(f.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-timer.C:
		}
		n, wait := f.look()
		if f.ctx.Err() != nil { // what was found is only that we end
			return
		}
		f.told(n)
		timer.Reset(wait)
	}
}

// look asks once, and says when to ask again.
func (f *follower) look() (pool.News, time.Duration) {
	ctx, cancel := context.WithTimeout(f.ctx, lookTime)
	defer cancel()
	elements, ttl, err := look(ctx, &f.c, f.name)
	none := errors.Is(err, ErrNone)
	switch {
	case !none:
		f.emptySince = time.Time{}
	case f.emptySince.IsZero():
		f.emptySince = time.Now()
	}
	if none && f.c.Empty > 0 && time.Since(f.emptySince) >= f.c.Empty {
		err = nil
	}
	if err == nil || none {
		f.pause = 0
		return pool.News{Elements: elements, Err: err}, spread(min(max(ttl, f.c.Least), f.c.Most))
	}
	f.pause = min(max(2*f.pause, f.c.Least), max(mostRetry, f.c.Least))
	return pool.News{Err: err}, spread(f.pause)
}

// spread shortens a pause by up to a tenth: sidecars that were started together shall not ask together for ever.
func spread(d time.Duration) time.Duration {
	return d - rand.N(d/10+1)
}

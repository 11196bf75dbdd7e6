package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// heart keeps one lease alive. It has a goroutine of its own, since whatever else its registration asks for may take two Config.Timeout
// while a member is silent, and the lease would end meanwhile.
type heart struct {
	s      *Source
	id     clientv3.LeaseID
	ttl    time.Duration // of the lease
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{} // closed when beat has ended
}

// begin has a lease kept alive from now on, until ctx is done or stop is called.
func (s *Source) begin(ctx context.Context, id clientv3.LeaseID, ttl time.Duration) *heart {
	h := &heart{s: s, id: id, ttl: ttl, ended: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(ctx)
	s.running.Go(h.beat)
	return h
}

// beat is the heart's goroutine. It ends when etcd says that there is no such lease any more, with ctx, or by stop, which waits for it, as
// Close does. Errors are not told: while etcd cannot be reached the registration finds so by itself, whenever it looks.
func (h *heart) beat() {
	defer close(h.ended)
	defer h.cancel()
	timer := time.NewTimer(spread(h.ttl / 3))
	defer timer.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-timer.C:
		}
		alive, err := h.s.keep(h.ctx, h.id, h.patience())
		switch {
		case err != nil:
			timer.Reset(spread(min(h.patience(), mostAgain)))
		case !alive:
			return
		default:
			timer.Reset(spread(h.ttl / 3))
		}
	}
}

// patience is how long an answer may take until the next member is asked, too. All have the two thirds of a lease that are left when it is due
// to be kept alive.
func (h *heart) patience() time.Duration { return h.ttl * 2 / 3 / patiences }

// over is closed when there is no lease any more; nil, which never is: there is no heart.
func (h *heart) over() <-chan struct{} {
	if h == nil {
		return nil
	}
	return h.ended
}

// lease is the one that is kept alive; 0: none.
func (h *heart) lease() clientv3.LeaseID {
	if h == nil {
		return 0
	}
	return h.id
}

// stop has the lease no longer kept alive, and waits until that is so.
func (h *heart) stop() {
	if h != nil {
		h.cancel()
		<-h.ended
	}
}

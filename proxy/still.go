package proxy

import "sync"

// When a process hands its sessions over, all shards stand still: their loops run nothing but what they are told here. So all is of one
// moment, and if nothing comes of it they go on as if nothing had been: that is why nothing has to be undone. To the outside it is as if the
// process had been stopped for a moment.

// stillness is the way to a shard that stands still.
type stillness struct {
	mu   sync.Mutex
	work chan func() // guarded by mu; nil: it does not
}

// pass has f run by a shard that stands still, else by post. f may be waited for.
func (s *stillness) pass(f func(), post func(func()) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work == nil {
		return post(f)
	}
	s.work <- f // the shard takes it as soon as it is done with the one before
	return true
}

// hold has the shard stand still, behind all that was posted to it and what belongs to this turn. It reports false if the shard has stopped.
func (r *shardRunner) hold() bool {
	work, held := make(chan func()), make(chan struct{})
	stand := func() { close(held); r.loop.Stand(work) }
	if !r.loop.Post(func() { r.loop.Later(func() { r.loop.Later(stand) }) }) {
		return false
	}
	select {
	case <-held:
	case <-r.stopped:
		return false
	}
	r.still.mu.Lock()
	defer r.still.mu.Unlock()
	r.still.work = work
	return true
}

// letGo has the shard go on. What is asked of it from then on comes as ever.
func (r *shardRunner) letGo() {
	r.still.mu.Lock()
	defer r.still.mu.Unlock()
	if r.still.work != nil {
		close(r.still.work)
		r.still.work = nil
	}
}

// hold has all shards stand still: first the one that hands connections to the others, so that nothing is on its way between them.
func (p *Proxy) hold() bool {
	for _, r := range p.runners {
		if !r.hold() {
			p.letGo()
			return false
		}
	}
	return true
}

// letGo has all shards go on that stand still.
func (p *Proxy) letGo() {
	for _, r := range p.runners {
		r.letGo()
	}
}

package registrar

import (
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/pool"
)

// resolution is what is wanted of one pool: its elements, by handle resolution (RFC 5352 §3.3).
type resolution struct {
	handle    string
	followers []*follower
	waiting   []waiter

	want  bool // to be asked as soon as there is a home registrar
	asked bool
	on    *link     // with asked
	t1    time.Time // T1-ENRPrequest, with asked
	tries int       // sent again without an answer
	sent  uint64    // questions so far
	stale time.Time // when it is asked anew; zero: nobody follows
	none  time.Time // since when registrars say that there is no such pool; zero: they do not

	left []asap.PEIdentifier // elements that were left out the last time
}

// follower is told what is known of a pool.
type follower struct{ told func(pool.News) }

// waiter waits for the answer to a question that is not older than its wish.
type waiter struct {
	from uint64 // the number of the question
	done func(found []asap.PoolElement, err error)
}

// askAll asks for as many elements as there can be (draft-dreibholz-rserpool-asap-hropt-27).
const askAll = 0xffffffff

// pool finds what is wanted of a pool, and begins it.
func (r *rules) pool(handle string) *resolution {
	for _, p := range r.pools {
		if p.handle == handle {
			return p
		}
	}
	p := &resolution{handle: handle}
	r.pools = append(r.pools, p)
	return p
}

// follow has a follower be told, from now on.
func (r *rules) follow(now time.Time, handle string, f *follower) {
	r.now = now
	p := r.pool(handle)
	p.followers = append(p.followers, f)
	if !p.asked {
		r.resolve(p)
	}
}

// unfollow ends that.
func (r *rules) unfollow(now time.Time, handle string, f *follower) {
	r.now = now
	p := r.pool(handle)
	p.followers = slices.DeleteFunc(p.followers, func(other *follower) bool { return other == f })
	r.settle(p)
}

// settle says when a pool that was asked for is asked for again, or forgets it if nobody wants to know it any more.
func (r *rules) settle(p *resolution) {
	p.stale = time.Time{}
	if len(p.followers) > 0 {
		p.stale = r.now.Add(r.c.Interval)
	} else if len(p.waiting) == 0 {
		r.pools = slices.DeleteFunc(r.pools, func(other *resolution) bool { return other == p })
	}
}

// ask asks at once. done hears the answer.
func (r *rules) ask(handle string, done func([]asap.PoolElement, error)) {
	p := r.pool(handle)
	p.waiting = append(p.waiting, waiter{p.sent + 1, done})
	if p.asked { // that answer may be older than the wish
		p.want = true
	} else {
		r.resolve(p)
	}
}

// refresh is ask for those who are not told otherwise.
func (r *rules) refresh(now time.Time, handle string, done func([]asap.PoolElement, error)) {
	r.now = now
	r.ask(handle, done)
}

// resolve sends a handle resolution.
func (r *rules) resolve(p *resolution) {
	if r.home == nil {
		p.want, p.asked = true, false
		r.seek()
		return
	}
	if !p.asked || p.want {
		p.sent++
	}
	p.want, p.asked, p.on, p.t1 = false, true, r.home, r.now.Add(r.c.Times.T1)
	r.home.wire.send(asap.HandleResolution{Updates: len(p.followers) > 0, Handle: asap.PoolHandle(p.handle), Items: askAll})
}

// next is when something is due; zero: nothing is.
func (p *resolution) next() time.Time {
	if p.asked {
		return p.t1
	}
	if p.want {
		return time.Time{}
	}
	return p.stale
}

func (r *rules) poolDue(p *resolution) {
	if !r.passed(p.next()) {
		return
	}
	if !p.asked {
		r.resolve(p)
		return
	}
	if p.tries++; p.tries <= r.c.Times.Requests { // RFC 5352 §3.7.2
		r.resolve(p)
		r.seek()
		return
	}
	r.seek()
	r.unanswered(p, fmt.Errorf("registrar: pool %q: %w: the registrar %v has not answered %d times within %v",
		p.handle, pool.ErrSourceDown, p.on.remote, p.tries, r.c.Times.T1))
}

// unanswered follows when there is no answer. Without a home registrar the question stays open.
func (r *rules) unanswered(p *resolution, why error) {
	if !p.asked && !p.want {
		return
	}
	p.tries, p.asked, p.want = 0, false, r.home == nil && len(p.followers) > 0
	r.tell(p, pool.News{Err: why})
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		w.done(nil, why)
	}
	r.settle(p)
}

// resolved takes an answer, or news that nobody has asked for (RFC 5352 §2.2.6).
func (r *rules) resolved(l *link, m asap.HandleResolutionResponse) {
	i := slices.IndexFunc(r.pools, func(p *resolution) bool { return p.handle == string(m.Handle) })
	if i < 0 || l != r.home && l != r.pools[i].on {
		return
	}
	p := r.pools[i]
	if p.asked && l == p.on {
		p.asked, p.tries = false, 0
	}
	elements, left, err := elementsOf(m, r.c.Dialect)
	switch unknown := causes(m.Errors).has(asap.CauseUnknownPoolHandle); {
	case !unknown:
		p.none = time.Time{}
	case p.none.IsZero():
		p.none = r.now
	}
	n := pool.News{Elements: elements, Err: err}
	if err == nil {
		n.Left = p.leave(left)
	}
	if policy, unknown := pool.PolicyOf(m.Policy); unknown == nil && err == nil {
		n.Policy = &policy
	}
	if !p.none.IsZero() && r.c.Empty > 0 && !p.none.Add(r.c.Empty).After(r.now) {
		n.Err = nil
	}
	r.tell(p, n)
	waiting := p.waiting
	p.waiting = nil
	for _, w := range waiting {
		if w.from > p.sent {
			p.waiting = append(p.waiting, w)
		} else {
			w.done(m.Elements, err)
		}
	}
	r.settle(p)
	if p.want && !p.asked {
		r.resolve(p)
	}
}

// leave says which elements are left out and were not the last time.
func (p *resolution) leave(left []asap.PEIdentifier) (news []error) {
	for _, id := range left {
		if !slices.Contains(p.left, id) {
			news = append(news, fmt.Errorf("registrar: pool %q: element %s is left out: it has no address, port and protocol by which it could be reached from here",
				p.handle, Name(id)))
		}
	}
	p.left = left
	return news
}

func (r *rules) tell(p *resolution, n pool.News) {
	for _, f := range slices.Clone(p.followers) {
		f.told(n)
	}
}

// reportKey is an element that was reported.
type reportKey struct {
	handle string
	id     asap.PEIdentifier
}

const (
	// reportPause is how long an element is not reported again (RFC 5355 §2.13: no floods). All sessions of a dead element find that out
	// at once.
	reportPause = time.Second

	mostReported = 4096 // remembered
)

// report sends ENDPOINT_UNREACHABLE (RFC 5352 §3.5), and then asks what has become of the pool.
func (r *rules) report(now time.Time, handle string, id asap.PEIdentifier) {
	r.now = now
	key := reportKey{handle, id}
	if at, known := r.reported[key]; r.home == nil || known && now.Before(at.Add(reportPause)) {
		return
	}
	if len(r.reported) >= mostReported {
		clear(r.reported)
	}
	r.reported[key] = now
	r.home.wire.send(asap.EndpointUnreachable{Handle: asap.PoolHandle(handle), PE: id})
	for _, p := range r.pools {
		if p.handle != handle {
			continue
		}
		if p.asked {
			p.want = true
		} else {
			r.resolve(p)
		}
	}
}

package proxy

import (
	"errors"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// backlogRig is a server with a backlog, as a kernel has it: what does not fit is dropped, and tried again a second later.
type backlogRig struct {
	t       *testing.T
	w       *looptest.World
	host    *looptest.Host
	pace    *pace
	most    int           // its backlog
	each    time.Duration // what accepting one takes; 0: it accepts none
	waiting int           // in its backlog
	refuses bool          // nobody listens

	dropped int
	full    int // the most that waited
	made    []*comer
	failed  []error
	accept  loop.Timer
}

// comer is somebody who connects.
type comer struct {
	paced
	r     *backlogRig
	tries int
	timer loop.Timer
}

func newBacklogRig(t *testing.T, most int, each time.Duration, known bool) *backlogRig {
	r := &backlogRig{t: t, w: looptest.NewWorld(1), most: most, each: each}
	r.host = r.w.Host("element")
	queue := func() (waiting, most int, ok bool) { return r.waiting, r.most, known }
	r.pace = newPace(r.host, queue, 1)
	r.accept.Func = r.accepted
	return r
}

// call has n connect at once.
func (r *backlogRig) call(n int, moves bool) (all []*comer) {
	for range n {
		c := &comer{r: r}
		c.owner, c.moves = c, moves
		c.timer.Func = c.try
		r.pace.enter(&c.paced)
		all = append(all, c)
	}
	return all
}

func (c *comer) begin() { c.r.host.Schedule(&c.timer, c.r.host.Now().Add(50*time.Microsecond)) }

func (c *comer) refused(err error) { c.r.failed = append(c.r.failed, err) }

// try is the first packet's arrival at the server.
func (c *comer) try() {
	r := c.r
	switch {
	case r.refuses:
		r.failed = append(r.failed, loop.ErrRefused)
		r.pace.failed(&c.paced, loop.ErrRefused)
	case r.waiting > r.most: // the kernel takes one more than it says
		r.dropped++
		if c.tries++; c.tries > 1 {
			r.failed = append(r.failed, errServerTimeout)
			r.pace.failed(&c.paced, errServerTimeout)
			return
		}
		r.host.Schedule(&c.timer, r.host.Now().Add(time.Second))
	default:
		r.waiting++
		r.full = max(r.full, r.waiting)
		r.made = append(r.made, c)
		if !r.accept.Armed() && r.each > 0 {
			r.host.Schedule(&r.accept, r.host.Now().Add(r.each))
		}
		r.pace.connected(&c.paced)
	}
}

func (r *backlogRig) accepted() {
	if r.waiting--; r.waiting > 0 {
		r.host.Schedule(&r.accept, r.host.Now().Add(r.each))
	}
}

// until runs the world until n have been connected or have failed, and tells how long that took.
func (r *backlogRig) until(n int) time.Duration {
	r.t.Helper()
	begun := r.w.Now()
	if !r.w.RunUntil(func() bool { return len(r.made)+len(r.failed) >= n }, 5*time.Minute) {
		r.t.Fatalf("of %d only %d were connected, %d failed", n, len(r.made), len(r.failed))
	}
	if r.pace.waiting() != 0 || r.pace.flying != 0 {
		r.t.Errorf("%d wait, %d are under way", r.pace.waiting(), r.pace.flying)
	}
	took := r.w.Now().Sub(begun)
	r.w.RunFor(time.Minute)
	if n := r.host.Timers(); n != 0 {
		r.t.Errorf("%d timers are armed", n)
	}
	return took
}

// Where the kernel tells of the backlog nothing is dropped, and the server is never idle, however small that is and however slow the server.
func TestPaceByTheKernel(t *testing.T) {
	for _, most := range []int{0, 1, 5, 128, 4096} {
		for _, each := range []time.Duration{10 * time.Microsecond, 300 * time.Microsecond, 5 * time.Millisecond} {
			r := newBacklogRig(t, most, each, true)
			r.call(3000, true)
			took := r.until(3000)
			if r.dropped > 0 || len(r.failed) > 0 {
				t.Errorf("backlog %d, %v each: %d dropped, %d failed", most, each, r.dropped, len(r.failed))
			}
			if bound := 3000*each + 3000*time.Millisecond*17/time.Duration(max(most/2, 1)) + time.Second; took > bound {
				t.Errorf("backlog %d, %v each: it took %v, more than %v", most, each, took, bound)
			}
			if r.full > max(most/2, 1) {
				t.Errorf("backlog %d, %v each: %d waited in it", most, each, r.full)
			}
		}
	}
}

// Where it does not, some are dropped until the window fits, again and again for a slow server, but all get there.
func TestPaceByTheWindow(t *testing.T) {
	for _, each := range []time.Duration{100 * time.Microsecond, 300 * time.Microsecond, 2 * time.Millisecond} {
		r := newBacklogRig(t, 128, each, false)
		r.call(5000, true)
		took := r.until(5000)
		if len(r.failed) > 0 || r.dropped > 500 {
			t.Errorf("%v each: %d dropped, %d failed", each, r.dropped, len(r.failed))
		}
		if ideal := 5000 * each; took > 3*ideal+5*time.Second {
			t.Errorf("%v each: it took %v, at best it could be %v", each, took, ideal)
		}
	}
}

// Clients that come while a herd is in line are not behind it.
func TestPaceInterleaves(t *testing.T) {
	r := newBacklogRig(t, 128, 300*time.Microsecond, true)
	r.call(10000, true)
	r.w.RunFor(100 * time.Millisecond)
	before := len(r.made)
	fresh := r.call(50, false)
	r.until(10050)
	last := 0
	for i, c := range r.made {
		if !c.moves {
			last = i
		}
	}
	if last > before+2*len(fresh)+64 {
		t.Errorf("the last of %d new ones was number %d to be connected; there were %d before they came", len(fresh), last, before)
	}
}

// Those in line do not wait for a server that is not there, or that accepts nothing.
func TestPaceGivesUp(t *testing.T) {
	r := newBacklogRig(t, 128, time.Millisecond, true)
	r.refuses = true
	r.call(1000, true)
	if took := r.until(1000); took > 10*time.Millisecond || len(r.failed) != 1000 {
		t.Errorf("nobody listens: %d were told so, within %v", len(r.failed), took)
	}
	r = newBacklogRig(t, 128, 0, true)
	r.call(1000, true)
	took := r.until(1000)
	if len(r.made) > 128 || took < serverTimeout || took > 2*serverTimeout {
		t.Errorf("a frozen server was connected to %d times; the others were told so after %v", len(r.made), took)
	}
	if !errors.Is(r.failed[0], errServerAccepts) {
		t.Errorf("they were told %v", r.failed[0])
	}
}

// Those that do not want any more are not connected, and take nobody's turn.
func TestPaceForgets(t *testing.T) {
	r := newBacklogRig(t, 8, time.Millisecond, true)
	all := r.call(1000, true)
	r.w.RunFor(20 * time.Millisecond)
	for i, c := range all {
		if i%2 == 0 {
			r.host.Cancel(&c.timer)
			flying := c.flying
			r.pace.left(&c.paced)
			if c.inLine || flying && c.flying {
				t.Fatal("it is still there")
			}
		}
	}
	for r.pace.waiting() > 0 {
		r.w.RunFor(time.Second)
	}
	r.w.RunFor(time.Second)
	if n := len(r.made); n < 500 || n > 540 {
		t.Errorf("%d were connected, not 500 and those that were before", n)
	}
	if r.pace.flying != 0 || r.pace.gone != 0 {
		t.Errorf("%d are under way, %d are gone", r.pace.flying, r.pace.gone)
	}
}

package session

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// How long legs wait for their association to come back. Each has its own time: an association that breaks again and again ends a leg that
// gets nowhere by that, and none that comes further in between.

// waitsSince begins the leg's time at a loss, or lets it go on: if the association was up only for a moment, or the leg was not resumed over it,
// and the leg got nowhere in it.
func (g *userLeg) waitsSince(now time.Time, steady bool) {
	if got := g.acked + g.received; steady || g.since.IsZero() || got != g.reached {
		g.since, g.reached = now, got
	}
}

// expired takes off the link the legs that have waited for as long as they may.
func (l *userLink) expired(now time.Time) (legs []*userLeg) {
	return l.takeOff(func(leg *userLeg) bool { return now.Sub(leg.since) >= l.u.c.Failover.Resume })
}

// movable takes off the link the legs that need not wait if there is somewhere to go: those that lose nothing by moving after the head start,
// others that can be moved after redialEvery. Who has to wait for the fence anyway gains nothing by leaving: nobody serves it before that, and
// the fence is not shorter than a leg may take to be resumed.
func (l *userLink) movable(now time.Time) []*userLeg {
	return l.takeOff(func(leg *userLeg) bool {
		waited := now.Sub(leg.since)
		if waited < l.start {
			return false
		}
		leg.s.remember()
		p, err := leg.s.plan(leg.highest)
		return err == nil && (p.free() || waited >= redialEvery && !leg.mustBeDead(p))
	})
}

// takeOff takes the lost legs off the link that are meant.
func (l *userLink) takeOff(meant func(*userLeg) bool) (legs []*userLeg) {
	l.lost = slices.DeleteFunc(l.lost, func(leg *userLeg) bool {
		if !meant(leg) {
			return false
		}
		legs = append(legs, leg)
		return true
	})
	return legs
}

// lookAgain has impatient run after a pause, or before that, when some need not wait any more.
func (l *userLink) lookAgain(now time.Time, pause time.Duration) {
	at := now.Add(pause)
	for _, leg := range l.lost {
		for _, next := range []time.Duration{l.start, redialEvery, l.u.c.Failover.Resume} {
			if due := leg.since.Add(next); now.Before(due) {
				at = earlier(at, due)
			}
		}
	}
	l.u.c.Loop.Schedule(&l.patience, at)
}

// impatient runs while legs wait to be resumed. If there is somewhere to go, sessions that lose nothing by that wait no longer than the
// head start, and others that could go on elsewhere at once no longer than redialEvery; nobody waits longer than Failover.Resume.
func (l *userLink) impatient() {
	now := l.u.c.Loop.Now()
	tired, moved := l.expired(now), []*userLeg(nil)
	if l.u.c.Pool.Others(now, l.element.Name) {
		moved = l.movable(now)
	}
	if len(tired)+len(moved) > 0 {
		l.u.c.Pool.Unreachable(now, l.element.Name)
	}
	if len(l.lost) > 0 {
		if !l.dialing {
			l.dial()
		}
		l.lookAgain(now, redialEvery)
	}
	l.retire()
	failAll(tired, fmt.Sprintf("the element did not come back within %v", l.u.c.Failover.Resume))
	failAll(moved, "the element did not answer")
}

// headStart is how long an association that was lost may take to come back before sessions move that lose nothing by it. One that broke
// off may well come back: redialEvery. Where the peer has fallen silent a new one has little hope; it has as long as it needs
// where the path was at fault, and only the old connection is lost (an address translator that has forgotten it).
func (l *userLink) headStart(err error) time.Duration {
	if !errors.Is(err, mapping.ErrSilent) {
		return redialEvery
	}
	status, _ := l.a.Status() // without what the kernel knew, since it has ended
	return min(max(leastStart, 3*status.HeartbeatRTT), redialEvery)
}

package session

import "time"

// fenceShare is the share of a fence by which the clocks of two machines may differ while it passes (1/50, where quartz keeps within
// 1/10000), and fenceMore what a message may be under way.
const (
	fenceShare = 50
	fenceMore  = 100 * time.Millisecond
)

// mustBeDead reports whether the leg has to be dead for certain before another one does what next says. No message was sent on a leg that
// was still in its beginning.
func (g *userLeg) mustBeDead(next *plan) bool { return next.unsafe && g.restore == nil }

// fence sees to it that what is not safe is repeated only when the old leg is certain to be dead.
func (s *Session) fence(leg *userLeg, f failure, next *plan) {
	if f.confirmed || !leg.mustBeDead(next) {
		return
	}
	since := leg.lostAt
	if since.IsZero() {
		since = s.u.c.Loop.Now()
	}
	wait := s.u.c.Failover.fence() + leg.silence
	s.notYet = since.Add(wait + wait/fenceShare + fenceMore)
	again := leg.unready != nil && s.unready > 1 // the search has had that time, and must end
	if limit := s.notYet.Add(restoreTimeout); s.deadline.Before(limit) && !again {
		s.deadline = limit
	}
	if s.record != nil {
		s.record.Fence = max(0, s.notYet.Sub(s.record.Time))
	}
}

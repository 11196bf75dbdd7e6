package pool

import "time"

// ReportPause is how long nothing more is made of an element's failures for others, and of what others say of it, once something was.
// Of a host with thousands of sessions that dies one report tells it all; and somebody who reports without end what is not so takes
// from an element the new sessions of FirstPause in each ReportPause.
const ReportPause = time.Second

// OnUnreachable has f told of elements that this process could not reach, each at most once in ReportPause. It is called by whoever has
// found that out, on any goroutine, outside the lock, and must not block.
func (p *Pool) OnUnreachable(f func(Element)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unreachable = f
}

// Unreachable is Failed for an element that could not be reached, or died, as far as can be seen from here: that is of interest to other
// pool users, too (OnUnreachable). What only stood in one session's way is not: a registrar takes an element out of its pool after a few
// reports (RFC 5353 §2.4).
func (p *Pool) Unreachable(now time.Time, name string) {
	p.mu.Lock()
	m := p.find(name)
	if m == nil {
		p.mu.Unlock()
		return
	}
	m.failed(now)
	tell := p.unreachable
	if now.Before(m.reports) {
		tell = nil
	}
	if tell != nil {
		m.reports = now.Add(ReportPause)
	}
	e := m.Element
	p.mu.Unlock()
	if tell != nil {
		tell(e)
	}
}

// Reported takes the names of elements that others could not reach. Each is passed over for FirstPause, like one that failed here; then the
// next session looks at it. So a report that is wrong costs next to nothing, and may be believed also of an element that carries sessions
// of this process: they stay where they are, and if the host has died, their heartbeats will take longer to tell than the report
// did. Of an element that is known to have failed nothing is changed: its pause must not begin again with each report. Nothing is told to
// OnUnreachable, for reports would go around for ever.
func (p *Pool) Reported(now time.Time, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		m := p.find(name)
		if m == nil || m.failures > 0 || now.Before(m.heard) {
			continue
		}
		m.failures, m.serves = 1, false
		m.retry, m.heard = now.Add(FirstPause), now.Add(ReportPause)
	}
}

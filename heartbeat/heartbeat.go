// Package heartbeat decides when to speak to a peer that says nothing, and when to give it up. It also estimates the
// round-trip time from the answers.
//
// The rule: whatever a peer sends is a sign of life. Only when nothing has come for an Interval is the peer asked, and asked again
// after each further Interval; when Misses heartbeats in a row were not answered, and still nothing at all has come, the peer is given
// up. So a peer that has much to say is asked only once, for the round-trip time, and one that never has anything to say is asked once
// an Interval. What we send ourselves proves nothing about the peer and does not enter the rule.
//
// The last heartbeat is not waited for as long as those before it, whose answers would do as well: see Monitor.last. So a peer that
// falls silent is given up Misses intervals and a moment later, whenever that was, and whatever was under way.
//
// Nothing here reads a clock or sends: time goes in, actions come out.
package heartbeat

import "time"

// Action is what Next asks of its caller.
type Action uint8

const (
	Nothing Action = iota // wait
	Speak                 // send one heartbeat now
	GiveUp                // the peer is to be taken for dead
)

func (a Action) String() string {
	switch a {
	case Nothing:
		return "nothing"
	case Speak:
		return "speak"
	case GiveUp:
		return "give up"
	}
	return "unknown"
}

const (
	// lastWait is how long the last of several heartbeats is waited for. What was lost, or held up, before it had an Interval and more; it
	// is the last chance of a peer that begins to answer again in this moment.
	lastWait = 30 * time.Millisecond

	// tardy is how late Next may be called to have the peer given up: a process that comes later was itself held up.
	tardy = 10 * time.Millisecond
)

// Monitor watches one peer. Set Interval and Misses, then call Start.
//
// A dead peer is given up Interval*Misses + 30 ms after the last thing received from it, if Next is called at the times that it
// names. It takes up to Interval*(Misses+1), and never longer, if Misses is 1, if the round trip takes about an Interval or more,
// and as long as the peer has not answered any heartbeat. When Next is called late (this process did not get to run), the
// lateness is not held against the peer: it still gets its whole time for each heartbeat, and another one if it was this process
// that was late to look for an answer to the last.
//
// An Interval of 0 or less turns the watch off: Next then never asks for anything.
type Monitor struct {
	Interval time.Duration
	Misses   int // fewer than 1 counts as 1

	heard   time.Time // when something last came from the peer
	spoke   time.Time // when the last heartbeat went out
	asked   int       // heartbeats since heard
	born    time.Time // when the watch began
	timed   bool      // the peer was asked once, so that the round-trip time is known, or will be
	excused bool      // the last heartbeat was sent because this process was late
	trip    estimate
}

// Start begins the watch: the peer is taken to be alive at now.
func (m *Monitor) Start(now time.Time) {
	m.born = now
	m.Received(now)
}

// Received notes a sign of life: anything that came from the peer at now. It is cheap enough for every read.
func (m *Monitor) Received(now time.Time) {
	m.heard = now
	m.asked, m.excused = 0, false
}

// Answered notes the answer, come at now, to the heartbeat that was sent at sentAt. It is a sign of life, too. Each answer
// tells which heartbeat it belongs to, so every one is a valid sample (Karn's rule, RFC 6298 §3, has no case here).
func (m *Monitor) Answered(now, sentAt time.Time) {
	m.Received(now)
	m.trip.add(now.Sub(sentAt))
}

// Next says what to do at now, and when to call again (zero: not at all). After Speak the caller must send a heartbeat; it is
// counted as sent. Calling earlier than asked is harmless. After things were received the named time is only an early
// bound: nothing need be rescheduled for them.
func (m *Monitor) Next(now time.Time) (do Action, at time.Time) {
	if m.Interval <= 0 {
		return Nothing, time.Time{}
	}
	due := m.heard.Add(m.Interval)
	if m.asked > 0 {
		due = m.spoke.Add(m.wait())
	}
	switch {
	case now.Before(due):
		return m.early(now), due
	case m.asked < m.misses():
		m.asked++
	case !m.late(now, due):
		return GiveUp, time.Time{}
	default:
		m.excused = true
	}
	m.timed = true
	m.spoke = now
	return Speak, now.Add(m.wait())
}

// early is what to do while the peer is not silent: one that has never been because it always had something to say is asked once, for the
// round-trip time.
func (m *Monitor) early(now time.Time) Action {
	if m.timed || m.trip.known || now.Sub(m.born) < m.Interval {
		return Nothing
	}
	m.timed = true
	return Speak
}

// wait is how long the heartbeat that was sent last is waited for. An answer to one of those before it would do as well, and has had an
// Interval more. So the last one has its whole Interval only where the round trip takes as long, or is not known.
func (m *Monitor) wait() time.Duration {
	if m.asked < m.misses() || m.misses() == 1 || !m.trip.known {
		return m.Interval
	}
	return min(m.Interval, max(lastWait, m.trip.timeout()-m.Interval))
}

// late reports whether this process was held up when it should have looked for the last answer, and so may have held up that
// answer, too: then the peer is asked once more. Where that happens time and again, the peer has an Interval more.
func (m *Monitor) late(now, due time.Time) bool {
	return now.Sub(due) > tardy && (!m.excused || !m.Overdue(now))
}

func (m *Monitor) misses() int { return max(m.Misses, 1) }

// Silence is how long nothing has come from the peer.
func (m *Monitor) Silence(now time.Time) time.Duration { return now.Sub(m.heard) }

// Heard is when something last came from the peer.
func (m *Monitor) Heard() time.Time { return m.heard }

// Overdue reports whether nothing has come for longer than any peer is waited for: Next was not called when it wanted to be, because
// this process did not get to run. The peer has most likely given up this side, and what it sent before must not be taken for
// its present wish.
func (m *Monitor) Overdue(now time.Time) bool {
	return m.Interval > 0 && m.Silence(now) > m.Interval*time.Duration(m.misses()+1)
}

// Unanswered is how many heartbeats have been sent since something last came.
func (m *Monitor) Unanswered() int { return m.asked }

// RTT returns the smoothed round-trip time, its variation, and the timeout that follows from both (RFC 6298 §2). All are zero
// until the first answer. They include the peer's process and its load, not the network alone.
func (m *Monitor) RTT() (rtt, variation, rto time.Duration) {
	if !m.trip.known {
		return 0, 0, 0
	}
	return m.trip.smoothed, m.trip.variation, m.trip.timeout()
}

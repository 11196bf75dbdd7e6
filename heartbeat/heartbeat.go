// Package heartbeat decides when to speak to a peer that says nothing, and when to give it up. It also estimates the
// round-trip time from the answers.
//
// The rule: whatever a peer sends is a sign of life. Only when nothing has come for an Interval is the peer asked, and asked again
// after each further Interval; when Misses heartbeats in a row have each had their Interval and still nothing at all has
// come, the peer is given up. So a peer that has much to say is never asked, and one that never has anything to say is asked once
// an Interval. What we send ourselves proves nothing about the peer and does not enter the rule.
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

// Monitor watches one peer. Set Interval and Misses, then call Start.
//
// A dead peer is given up Interval*(Misses+1) after the last thing received from it, never later, if Next is called at the
// times that it names. When it is called late (this process did not get to run), the lateness is not held against the
// peer: it still gets a whole Interval for each heartbeat.
//
// An Interval of 0 or less turns the watch off: Next then never asks for anything.
type Monitor struct {
	Interval time.Duration
	Misses   int // fewer than 1 counts as 1

	heard time.Time // when something last came from the peer
	spoke time.Time // when the last heartbeat went out
	asked int       // heartbeats since heard
	trip  estimate
}

// Start begins the watch: the peer is taken to be alive at now.
func (m *Monitor) Start(now time.Time) { m.Received(now) }

// Received notes a sign of life: anything that came from the peer at now. It is cheap enough for every read.
func (m *Monitor) Received(now time.Time) {
	m.heard = now
	m.asked = 0
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
	due := m.heard
	if m.asked > 0 {
		due = m.spoke
	}
	due = due.Add(m.Interval)
	switch {
	case now.Before(due):
		return Nothing, due
	case m.asked >= max(m.Misses, 1):
		return GiveUp, time.Time{}
	}
	m.asked++
	m.spoke = now
	return Speak, now.Add(m.Interval)
}

// Silence is how long nothing has come from the peer.
func (m *Monitor) Silence(now time.Time) time.Duration { return now.Sub(m.heard) }

// Heard is when something last came from the peer.
func (m *Monitor) Heard() time.Time { return m.heard }

// Overdue reports whether nothing has come for longer than a peer is waited for: Next was not called when it wanted to be, because
// this process did not get to run. The peer has most likely given up this side, and what it sent before must not be taken for
// its present wish.
func (m *Monitor) Overdue(now time.Time) bool {
	return m.Interval > 0 && m.Silence(now) > m.Interval*time.Duration(max(m.Misses, 1)+1)
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

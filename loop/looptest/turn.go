package looptest

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// ready puts a connection on the list of the next turn.
func (h *Host) ready(c *conn) {
	if !c.queued {
		c.queued = true
		h.runnable.push(c)
	}
	lag := time.Duration(0)
	if h.w.chance(4) {
		lag = time.Duration(h.w.rand.Int64N(int64(maxLag)))
	}
	h.wake(lag)
}

// wake sees to it that a turn comes within lag. A frozen process has its turn when it thaws.
func (h *Host) wake(lag time.Duration) {
	if h.frozen || !h.running {
		return
	}
	at := h.w.now + int64(lag)
	if h.turn.place > 0 {
		if h.turn.at <= at {
			return
		}
		h.w.events.remove(&h.turn)
	}
	h.w.events.schedule(&h.turn, at)
}

// fire runs one turn: connections, timers, posted functions, Later functions. It leaves off when the process is killed or frozen in
// the middle of it; Thaw goes on with what is left.
func (h *Host) fire() {
	if h.w.trace != nil {
		h.w.tracef("%s: turn, %d ready, %d due, %d posted", h.name, h.runnable.len(), h.due.len(), h.posted.len())
	}
	life := h.life
	goesOn := func() bool { return h.life == life && !h.frozen }
	h.inTurn = true
	h.mix()
	for n := h.runnable.len(); n > 0 && goesOn(); n-- {
		h.runnable.pop().speak()
	}
	for n := h.due.len(); n > 0 && goesOn(); n-- {
		h.due.pop().ring()
	}
	for n := h.posted.len(); n > 0 && goesOn(); n-- {
		h.posted.pop()()
	}
	for h.later.len() > 0 && goesOn() {
		h.later.pop()()
	}
	h.inTurn = false
	if h.later.len() > 0 {
		h.wake(0) // they were added by a process begun in the middle of the turn
	}
}

// mix changes, sometimes, the order in which the connections of a turn are served: none is promised.
func (h *Host) mix() {
	if h.runnable.len() > 1 && h.w.chance(4) {
		h.w.rand.Shuffle(h.runnable.len(), h.runnable.swap)
	}
}

// alarm is an armed timer. The loop.Timers of one element is there for what it does to the timer: only it can mark it as armed.
type alarm struct {
	event  event
	host   *Host
	timer  *loop.Timer // nil: cancelled while it waited in Host.due
	timers loop.Timers
	isDue  bool // it has gone off and waits for the turn
}

// Schedule implements loop.Loop.
func (h *Host) Schedule(t *loop.Timer, at time.Time) {
	h.Cancel(t)
	if !h.running {
		return
	}
	var a *alarm
	if last := len(h.spare) - 1; last >= 0 {
		a, h.spare = h.spare[last], h.spare[:last]
	} else {
		a = &alarm{host: h}
		a.event.owner = a
	}
	a.timer = t
	a.timers.Schedule(t, at)
	h.alarms[t] = a
	h.w.events.schedule(&a.event, max(h.w.now, h.when(int64(at.Sub(begin)))))
}

// Cancel implements loop.Loop.
func (h *Host) Cancel(t *loop.Timer) {
	a := h.alarms[t]
	if a == nil {
		return
	}
	delete(h.alarms, t)
	a.timers.Cancel(t)
	a.timer = nil
	if a.isDue {
		return // ring puts it away
	}
	h.w.events.remove(&a.event)
	h.spare = append(h.spare, a)
}

// fire is called when the time has come. The turn is now, or, as the seed decides, when the other events of this instant have
// met in it.
func (a *alarm) fire() {
	h := a.host
	a.isDue = true
	h.due.push(a)
	if !h.frozen && h.w.chance(2) {
		h.w.events.remove(&h.turn)
		h.fire()
		return
	}
	h.wake(0)
}

// ring runs the timer's function, in a turn.
func (a *alarm) ring() {
	t := a.timer
	a.isDue = false
	if t != nil {
		a.host.Cancel(t)
		t.Func()
		return
	}
	a.host.spare = append(a.host.spare, a)
}

package loop

import "time"

// Timer runs Func once at the time it is scheduled for. Its owner keeps it for reuse; the zero value with a Func is ready.
// It belongs to the loop's goroutine.
type Timer struct {
	Func func()

	at    time.Time
	index int // place in the heap plus one; 0: not armed
}

// Armed reports whether the timer is scheduled.
func (t *Timer) Armed() bool { return t.index > 0 }

// At is the time that an armed timer is scheduled for.
func (t *Timer) At() time.Time { return t.at }

// Timers is a heap of armed timers, the earliest first: the part of a Loop that needs no system. Timers that are due at the same
// time may run in any order. The zero value is ready.
type Timers struct {
	heap []*Timer
}

// Schedule arms or moves t.
func (h *Timers) Schedule(t *Timer, at time.Time) {
	t.at = at
	if t.index == 0 {
		h.heap = append(h.heap, t)
		t.index = len(h.heap)
		h.up(t.index - 1)
		return
	}
	h.up(t.index - 1)
	h.down(t.index - 1)
}

// Cancel disarms t.
func (h *Timers) Cancel(t *Timer) {
	i := t.index - 1
	if i < 0 {
		return
	}
	last := len(h.heap) - 1
	h.swap(i, last)
	h.heap[last] = nil
	h.heap = h.heap[:last]
	t.index = 0
	if i < last {
		h.up(i)
		h.down(i)
	}
}

// Next is the time of the earliest timer; ok is false when none is armed.
func (h *Timers) Next() (at time.Time, ok bool) {
	if len(h.heap) == 0 {
		return time.Time{}, false
	}
	return h.heap[0].at, true
}

// Fire runs the function of every timer due at now, disarming each first, and of those that these functions make due.
func (h *Timers) Fire(now time.Time) {
	for len(h.heap) > 0 && !h.heap[0].at.After(now) {
		t := h.heap[0]
		h.Cancel(t)
		t.Func()
	}
}

func (h *Timers) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].index, h.heap[j].index = i+1, j+1
}

func (h *Timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.heap[i].at.Before(h.heap[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *Timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.heap); child++ {
			if h.heap[child].at.Before(h.heap[least].at) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

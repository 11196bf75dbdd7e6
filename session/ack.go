package session

import "github.com/poolproxy/poolproxy/loop"

// acks collects legs that owe their peer an acknowledgement, and sends them together: none waits longer than ackEvery, and
// while nothing is owed no timer runs.
type acks[T any] struct {
	loop  loop.Loop
	send  func(*T)
	owing []*T
	spare []*T
	timer loop.Timer
}

func newAcks[T any](l loop.Loop, send func(*T)) *acks[T] {
	a := &acks[T]{loop: l, send: send}
	a.timer.Func = a.fire
	return a
}

// owe notes that t owes an acknowledgement. The caller sees to it that t is not noted twice.
func (a *acks[T]) owe(t *T) {
	a.owing = append(a.owing, t)
	if !a.timer.Armed() {
		a.loop.Schedule(&a.timer, a.loop.Now().Add(ackEvery))
	}
}

func (a *acks[T]) fire() {
	due := a.owing
	a.owing = a.spare[:0]
	for _, t := range due {
		a.send(t)
	}
	clear(due)
	a.spare = due[:0]
}

func (a *acks[T]) stop() { a.loop.Cancel(&a.timer) }

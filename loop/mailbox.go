package loop

import "sync"

// mailbox carries functions from any goroutine to the loop's. It is the only part of a loop that is locked.
type mailbox struct {
	wake func() // ends the loop's wait; called under mu, so never after close

	mu     sync.Mutex
	in     []func()
	asleep bool // the loop waits, or is about to, and nobody has woken it yet
	closed bool

	out []func() // the loop's own: what it runs now; swapped with in, so that posting allocates nothing in the long run
}

// post leaves f for the loop; it reports false when the mailbox is closed. Only the first to post to a sleeping loop pays
// for waking it.
func (m *mailbox) post(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.in = append(m.in, f)
	if m.asleep {
		m.asleep = false
		m.wake()
	}
	return true
}

// sleep announces that the loop is about to wait; it reports false, and the loop must not wait, when there is mail.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asleep = len(m.in) == 0
	return m.asleep
}

// awake says that the loop no longer waits.
func (m *mailbox) awake() {
	m.mu.Lock()
	m.asleep = false
	m.mu.Unlock()
}

// run runs what was posted before the call; what is posted meanwhile waits for the next turn.
func (m *mailbox) run() {
	m.mu.Lock()
	m.in, m.out = m.out[:0], m.in
	m.mu.Unlock()
	for i, f := range m.out {
		m.out[i] = nil
		f()
	}
	m.out = m.out[:0]
}

// close makes every later post fail. What was posted before can still be run.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed, m.asleep = true, false
	m.mu.Unlock()
}

// laterQueue holds the functions for the end of the turn. It belongs to the loop's goroutine.
type laterQueue struct {
	next, running []func()
}

func (q *laterQueue) add(f func()) { q.next = append(q.next, f) }

// run runs functions, in the order they came, until none is left.
func (q *laterQueue) run() {
	for len(q.next) > 0 {
		q.running, q.next = q.next, q.running[:0]
		for i, f := range q.running {
			q.running[i] = nil
			f()
		}
	}
}

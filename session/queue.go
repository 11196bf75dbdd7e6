package session

// queue is a first-in first-out list that reuses its memory. The zero value is empty.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(x T) { q.items = append(q.items, x) }

// first returns the oldest item; the queue must not be empty.
func (q *queue[T]) first() T { return q.items[q.head] }

// last returns the newest item; the queue must not be empty.
func (q *queue[T]) last() T { return q.items[len(q.items)-1] }

// pop takes the oldest item off; the queue must not be empty.
func (q *queue[T]) pop() T {
	x := q.items[q.head]
	var zero T
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 32 && q.head >= len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return x
}

// keep keeps the items that is reports true for, in their order.
func (q *queue[T]) keep(is func(T) bool) {
	old := q.all()
	*q = queue[T]{}
	for _, x := range old {
		if is(x) {
			q.push(x)
		}
	}
}

// all is what is in the queue, oldest first, until the next change.
func (q *queue[T]) all() []T { return q.items[q.head:] }

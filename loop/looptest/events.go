package looptest

// event is something that happens at a time. Its owner knows what. An event lies in its owner's memory, or, for packets, in the
// world's free list.
type event struct {
	at    int64  // nanoseconds since the world began
	seq   uint64 // order among events of one time
	place int    // in the heap plus one; 0: not scheduled
	owner owner
	spare bool // goes to the free list when it has happened
}

type owner interface{ fire() }

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.seq < f.seq
}

// events is a heap, the earliest event first.
type events struct {
	heap []*event
	seq  uint64
	free []*event
}

// schedule sets e, which must not be scheduled, for the time at.
func (q *events) schedule(e *event, at int64) {
	q.seq++
	e.at, e.seq = at, q.seq
	q.heap = append(q.heap, e)
	q.up(len(q.heap)-1, e)
}

// add schedules an event from the free list.
func (q *events) add(o owner, at int64) {
	var e *event
	if last := len(q.free) - 1; last >= 0 {
		e, q.free = q.free[last], q.free[:last]
	} else {
		e = &event{spare: true}
	}
	e.owner = o
	q.schedule(e, at)
}

// remove takes e out if it is scheduled.
func (q *events) remove(e *event) {
	if e.place == 0 {
		return
	}
	i, last := e.place-1, len(q.heap)-1
	moved := q.heap[last]
	q.heap[last] = nil
	q.heap = q.heap[:last]
	e.place = 0
	if i == last {
		return
	}
	if i > 0 && moved.before(q.heap[(i-1)/2]) {
		q.up(i, moved)
	} else {
		q.down(i, moved)
	}
}

// next takes out the earliest event and returns its owner; nil when there is none.
func (q *events) next() (o owner, at int64) {
	if len(q.heap) == 0 {
		return nil, 0
	}
	e := q.heap[0]
	o, at = e.owner, e.at
	q.remove(e)
	if e.spare {
		e.owner = nil
		q.free = append(q.free, e)
	}
	return o, at
}

func (q *events) up(i int, e *event) {
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, e)
}

func (q *events) down(i int, e *event) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		if child+1 < len(q.heap) && q.heap[child+1].before(q.heap[child]) {
			child++
		}
		if !q.heap[child].before(e) {
			break
		}
		q.put(i, q.heap[child])
		i = child
	}
	q.put(i, e)
}

func (q *events) put(i int, e *event) {
	q.heap[i] = e
	e.place = i + 1
}

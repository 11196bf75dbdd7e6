package session

import (
	"cmp"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
)

// Where all elements that live have all the sessions that they take, sessions wait for room, in two lines: those of clients that have come
// anew, and those that have lost their element. They take turns, those first whose deadline is first, and one that comes does not overtake them. Who
// knows of room asks for one of them to be let in: an element at which a session of ours has ended, and else a timer (the pool says when one
// that has refused may be asked again). One that gets in lets in two more: so much room is soon used, and one place costs few questions.

// yielding is how long others that share the pool have to take a place first.
const yielding = 5 * time.Millisecond

// queues are those who wait for room.
type queues struct {
	waiting [2]queue[*Session] // those that are not inLine any more do not wait
	count   int                // of those that wait
	turn    int                // the line of which one was let in last
	last    int                // the line of which one has got a place last
	timer   loop.Timer
	soon    bool   // later is going to run
	yields  bool   // others that share the pool have been told first
	later   func() // made once
}

func (r *queues) len() int { return r.count }

// pop takes out one that waits, of each line in turn. There must be one.
func (r *queues) pop() *Session {
	for {
		if r.turn = 1 - r.turn; r.waiting[r.turn].len() == 0 {
			r.turn = 1 - r.turn
		}
		if s := r.waiting[r.turn].pop(); s.inLine {
			s.inLine = false
			r.count--
			return s
		}
	}
}

// tidy forgets those that do not wait any more when they are most of all.
func (r *queues) tidy() {
	if all := r.waiting[0].len() + r.waiting[1].len(); all > 64 && all > 2*r.count {
		for i := range r.waiting {
			r.waiting[i].keep(func(s *Session) bool { return s.inLine })
		}
	}
}

// lineOf is the line that a session belongs in.
func (s *Session) lineOf() int {
	if s.served != "" {
		return 1
	}
	return 0
}

// waitForRoom puts the session in its line, in the order of deadlines: that is where it came from, if it was let in in vain.
func (s *Session) waitForRoom(choice pool.Choice) {
	u, line := s.u, s.lineOf()
	q := &u.room.waiting[line]
	at, _ := slices.BinarySearchFunc(q.all(), s, byDeadline)
	q.items = slices.Insert(q.items, q.head+at, s)
	s.inLine, s.letIn = true, false
	u.room.count++
	now := u.c.Loop.Now()
	u.c.Loop.Schedule(&s.timer, s.deadline)
	if at := now.Add(choice.Wait); !u.room.timer.Armed() || at.Before(u.room.timer.At()) {
		u.c.Loop.Schedule(&u.room.timer, at)
	}
}

func byDeadline(a, b *Session) int {
	return cmp.Or(a.deadline.Compare(b.deadline), cmp.Compare(a.ID, b.ID))
}

// gotIn notes that the session has been taken by an element.
func (s *Session) gotIn() {
	if s.letIn {
		s.letIn, s.u.room.last = false, s.lineOf()
	}
}

// leaveLine has the session wait for room no more.
func (s *Session) leaveLine() {
	if s.inLine {
		s.inLine = false
		s.u.room.count--
		s.u.room.tidy()
	}
}

// lookForRoom lets one in to find out whether there is room by now.
func (u *User) lookForRoom() {
	u.letIn(1)
	if u.room.len() > 0 && !u.room.timer.Armed() {
		u.c.Loop.Schedule(&u.room.timer, u.c.Loop.Now().Add(pool.LastPause))
	}
}

// letIn has at most n of those in line look for an element, in turn, as long as there is one to be had.
func (u *User) letIn(n int) {
	if u.closed {
		return
	}
	u.room.turn = u.room.last
	for ; n > 0 && u.room.len() > 0; n-- {
		s := u.room.pop()
		s.letIn = true
		s.place(s.next)
		if s.inLine { // nothing is to be had
			return
		}
	}
}

// roomSoon lets one in at the end of this turn: a session of ours has left an element that was full.
func (u *User) roomSoon() {
	if u.room.len() > 0 && !u.room.soon && !u.closed {
		u.room.soon = true
		u.c.Loop.Later(u.room.later)
	}
}

func (u *User) roomNow() {
	if u.room.soon = false; !u.closed {
		u.letIn(1)
	}
}

// enter counts the session among those of the element. It reports false if that has all that it takes.
func (s *Session) enter(element string) bool {
	if !s.u.c.Pool.Enter(element) {
		return false
	}
	s.entered = element
	return true
}

// stays counts the session among those of the element, where it was before, unless the one that has its name now is another one.
func (s *Session) stays(at pool.Element) {
	if e, ok := s.u.c.Pool.Element(at.Name); ok && e.Address == at.Address {
		s.u.c.Pool.Stay(at.Name)
		s.entered = at.Name
	}
}

// exit takes enter back.
func (s *Session) exit() {
	if s.entered == "" {
		return
	}
	full := s.u.c.Pool.Exit(s.entered)
	if s.entered = ""; full {
		s.u.vacated()
	}
}

// vacated tells who waits for room that there is some: sessions of this User and of others that share the pool, those first in turn. Else
// who has all the places would have them for ever.
func (u *User) vacated() {
	if u.c.Room == nil {
		u.roomSoon()
		return
	}
	u.c.Room()
	if u.room.yields = !u.room.yields; !u.room.yields {
		u.roomSoon()
		return
	}
	if at := u.c.Loop.Now().Add(yielding); u.room.len() > 0 && !u.closed && (!u.room.timer.Armed() || at.Before(u.room.timer.At())) {
		u.c.Loop.Schedule(&u.room.timer, at)
	}
}

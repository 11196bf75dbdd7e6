package retrieval

import (
	"iter"
	"sort"
)

// Open is the End of a message that is still coming.
const Open int64 = -1

// Message is one message of the stream: its place, and the marks that decide what may become of it.
type Message[T any] struct {
	Start, End int64 // offsets in the log; End is Open while the message still comes
	About      T     // what its protocol says of it

	Released bool // it need not be sent again
	Lost     bool // it cannot be sent again: some of its bytes had to be let go before it was released
}

// Complete reports whether the message's last byte has come.
func (m *Message[T]) Complete() bool { return m.End != Open }

// Store is a Log that knows the messages in it. The zero value is empty. It belongs to one loop's goroutine.
type Store[T any] struct {
	Log
	list   []*Message[T]
	gone   int   // messages at the front of the list that are forgotten
	marked int64 // up to where the messages cover
}

// messages are those from the first that is not released on; they cover the log from its start, or from before it.
func (s *Store[T]) messages() []*Message[T] { return s.list[s.gone:] }

// Begin has the zero message m, whose memory is the caller's, begin behind all others. The last one must be complete.
func (s *Store[T]) Begin(m *Message[T], about T) {
	m.Start, m.End, m.About = s.marked, Open, about
	s.list = append(s.list, m)
}

// Mark says that the next n bytes (appended already) belong to the message that about describes; end: and that they are its
// last. It returns the message: the last one, if that is not complete yet, else a new one.
func (s *Store[T]) Mark(n int, about T, end bool) *Message[T] {
	m := s.Last()
	if m == nil || m.Complete() {
		m = &Message[T]{}
		s.Begin(m, about)
	}
	m.About = about
	s.marked += int64(n)
	if end {
		m.End = s.marked
	}
	return m
}

// Marked is the offset up to which the messages cover the log.
func (s *Store[T]) Marked() int64 { return s.marked }

// Messages is how many messages are kept.
func (s *Store[T]) Messages() int { return len(s.messages()) }

// First returns the oldest message that is not released, nil if there is none.
func (s *Store[T]) First() *Message[T] {
	if len(s.messages()) == 0 {
		return nil
	}
	return s.messages()[0]
}

// Kept iterates over the messages that are not released, in order: together they are what can be retrieved.
func (s *Store[T]) Kept() iter.Seq[*Message[T]] {
	return func(yield func(*Message[T]) bool) {
		for _, m := range s.messages() {
			if !m.Released && !yield(m) {
				return
			}
		}
	}
}

// Unsent iterates over the messages of which no byte was sent, given that everything before offset sent was (draft §6.1.1).
func (s *Store[T]) Unsent(sent int64) iter.Seq[*Message[T]] {
	return s.where(func(m *Message[T]) bool { return m.Start >= sent })
}

// Unacknowledged iterates over the messages that were sent at least in part and are not released (draft §6.1.1).
func (s *Store[T]) Unacknowledged(sent int64) iter.Seq[*Message[T]] {
	return s.where(func(m *Message[T]) bool { return m.Start < sent })
}

func (s *Store[T]) where(is func(*Message[T]) bool) iter.Seq[*Message[T]] {
	return func(yield func(*Message[T]) bool) {
		for m := range s.Kept() {
			if is(m) && !yield(m) {
				return
			}
		}
	}
}

// EndsAt reports whether a kept message ends exactly at the offset.
func (s *Store[T]) EndsAt(offset int64) bool {
	for i := len(s.messages()) - 1; i >= 0; i-- {
		if end := s.messages()[i].End; end != Open && end <= offset {
			return end == offset
		}
	}
	return false
}

// Trim forgets the released messages at the front and returns the offset from which on bytes are still needed for replay:
// the start of the first message that is not released.
func (s *Store[T]) Trim() int64 {
	gone := 0
	for gone < len(s.messages()) && s.messages()[gone].Released && s.messages()[gone].Complete() {
		gone++
	}
	s.drop(gone)
	if len(s.messages()) == 0 {
		return s.marked
	}
	return s.messages()[0].Start
}

// Forget forgets every message that ends at or before offset to, whether it was released or not.
func (s *Store[T]) Forget(to int64) {
	gone := 0
	for gone < len(s.messages()) && s.messages()[gone].Complete() && s.messages()[gone].End <= to {
		gone++
	}
	s.drop(gone)
}

// drop forgets the first n messages. Their places in the list are used again when they are most of it: a long list is not moved
// for each message that is forgotten.
func (s *Store[T]) drop(n int) {
	clear(s.messages()[:n])
	s.gone += n
	switch {
	case s.gone == len(s.list):
		s.list, s.gone = s.list[:0], 0
	case s.gone >= 32 && s.gone >= len(s.list)/2:
		kept := copy(s.list, s.messages())
		clear(s.list[kept:])
		s.list, s.gone = s.list[:kept], 0
	}
}

// Within iterates over the messages that are known and that begin in [from, to), in order, and finds the first quickly.
func (s *Store[T]) Within(from, to int64) iter.Seq[*Message[T]] {
	return func(yield func(*Message[T]) bool) {
		i := sort.Search(len(s.messages()), func(i int) bool { return s.messages()[i].Start >= from })
		for ; i < len(s.messages()) && s.messages()[i].Start < to; i++ {
			if !yield(s.messages()[i]) {
				return
			}
		}
	}
}

// Last returns the newest message, nil if none is kept.
func (s *Store[T]) Last() *Message[T] {
	if len(s.messages()) == 0 {
		return nil
	}
	return s.messages()[len(s.messages())-1]
}

// All iterates over every message that is known, released or not.
func (s *Store[T]) All() iter.Seq[*Message[T]] {
	return func(yield func(*Message[T]) bool) {
		for _, m := range s.messages() {
			if !yield(m) {
				return
			}
		}
	}
}

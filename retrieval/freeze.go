package retrieval

import (
	"github.com/poolproxy/poolproxy/freeze"
	"github.com/poolproxy/poolproxy/loop"
)

// Freeze shows the bytes that are held, and where they are in the stream. What came as pages is loaded. most bounds how many there may be.
// After a mistake what was thawed is held all the same: Clear lets go of it.
func (l *Log) Freeze(c *freeze.Coder, pool *loop.Pool, most int64) {
	start, n := l.start, l.end-l.start
	c.Offset(&start, &n)
	if !c.Thaws() {
		for at := l.start; at < l.end; {
			p, _ := l.At(at, loop.LargeBuffer)
			c.Array(p)
			at += int64(len(p))
		}
		return
	}
	if !c.Check(n <= most, "%d bytes are held, at most %d are possible", n, most) {
		return
	}
	l.start, l.end = start, start
	c.Pieces(n, func(p []byte) { l.Append(pool, p) })
}

// Freeze shows the bytes and the messages (Log.Freeze). message shows one of them, which others may refer to, too: Message.Freeze shows the
// marks.
func (s *Store[T]) Freeze(c *freeze.Coder, pool *loop.Pool, most int64, message func(**Message[T])) {
	s.Log.Freeze(c, pool, most)
	c.Offset(&s.marked)
	list := s.messages()
	freeze.List(c, &list, message)
	if !c.Thaws() {
		return
	}
	s.list, s.gone = list, 0
	c.Check(s.marked == s.end, "messages up to %d, bytes up to %d", s.marked, s.end)
	at := int64(0)
	for i, m := range list {
		if !c.Check(m != nil, "a message is missing") {
			s.list = nil
			return
		}
		last := i == len(list)-1
		c.Check(m.Start >= at && m.Start <= s.marked && (last || m.Complete()), "message %d of %d begins at %d, behind %d", i, len(list), m.Start, at)
		c.Check(!m.Complete() || m.End > m.Start && m.End <= s.marked, "message %d is from %d to %d", i, m.Start, m.End)
		c.Check(i == 0 || m.Start == at, "message %d begins at %d, not at %d", i, m.Start, at)
		at = m.End
	}
	c.Check(len(list) == 0 || at == Open || at == s.marked, "the messages end at %d, not at %d", at, s.marked)
}

// Freeze shows the place of the message and its marks, not what is known about it.
func (m *Message[T]) Freeze(c *freeze.Coder) {
	c.Offset(&m.Start)
	freeze.Number(c, &m.End, Open, 1<<62)
	c.Bool(&m.Released, &m.Lost)
}

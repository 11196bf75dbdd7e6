package session

import (
	"fmt"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// link is an association with the legs on it, T being the side's kind of leg.
type link[T any] struct {
	a       mapping.Association
	streams table[T]
	hello   *message // the peer's; nil until it came
	waiting []*T     // legs that have more to send than the association's queue should hold, first come first served
	buf     []byte   // for encoding; used within tell only
	timer   loop.Timer
}

// tell sends m. An association that has ended is not an error here: its Down is on its way, or was ours.
func (l *link[T]) tell(stream uint16, m *message) {
	l.buf = m.append(l.buf[:0])
	_ = l.a.Send(mapping.Message{Stream: stream, PPID: mapping.PPIDSession, Data: l.buf}, nil)
}

// data sends application data that lies in the Buffer from. end: a message of the application ends with it.
func (l *link[T]) data(stream uint16, p []byte, from *loop.Buffer, end bool) {
	ppid := mapping.PPIDMore
	if end {
		ppid = mapping.PPIDEnd
	}
	_ = l.a.Send(mapping.Message{Stream: stream, PPID: ppid, Data: p}, from)
}

// full reports whether the association's queue is long enough.
func (l *link[T]) full() bool { return l.a.Queued() >= maxQueued }

// drained lets those who wait send in turn, a piece each, until the queue is full again. piece reports whether its leg has more to send.
func (l *link[T]) drained(piece func(*T) (more bool)) {
	for len(l.waiting) > 0 && !l.full() {
		t := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if piece(t) {
			l.waiting = append(l.waiting, t)
		}
	}
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
}

// checkHello judges the first message of the peer.
func checkHello(stream uint16, m *message) error {
	if m.typ != typeHello {
		return fmt.Errorf("%w: type %d came before HELLO", ErrMessage, m.typ)
	}
	if stream != control {
		return fmt.Errorf("%w: HELLO came on stream %d", ErrMessage, stream)
	}
	if m.version < Version || m.oldest > Version {
		return fmt.Errorf("%w: the peer speaks versions %d to %d of the session protocol, this side speaks %d",
			ErrMessage, m.oldest, m.version, Version)
	}
	return nil
}

package session

import (
	"fmt"
	"slices"

	"github.com/poolproxy/poolproxy/asap"
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
	in      message  // the message that is being taken; used within take only
	timer   loop.Timer
}

// identity is who the peer is, by its certificate, or "" where associations know nobody. It is the same for all time of an association.
func (l *link[T]) identity() string {
	if known, ok := l.a.(interface{ Identity() string }); ok {
		return known.Identity()
	}
	return ""
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

// side is what the two sides of an association do differently with what comes.
type side[T any] interface {
	greeted()                                   // the peer's HELLO has come
	deliver(leg *T, p []byte)                   // application data of a leg
	control(stream uint16, leg *T, m *message)  // any other message; leg is nil if the stream carries none
	asap(stream uint16, leg *T, m asap.Message) // of a type that sidecars say to each other; leg as in control
	violate(reason string)                      // the peer broke the rules
}

// take takes a message of the peer apart and hands it to its side.
func (l *link[T]) take(m mapping.Message, s side[T], trace *Trace) {
	leg := l.streams.get(m.Stream)
	switch m.PPID {
	case mapping.PPIDMore, mapping.PPIDEnd:
		if l.hello == nil || leg == nil {
			s.violate("data on a stream that carries no leg")
			return
		}
		s.deliver(leg, m.Data)
	case mapping.PPIDASAP:
		l.takeASAP(m, leg, s, trace)
	case mapping.PPIDSession:
		if err := l.in.parse(m.Data); err != nil {
			s.violate(err.Error())
		} else if l.hello != nil {
			s.control(m.Stream, leg, &l.in)
		} else if err := checkHello(m.Stream, &l.in); err != nil {
			s.violate(err.Error())
		} else {
			hello := l.in
			l.hello = &hello
			s.greeted()
		}
	default:
		s.violate("a message with an unknown payload protocol identifier")
	}
}

// pump sends what t has to send, a piece at a time, until there is no more or the association's queue is long enough; then t
// waits its turn.
func (l *link[T]) pump(t *T, waits *bool, piece func(*T) (more bool)) {
	for !*waits {
		if l.full() || len(l.waiting) > 0 {
			*waits = true
			l.waiting = append(l.waiting, t)
			return
		}
		if !piece(t) {
			return
		}
	}
}

// passOver takes a leg that is over off those who wait for their turn.
func (l *link[T]) passOver(t *T, waits *bool) {
	if *waits {
		l.waiting = slices.DeleteFunc(l.waiting, func(other *T) bool { return other == t })
		*waits = false
	}
}

// full reports whether the association's queue is long enough.
func (l *link[T]) full() bool { return l.a.Queued() >= maxQueued }

// drained lets those who wait send in turn, a piece each, until the queue is full again. piece reports whether its leg has more
// to send.
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
	if m.version < oldest || m.oldest > Version {
		return fmt.Errorf("%w: the peer speaks versions %d to %d of the session protocol, this side speaks %d to %d",
			ErrMessage, m.oldest, m.version, oldest, Version)
	}
	return nil
}

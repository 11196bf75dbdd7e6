package proxy

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// native is how the elements of a pool are spoken to that are RSerPool applications and not sidecars (docs/protocol.md, "Native peers").
// The rules of the element's side run in this process, as with mapping none; the server's socket is an SCTP association.
type native struct {
	dialer      mapping.Dialer
	association mapping.Config
	protocol    protocol.Protocol // of the pool_user: it tells where the client's messages end
	ppid        uint32            // of the application's messages, both ways
	begun       uint64            // associations, those of legs
	sockets     map[uint64]*nativeSocket
}

// links calls f for every association of a leg, in the order in which they began. Those between the two sides in this process are none.
func (n *native) links(f func(a mapping.Association, up bool, legs int)) {
	for _, number := range slices.Sorted(maps.Keys(n.sockets)) {
		if s := n.sockets[number]; !s.over {
			f(s.a, s.up, 1)
		}
	}
}

// connectNative begins an association of a leg's own with the server.
func (e *elementSide) connectNative(leg *session.Leg) session.Socket {
	s := newNativeSocket(e, leg)
	e.native.begun++
	s.number = e.native.begun
	e.native.sockets[s.number] = s
	s.a = e.native.dialer.Dial(e.shard.loop, e.server, e.native.association, s)
	return s
}

// listeningNative asks whether the server of an association that has ended still listens (session.ElementConfig.Listening). Where
// this side has ended it, the server has not failed.
func (e *elementSide) listeningNative(s *nativeSocket, answer func(bool)) {
	if s.finished && !s.over {
		e.shard.loop.Post(func() { answer(true) })
		return
	}
	e.probe.listening(0, answer)
}

// nativeSettled is how long an association with a server that is looked at must last. That of a dying process may still be made: its
// listening socket is closed behind others, and then takes with it what nobody has accepted.
const nativeSettled = 100 * time.Millisecond

// nativeLook looks whether a native element listens: a process that was killed leaves a SHUTDOWN behind, like one that ends a
// session in peace, but to an INIT its kernel answers ABORT.
type nativeLook struct {
	side  *elementSide
	a     mapping.Association
	done  func(listens bool)
	timer loop.Timer
}

// lookAtNative dials the server (probe.dial).
func (e *elementSide) lookAtNative(done func(listens bool)) (stop func()) {
	l := &nativeLook{side: e, done: done}
	l.timer.Func = func() { done(true) }
	l.a = e.native.dialer.Dial(e.shard.loop, e.server, e.native.association, l)
	return l.stop
}

func (l *nativeLook) stop() {
	l.side.shard.loop.Cancel(&l.timer)
	l.a.Abort()
}

// Up waits whether it lasts (mapping.Handler).
func (l *nativeLook) Up() {
	l.side.shard.loop.Schedule(&l.timer, l.side.shard.loop.Now().Add(nativeSettled))
}

// Receive ignores what a server says first (mapping.Handler).
func (l *nativeLook) Receive(mapping.Message) {}

// Drained has nothing to do: nothing is sent (mapping.Handler).
func (l *nativeLook) Drained() {}

// Down tells that nobody listens (mapping.Handler).
func (l *nativeLook) Down(error) { l.done(false) }

// undelivered asks what has not reached the server's host (session.ElementConfig.Undelivered).
func (e *elementSide) undelivered(s session.Socket, final bool) (open, unsent int) {
	return s.(*nativeSocket).undelivered(final)
}

// errLongMessage is wrapped by the reason why a leg with a native element has failed.
var errLongMessage = errors.New("a message is too long for SCTP to this element")

// splitter returns what finds the ends of the client's messages, nil where they have none: then bytes go as they come.
func (n *native) splitter() protocol.Requests {
	if n.protocol.Opaque() {
		return nil
	}
	return n.protocol.Requests()
}

// paired reports whether the pool user knows which replies are due: then the client's end comes when none is.
func (n *native) paired() bool {
	u, ok := n.protocol.(interface{ Unpaired() bool })
	return !n.protocol.Opaque() && !(ok && u.Unpaired())
}

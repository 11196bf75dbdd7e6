package session

import (
	"bytes"
	"fmt"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// liar is a peer that speaks the session protocol by hand, as a pool user or as an element: what the test wants, right or
// wrong. It reads all that comes.
type liar struct {
	r     *rig
	h     *looptest.Host
	a     mapping.Association
	up    bool
	down  error
	heard map[uint16][]message
	bytes map[uint16][]byte
	queue []mapping.Message // until up
	lasts map[uint16]bool   // streams on which a terminal message was said
	order []string          // what came, of all streams: "1 type 2", "1 ASAP 0c…", "1 data"

	instance  Token
	onMessage func(stream uint16, m *message) // may be nil
	onData    func(stream uint16, p []byte)   // may be nil
}

// liar connects to the station as a pool user from the host; the first byte of its instance tells it from others.
func (r *rig) liar(host string, s *station, instance byte) *liar {
	l := &liar{r: r, h: r.w.Host(host), instance: token16(instance), heard: make(map[uint16][]message), bytes: make(map[uint16][]byte),
		lasts: make(map[uint16]bool)}
	l.a = mapping.TCPMapping{}.Dial(l.h, s.at(), r.association(), l)
	return l
}

// lyingElement has the host of a station speak by hand in the sidecar's place; behave is called for each association.
func (s *station) lyingElement(instance byte, behave func(*liar)) {
	s.listener.Close()
	var err error
	s.listener, err = mapping.TCPMapping{}.Listen(s.host, s.at(), s.r.association(), func(a mapping.Association) mapping.Handler {
		l := &liar{r: s.r, h: s.host, a: a, instance: token16(instance), heard: make(map[uint16][]message), bytes: make(map[uint16][]byte),
			lasts: make(map[uint16]bool)}
		behave(l)
		return l
	})
	if err != nil {
		s.r.t.Fatal(err)
	}
}

// Up implements mapping.Handler.
func (l *liar) Up() {
	l.up = true
	for _, m := range l.queue {
		_ = l.a.Send(m, nil)
	}
	l.queue = nil
}

// Receive implements mapping.Handler.
func (l *liar) Receive(m mapping.Message) {
	if m.PPID == mapping.PPIDASAP {
		l.order = append(l.order, fmt.Sprintf("%d ASAP %x", m.Stream, m.Data))
		return
	}
	if m.PPID != mapping.PPIDSession {
		l.order = append(l.order, fmt.Sprintf("%d data", m.Stream))
		l.bytes[m.Stream] = append(l.bytes[m.Stream], m.Data...)
		if l.onData != nil {
			l.onData(m.Stream, m.Data)
		}
		return
	}
	var s message
	if err := s.parse(m.Data); err != nil {
		l.r.t.Errorf("the side under test sends a bad message: %v", err)
		return
	}
	l.order = append(l.order, fmt.Sprintf("%d type %d", m.Stream, s.typ))
	l.heard[m.Stream] = append(l.heard[m.Stream], s)
	if l.onMessage != nil {
		l.onMessage(m.Stream, &s)
	}
}

// Drained implements mapping.Handler.
func (l *liar) Drained() {}

// Down implements mapping.Handler.
func (l *liar) Down(err error) { l.down = err }

// send gives any bytes to the association.
func (l *liar) send(stream uint16, ppid uint32, p []byte) {
	m := mapping.Message{Stream: stream, PPID: ppid, Data: bytes.Clone(p)}
	if !l.up {
		l.queue = append(l.queue, m)
		return
	}
	_ = l.a.Send(m, nil) // it may have been aborted: that is what is looked at
}

func (l *liar) tell(stream uint16, m *message) {
	l.lasts[stream] = l.lasts[stream] || m.terminal()
	l.send(stream, mapping.PPIDSession, m.append(nil))
}

func (l *liar) data(stream uint16, text string) { l.send(stream, mapping.PPIDEnd, []byte(text)) }

func (l *liar) hello() {
	l.tell(control, &message{typ: typeHello, version: 1, oldest: 1, instance: l.instance, credit: 16 << 10, text: "liar"})
}

// asap sends an ASAP message.
func (l *liar) asap(stream uint16, m asap.Message) {
	p, err := asap.Append(nil, m)
	if err != nil {
		l.r.t.Fatal(err)
	}
	l.send(stream, mapping.PPIDASAP, p)
}

// echo shows a cookie as it is.
func (l *liar) echo(stream uint16, cookie string) {
	l.asap(stream, asap.CookieEcho{Cookie: []byte(cookie)})
}

// text is what came as data.
func (l *liar) text(stream uint16) string { return string(l.bytes[stream]) }

// last is the newest message of that type on the stream, nil if none came.
func (l *liar) last(stream uint16, typ uint8) *message {
	for i := len(l.heard[stream]) - 1; i >= 0; i-- {
		if m := &l.heard[stream][i]; m.typ == typ {
			return m
		}
	}
	return nil
}

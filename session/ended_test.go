package session

import (
	"encoding/binary"
	"testing"
	"time"
)

func numberedToken(i int) (t Token) {
	binary.BigEndian.PutUint64(t[:], uint64(i))
	return t
}

// What ended legs are remembered: the highest number of each session, for endedFor after the last one, and never more than mostEnded.
func TestEndings(t *testing.T) {
	now := time.Unix(0, 0)
	var e endings
	if _, ok := e.number(Token{}); ok || !e.complete(now) {
		t.Error("it knows something, or not everything")
	}
	e.add(numberedToken(1), 5, now)
	e.add(numberedToken(1), 3, now)
	if n, ok := e.number(numberedToken(1)); !ok || n != 5 {
		t.Errorf("%d, %v", n, ok)
	}
	e.add(numberedToken(2), 1, now.Add(endedFor-1))
	e.add(numberedToken(1), 6, now.Add(endedFor-1))
	e.add(numberedToken(3), 1, now.Add(endedFor)) // the first two are over
	if n, ok := e.number(numberedToken(1)); !ok || n != 6 {
		t.Errorf("the one that has come again: %d, %v", n, ok)
	}
	e.add(numberedToken(4), 1, now.Add(2*endedFor-1))
	if _, ok := e.number(numberedToken(1)); ok || len(e.last) != 2 || e.order.len() != 2 || !e.complete(now.Add(2*endedFor)) {
		t.Errorf("%d are left, %d in order", len(e.last), e.order.len())
	}
}

// The oldest are forgotten first, and that something may have been is known until it does not matter any more.
func TestEndingsAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	var e endings
	began := time.Now()
	const n = 3 * mostEnded
	for i := range n {
		e.add(numberedToken(i%(2*mostEnded)), 1, now)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(e.last) > mostEnded || e.order.len() > mostEnded {
		t.Errorf("%d, and %d in order", len(e.last), e.order.len())
	}
	if _, ok := e.number(numberedToken(mostEnded - 1)); !ok {
		t.Error("the newest is forgotten")
	}
	if _, ok := e.number(numberedToken(mostEnded)); ok {
		t.Error("an old one is not")
	}
	if e.complete(now) || e.complete(now.Add(endedFor-1)) || !e.complete(now.Add(endedFor)) {
		t.Error("it does not know what it has forgotten")
	}
	for range 3 * mostEnded { // one session that comes again and again
		e.add(Token{1}, 1, now.Add(time.Second))
	}
	if len(e.last) > mostEnded || e.order.len() > mostEnded || len(e.order.items) > 4*mostEnded {
		t.Errorf("%d, and %d in order", len(e.last), e.order.len())
	}
}

// A leg that has ended is void: neither it nor an older one can be opened again, also when nothing of the session is left.
func TestEndedLegIsVoid(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	l := r.liar("liar", s, 0x66)
	l.hello()
	open := func(stream uint16, leg uint32) {
		l.tell(stream, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: leg, hold: time.Minute})
		r.w.RunFor(time.Second)
	}
	open(1, 3)
	l.tell(1, &message{typ: typeReset, code: CodeAbandoned})
	r.w.RunFor(time.Second)
	for i, leg := range []uint32{1, 2, 3} {
		stream := uint16(2 + i)
		open(stream, leg)
		if m := l.last(stream, typeRefused); m == nil || m.code != CodeStale {
			t.Errorf("leg %d: %+v", leg, m)
		}
		l.tell(stream, &message{typ: typeClosed})
	}
	if n := len(s.servers); n != 1 {
		t.Errorf("%d connections", n)
	}
	open(7, 4)
	if l.last(7, typeOpened) == nil {
		t.Error("the next leg was not opened")
	}
	r.close()
}

// An OPEN that comes behind the word that there was never such a leg is too late; the next leg is not.
func TestOpenBehindNever(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	l := r.liar("liar", s, 0x66)
	l.hello()
	l.tell(1, &message{typ: typeResume, token: token16(0x40), leg: 2})
	r.w.RunFor(time.Second)
	if m := l.last(1, typeRefused); m == nil || m.code != CodeNever {
		t.Errorf("%+v", m)
	}
	l.tell(1, &message{typ: typeClosed})
	for stream, leg := range map[uint16]uint32{2: 1, 3: 2, 4: 3} {
		l.tell(stream, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: leg, hold: time.Minute})
		r.w.RunFor(time.Second)
		if refused := l.last(stream, typeRefused) != nil; refused != (leg < 3) {
			t.Errorf("leg %d: refused %v", leg, refused)
		}
	}
	l.tell(5, &message{typ: typeResume, token: token16(0x40), leg: 2})
	r.w.RunFor(time.Second)
	if m := l.last(5, typeRefused); m == nil || m.code != CodeStale {
		t.Errorf("%+v", m)
	}
	if n := len(s.servers); n != 1 {
		t.Errorf("%d connections", n)
	}
	r.close()
}

// A request whose OPEN was lost with the association was certainly not executed: it is sent, unsafe or not. Where the element does not
// know, because it was there or may have been forgotten, it is not.
func TestOpenLost(t *testing.T) {
	for name, code := range map[string]Code{"never": CodeNever, "not any more": CodeNoLeg, "never, a lie": CodeNever} {
		t.Run(name, func(t *testing.T) {
			lie := name == "never, a lie"
			r := newRig(t, options{elements: 2, priority: true, failover: quick})
			s := r.stations[0]
			opens := 0
			s.lyingElement(0x77, func(l *liar) {
				l.hello()
				l.onMessage = func(stream uint16, m *message) {
					switch m.typ {
					case typeOpen:
						if opens++; opens == 1 && lie {
							l.tell(stream, &message{typ: typeOpened})
							l.tell(stream, &message{typ: typeAck, received: 6, credit: 1000})
							r.w.After(100*time.Millisecond, l.a.Abort)
							return
						} else if opens == 1 { // it is lost
							l.a.Abort()
							return
						}
						l.tell(stream, &message{typ: typeRefused, code: CodeServer})
					case typeResume:
						l.tell(stream, &message{typ: typeRefused, code: code})
					}
				}
			})
			c := r.client()
			c.says("SET 1\n", false)
			r.until("it is decided", func() bool { return len(c.got) > 0 })
			r.w.RunFor(time.Second)
			want, times := "ERR sorry\n", 0
			if code == CodeNever && !lie {
				want, times = "re SET 1\n", 1
			}
			if string(c.got) != want || len(r.stations[1].servers) != times {
				t.Errorf("the client got %q", c.got)
			}
			r.close()
		})
	}
}

package session

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// Storms: a peer that sends the cheapest messages there are, as fast as it can, on every stream, and never says its last.

// heap is what the program holds, in bytes.
func heap() int {
	runtime.GC()
	runtime.GC() // what the first one has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// manyth is one of very many tokens.
func manyth(i int) (t Token) {
	t[0] = 0x99
	binary.BigEndian.PutUint32(t[4:], uint32(i))
	return t
}

// forget has the liar forget what it has heard, and the rig what was logged: only what the sides hold is measured.
func (l *liar) forget() {
	clear(l.heard)
	clear(l.bytes)
	l.order, l.r.logs = nil, nil
}

// A pool user that begins legs on all streams, and never says its last on any, has the element remember the streams, and not the legs.
func TestStormOfLegsNeverEnded(t *testing.T) {
	for name, spoil := range map[string]func(l *liar, stream uint16, i int){
		"refused": func(l *liar, stream uint16, i int) {
			l.tell(stream, &message{typ: typeOpen, token: manyth(i), leg: 1})
		},
		"resumed, never begun": func(l *liar, stream uint16, i int) {
			l.tell(stream, &message{typ: typeResume, token: manyth(i % 10), leg: 1})
		},
		"reset": func(l *liar, stream uint16, i int) {
			l.tell(stream, &message{typ: typeOpen, token: manyth(i % 1000), leg: uint32(i + 1)})
			l.tell(stream, &message{typ: typeOpened})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{maxLegs: 20})
			s := r.stations[0]
			h := r.honest()
			l := r.liar("liar", s, 0x66)
			l.hello()
			if name == "refused" {
				s.e.Refuse()
			}
			r.w.RunFor(time.Second)
			const n = 60_000
			before := heap()
			for i := range n {
				spoil(l, uint16(i+1), i)
				if i%500 == 0 {
					r.w.RunFor(10 * time.Millisecond)
					l.forget()
					s.servers, s.legs = s.servers[:1], s.legs[:1]
				}
			}
			r.w.RunFor(time.Second)
			l.forget()
			if l.down != nil {
				t.Fatal(l.down)
			}
			if each := (heap() - before) / n; each > 200 {
				t.Errorf("a leg that is over costs %d bytes", each)
			} else {
				t.Logf("%d bytes each", each)
			}
			s.e.Admit()
			h.unharmed()
			r.close()
		})
	}
}

// An element that never says its last of any leg has the pool user remember the streams, and not the sessions.
func TestStormOfSessionsNeverEnded(t *testing.T) {
	r, h, victim, last := mixedRig(t, options{})
	victim.says("GET 1\n", false)
	r.until("the liar has answered", func() bool { return len(victim.got) > 0 })
	l := last()
	l.onMessage = func(stream uint16, m *message) {
		if m.typ == typeOpen {
			l.tell(stream, &message{typ: typeOpened})
		}
	}
	l.onData = nil
	const n = 20_000
	r.w.RunFor(time.Second)
	before := heap()
	for i := range n {
		c := r.client()
		c.says("GET "+strings.Repeat("x", 100)+"\n", false)
		if i%200 == 0 {
			r.w.RunFor(10 * time.Millisecond)
		}
		c.breaks()
		if i%200 == 0 {
			r.w.RunFor(10 * time.Millisecond)
			l.forget()
			r.clients = nil
		}
	}
	r.w.RunFor(time.Second)
	l.forget()
	r.clients = nil
	if each := (heap() - before) / n; each > 200 {
		t.Errorf("a session that is over costs %d bytes", each)
	} else {
		t.Logf("%d bytes each", each)
	}
	h.unharmed()
	r.close()
}

// What is queued for a liar that does not read is bounded, whatever it asks, and by less while memory is short.
func TestStormUnread(t *testing.T) {
	for name, list := range map[string][]message{
		"OPEN, refused":   {{typ: typeOpen, leg: 1}, {typ: typeClosed}},
		"RESUME, refused": {{typ: typeResume, leg: 1}, {typ: typeClosed}},
		"FINISH":          {{typ: typeFinish}},
		"a leg each":      {{typ: typeOpen, leg: 1}, {typ: typeReset}},
	} {
		for _, short := range []bool{false, true} {
			if !short && name != "FINISH" {
				continue // it takes long, and is no other bound
			}
			t.Run(fmt.Sprintf("%s, memory is short %v", name, short), func(t *testing.T) {
				r := newRig(t, options{})
				s := r.stations[0]
				s.e.c.Short = func() bool { return short }
				p := newCourt(r)
				p.judge, s.court = p.ofUser, p
				h := r.honest()
				l := r.liar("liar", s, 0x66)
				l.hello()
				l.tell(1, &message{typ: typeOpen, token: manyth(1), leg: 1})
				r.w.RunFor(time.Second)
				l.h.Freeze()
				most, limit := p.wires[1].unread(list, name == "a leg each"), maxAnswers
				if short {
					limit = fewAnswers
				}
				if !p.wires[1].down || most < limit/2 || most > limit+6*loop.LargeBuffer {
					t.Errorf("cut off: %v; %d bytes were held", p.wires[1].down, most)
				}
				l.h.Thaw()
				h.unharmed()
				if len(p.problems) > 0 {
					t.Error(p.problems)
				}
				r.close()
			})
		}
	}
}

// unread has the side under test hear the list again and again, on streams of its own if it begins legs, until that ends the association. It
// returns the most that was held meanwhile.
func (w *wire) unread(list []message, fresh bool) (most int) {
	s, token := w.t.r.stations[0], manyth(2)
	for i := 0; !w.down && i < 2000; i++ {
		s.host.Later(func() {
			for j := range 1000 {
				if fresh {
					token = manyth(3 + 1000*i + j)
				}
				for _, x := range list {
					stream := uint16(1)
					if len(list) > 1 {
						stream = uint16(2 + j)
					}
					x.token = token
					w.hand(spoken{stream, mapping.PPIDSession, x.append(nil)})
				}
				most = max(most, stored(s.host))
			}
		})
		w.t.r.w.RunFor(100 * time.Microsecond)
		s.servers, s.legs, w.t.r.logs = s.servers[:1], s.legs[:1], nil
	}
	return most
}

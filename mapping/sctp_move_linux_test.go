package mapping_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/mapping/mappingtest"
)

// end is a handler that writes down what it hears; all on one loop.
type end struct {
	a     mapping.Association
	ups   int
	heard []mapping.Message // without Data
	texts []uint32          // what was in it
	err   error
	told  func(mapping.Message)
}

func (e *end) Up()      { e.ups++ }
func (e *end) Drained() {}
func (e *end) Down(err error) {
	e.err = err
}
func (e *end) Receive(m mapping.Message) {
	if e.told != nil {
		e.told(m)
	}
	e.heard = append(e.heard, mapping.Message{Stream: m.Stream, PPID: m.PPID})
	e.texts = append(e.texts, binary.BigEndian.Uint32(m.Data))
}

var (
	beats   = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: 50 * time.Millisecond, Misses: 40}, DialTimeout: 5 * time.Second}
	nowhere = netip.MustParseAddrPort("127.0.0.1:0")
)

// moveTest is a peer that dials, one loop that accepts, and one that adopts what the first gives it.
type moveTest struct {
	dialler, accepter, adopter *mappingtest.Side
	user, newcomer, element    *end
}

// newMoveTest begins an association and sends n messages on several streams. leave is called with what has left the accepting loop.
func newMoveTest(t *testing.T, n int, leave func(x *moveTest, moved mapping.SCTPMoved)) *moveTest {
	needSCTP(t)
	one, two := mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t), mappingtest.Real(mapping.SCTPMapping{}, mapping.SCTPMapping{})(t)
	x := &moveTest{dialler: one.User, accepter: one.Element, adopter: two.Element, user: &end{}, newcomer: &end{}, element: &end{}}
	accept := func(a mapping.Association) mapping.Handler {
		x.newcomer.a = a
		x.newcomer.told = func(m mapping.Message) {
			moved, ok := mapping.SCTPMapping{}.Leave(a, m)
			if !ok {
				t.Error("it does not leave its loop")
				return
			}
			leave(x, moved)
		}
		return x.newcomer
	}
	var at netip.AddrPort
	x.accepter.Do(func() {
		l, err := mapping.SCTPMapping{}.Listen(x.accepter.Loop, nowhere, beats, accept)
		if err != nil {
			t.Error(err)
			return
		}
		at = l.Addr()
	})
	x.dialler.Do(func() {
		x.user.a = mapping.SCTPMapping{}.Dial(x.dialler.Loop, at, beats, x.user)
		for i := range n {
			m := mapping.Message{Stream: uint16(i % 7), PPID: 5, Data: binary.BigEndian.AppendUint32(nil, uint32(i))}
			if err := x.user.a.Send(m, nil); err != nil {
				t.Error(err)
			}
		}
	})
	return x
}

// An association that moves to another loop with its first message loses none of the others, keeps their order, and lives on there.
func TestSCTPMove(t *testing.T) {
	const n = 1000
	x := newMoveTest(t, n, func(x *moveTest, moved mapping.SCTPMoved) {
		x.adopter.Loop.Post(func() {
			mapping.SCTPMapping{}.Adopt(x.adopter.Loop, moved, beats, func(a mapping.Association) mapping.Handler {
				x.element.a = a
				return x.element
			})
		})
	})
	if !x.adopter.Await(func() bool { return len(x.element.heard) == n }, 30*time.Second) {
		t.Fatalf("%d of %d messages came: %v", len(x.element.heard), n, x.element.err)
	}
	x.adopter.Do(func() {
		last := map[uint16]uint32{}
		for i, m := range x.element.heard {
			text := x.element.texts[i]
			if before, ok := last[m.Stream]; m.PPID != 5 || text%7 != uint32(m.Stream) || ok && text != before+7 || i == 0 && text != 0 {
				t.Fatalf("message %d is %d on stream %d, behind %d", i, text, m.Stream, before)
			}
			last[m.Stream] = text
		}
		if x.element.ups != 1 || !x.element.a.Remote().IsValid() || !x.element.a.Local().IsValid() {
			t.Errorf("up %d times, from %v at %v", x.element.ups, x.element.a.Remote(), x.element.a.Local())
		}
		if err := x.element.a.Send(mapping.Message{Stream: 3, PPID: 6, Data: make([]byte, 4)}, nil); err != nil {
			t.Error(err)
		}
	})
	// Heartbeats go on both ways.
	heartbeats := func(e *end) func() bool {
		return func() bool { s, err := e.a.Status(); return err == nil && s.HeartbeatRTT > 0 && e.err == nil }
	}
	if !x.dialler.Await(func() bool { return len(x.user.heard) == 1 }, 30*time.Second) ||
		!x.dialler.Await(heartbeats(x.user), 30*time.Second) || !x.adopter.Await(heartbeats(x.element), 10*time.Second) {
		t.Fatalf("no answer, or no heartbeats: %v, %v", x.user.err, x.element.err)
	}
	x.dialler.Do(func() { x.user.a.Close() })
	if !x.adopter.Await(func() bool { return errors.Is(x.element.err, io.EOF) }, 30*time.Second) {
		t.Errorf("the end is %v", x.element.err)
	}
	x.accepter.Do(func() {
		if n := x.newcomer; n.ups != 1 || len(n.heard) != 1 || n.err != nil {
			t.Errorf("on the first loop: up %d times, %d messages, %v", n.ups, len(n.heard), n.err)
		}
	})
}

// One that is dropped on the way, or refused, ends for the peer at once.
func TestSCTPMoveDropped(t *testing.T) {
	for name, leave := range map[string]func(x *moveTest, moved mapping.SCTPMoved){
		"dropped": func(_ *moveTest, moved mapping.SCTPMoved) { moved.Drop() },
		"refused": func(x *moveTest, moved mapping.SCTPMoved) {
			x.adopter.Loop.Post(func() {
				mapping.SCTPMapping{}.Adopt(x.adopter.Loop, moved, beats, func(mapping.Association) mapping.Handler { return nil })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newMoveTest(t, 1, leave)
			if !x.dialler.Await(func() bool { return errors.Is(x.user.err, loop.ErrReset) }, 30*time.Second) {
				t.Errorf("the end is %v", x.user.err)
			}
		})
	}
}

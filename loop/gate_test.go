package loop_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// end is one end of a connection: it reads what comes, and notes when, and what it hears beside. What it uses may be a Gate.
type end struct {
	world  *looptest.World
	conn   loop.Conn
	gate   *loop.Gate
	got    strings.Builder
	at     []time.Duration // when something came, since the world's beginning
	events loop.Event
	ended  error
}

func (e *end) Ready(ev loop.Event) {
	if e.gate != nil {
		e.gate.Ready(ev)
		return
	}
	(*inside)(e).Ready(ev)
}

// inside hears what a Gate lets through.
type inside end

func (e *inside) Ready(ev loop.Event) {
	e.events |= ev
	for ev&(loop.Readable|loop.Hangup) != 0 && e.ended == nil {
		var p [100]byte
		n, err := e.conn.Read(p[:])
		if e.got.Write(p[:n]); n > 0 {
			e.at = append(e.at, e.world.Now().Sub(beginning))
		}
		if errors.Is(err, loop.ErrAgain) {
			return
		}
		e.ended = err
	}
}

var beginning = looptest.NewWorld(0).Now()

// pair is a connection between two hosts; near is the end that is disturbed.
type pair struct {
	*testing.T
	world     *looptest.World
	host      *looptest.Host
	near, far *end
}

func newPair(t *testing.T) *pair {
	p := &pair{T: t, world: looptest.NewWorld(1), near: &end{}, far: &end{}}
	p.world.Calm = true
	p.near.world, p.far.world = p.world, p.world
	p.host = p.world.Host("near")
	other := p.world.Host("far")
	at := other.Addr(80)
	if _, err := other.Listen(at, func(c loop.Conn) loop.Handler { p.far.conn = c; return p.far }); err != nil {
		t.Fatal(err)
	}
	p.do(func() { p.near.conn = p.host.Dial(at, p.near) })
	p.world.RunFor(time.Second)
	return p
}

// do runs f on the near host, and lets what follows from it happen.
func (p *pair) do(f func()) {
	p.host.Post(f)
	p.world.RunFor(10 * time.Millisecond)
}

// disturb puts a Gate in, and does something with it.
func (p *pair) disturb(f func(g *loop.Gate)) {
	p.do(func() {
		if p.near.gate == nil {
			g := loop.NewGate(p.host, p.near.conn, (*inside)(p.near))
			p.near.gate, p.near.conn = g, g
		}
		f(p.near.gate)
	})
}

func (p *pair) say(e *end, text string) (n int, err error) {
	write := func() { n, err = e.conn.Write([]byte(text)) }
	if e == p.near {
		p.do(write)
	} else {
		p.world.Host("far").Post(write)
		p.world.RunFor(10 * time.Millisecond)
	}
	return n, err
}

func (p *pair) wants(e *end, text string) {
	p.Helper()
	if got := e.got.String(); got != text {
		p.Fatalf("%q came, not %q", got, text)
	}
}

// Nothing goes through a Gate that is held, either way; then all of it does, and the Gate can be left out.
func TestGateHolds(t *testing.T) {
	p := newPair(t)
	p.say(p.near, "a")
	p.say(p.far, "b")
	p.disturb(func(g *loop.Gate) { g.Hold(); g.Hold() })
	p.say(p.far, "c")
	if n, err := p.say(p.near, "d"); n != 0 || !errors.Is(err, loop.ErrAgain) {
		t.Errorf("%d bytes were taken, %v", n, err)
	}
	p.world.RunFor(time.Minute)
	p.wants(p.near, "b")
	p.wants(p.far, "a")
	p.near.events = 0
	p.disturb((*loop.Gate).Release)
	if p.near.events != 0 || p.near.gate.Idle() {
		t.Errorf("it heard %b of one of two", p.near.events)
	}
	p.disturb((*loop.Gate).Release)
	p.wants(p.near, "bc")
	if p.near.events&loop.Writable == 0 || !p.near.gate.Idle() {
		t.Errorf("it has heard %b only", p.near.events)
	}
	p.near.conn, p.near.gate = p.near.gate.Inner(), nil
	p.say(p.near, "e")
	p.say(p.far, "f")
	p.wants(p.near, "bcf")
	p.wants(p.far, "ae")
}

// An end that is asked for while the Gate is held is not seen by the peer before it is let go: FIN, close, and reset.
func TestGateHoldsEnds(t *testing.T) {
	for what, x := range map[string]struct {
		end  func(loop.Conn)
		want error
	}{
		"FIN":   {func(c loop.Conn) { _ = c.CloseWrite() }, io.EOF},
		"close": {func(c loop.Conn) { c.Close() }, io.EOF},
		"reset": {func(c loop.Conn) { c.Reset() }, loop.ErrReset},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPair(t)
			p.say(p.near, "a")
			p.disturb((*loop.Gate).Hold)
			p.do(func() { x.end(p.near.conn) })
			if _, err := p.say(p.near, "b"); !errors.Is(err, loop.ErrClosed) {
				t.Errorf("a write behind it: %v", err)
			}
			p.world.RunFor(time.Minute)
			if p.far.ended != nil {
				t.Errorf("the peer has seen %v", p.far.ended)
			}
			p.disturb((*loop.Gate).Release)
			if !errors.Is(p.far.ended, x.want) {
				t.Errorf("the peer has seen %v, not %v", p.far.ended, x.want)
			}
			p.wants(p.far, "a")
		})
	}
}

// What the peer ends meanwhile is heard when the Gate is let go, behind what it had said.
func TestGateHidesEnds(t *testing.T) {
	for what, x := range map[string]struct {
		end  func(loop.Conn)
		want error
	}{
		"FIN":   {func(c loop.Conn) { _ = c.CloseWrite() }, io.EOF},
		"reset": {func(c loop.Conn) { c.Reset() }, loop.ErrReset},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPair(t)
			p.disturb((*loop.Gate).Hold)
			p.say(p.far, "x")
			p.world.Host("far").Post(func() { x.end(p.far.conn) })
			p.world.RunFor(time.Minute)
			if p.near.ended != nil || p.near.events&loop.Hangup != 0 {
				t.Errorf("it has heard %b, %v", p.near.events, p.near.ended)
			}
			p.disturb((*loop.Gate).Release)
			if !errors.Is(p.near.ended, x.want) {
				t.Errorf("it has heard %v, not %v", p.near.ended, x.want)
			}
			if x.want == io.EOF {
				p.wants(p.near, "x")
			}
		})
	}
}

// A Gate that is broken resets the connection, and tells its owner so: also while it is held, and once.
func TestGateBreaks(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			p := newPair(t)
			p.disturb(func(g *loop.Gate) {
				if held {
					g.Hold()
				}
			})
			p.disturb((*loop.Gate).Break)
			if !errors.Is(p.near.ended, loop.ErrReset) || !errors.Is(p.near.conn.Err(), loop.ErrReset) || p.near.events&loop.Hangup == 0 {
				t.Errorf("it has heard %v, %v", p.near.ended, p.near.conn.Err())
			}
			if !errors.Is(p.far.ended, loop.ErrReset) {
				t.Errorf("the peer has seen %v", p.far.ended)
			}
			if _, err := p.say(p.near, "a"); !errors.Is(err, loop.ErrReset) {
				t.Errorf("a write: %v", err)
			}
			if fd, k, ok := p.near.gate.Carry(); fd != -1 || !ok || !k.HungUp || !k.Spoken || !errors.Is(k.Err, loop.ErrReset) {
				t.Errorf("it is carried as %d, %+v, %t", fd, k, ok)
			}
			p.near.events = 0
			p.disturb(func(g *loop.Gate) { g.Release(); g.Break(); g.Drop() })
			if p.near.events != 0 || p.near.gate.Idle() {
				t.Errorf("it heard %b again", p.near.events)
			}
		})
	}
}

// A Gate that is dropped resets the connection without a word to its owner.
func TestGateDrops(t *testing.T) {
	p := newPair(t)
	p.disturb((*loop.Gate).Hold)
	p.near.events = 0
	p.disturb((*loop.Gate).Drop)
	if _, err := p.near.conn.Read(make([]byte, 1)); p.near.events != 0 || !errors.Is(err, loop.ErrClosed) {
		t.Errorf("it has heard %b, %v", p.near.events, err)
	}
	if !errors.Is(p.far.ended, loop.ErrReset) {
		t.Errorf("the peer has seen %v", p.far.ended)
	}
}

// What comes is read so much later; what is written goes at once.
func TestGateIsLate(t *testing.T) {
	const late = 300 * time.Millisecond
	p := newPair(t)
	p.disturb(func(g *loop.Gate) { g.Late(late) })
	p.world.RunFor(time.Second)
	for i := range 5 {
		said := p.world.Now().Sub(beginning)
		p.say(p.far, "x")
		p.say(p.near, "y")
		p.world.RunFor(time.Second)
		if len(p.near.at) != i+1 || p.near.at[i] < said+late || p.near.at[i] > said+late+20*time.Millisecond {
			t.Fatalf("said at %v, it came at %v", said, p.near.at)
		}
		if len(p.far.at) != i+1 || p.far.at[i] > said+50*time.Millisecond {
			t.Fatalf("what was written at %v came at %v", said, p.far.at)
		}
	}
	p.say(p.far, "z") // which is under way when it ends
	p.disturb(func(g *loop.Gate) { g.Late(0) })
	p.wants(p.near, "xxxxxz")
	if !p.near.gate.Idle() || p.host.Timers() != 0 {
		t.Errorf("%d timers are left", p.host.Timers())
	}
	p.say(p.far, "!")
	p.wants(p.near, "xxxxxz!")
}

var _ loop.PageConn = (*loop.Gate)(nil)

// Where the connection moves no pages the Gate says so.
func TestGateWithoutPages(t *testing.T) {
	p := newPair(t)
	if _, can := p.near.conn.(loop.PageConn); can {
		t.Fatal("it can")
	}
	p.disturb(func(*loop.Gate) {})
	g := p.near.gate
	b := p.host.Buffers().Get(10)
	defer b.Drop()
	if _, err := g.ReadPages(b, 1); !errors.Is(err, loop.ErrNoPages) {
		t.Error(err)
	}
	if _, err := g.WritePages(b, false); !errors.Is(err, loop.ErrNoPages) {
		t.Error(err)
	}
	if n, err := g.WriteMore([]byte("ab")); n != 2 || err != nil {
		t.Error(n, err)
	}
	if at := (netip.AddrPort{}); g.Local() == at || g.Remote() == at {
		t.Error("it has no addresses")
	}
}

package looptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// party is a handler that reads all there is, sends what it is given, and writes down what it hears.
type party struct {
	conn    loop.Conn
	got     []byte
	unsent  []byte
	events  loop.Event // all that were heard
	end     error      // what Read ended with
	echo    bool       // send back what comes, and the end
	passive bool       // does not read
	buf     [700]byte
}

func (p *party) Ready(ev loop.Event) {
	p.events |= ev
	if ev&loop.Readable != 0 && !p.passive {
		p.read()
	}
	p.write()
}

func (p *party) read() {
	b := p.buf[:]
	for p.end == nil {
		n, err := p.conn.Read(b[:])
		p.got = append(p.got, b[:n]...)
		if p.echo {
			p.unsent = append(p.unsent, b[:n]...)
		}
		if err == loop.ErrAgain {
			return
		}
		p.end = err
	}
}

func (p *party) write() {
	for len(p.unsent) > 0 {
		n, err := p.conn.Write(p.unsent)
		p.unsent = p.unsent[n:]
		if n == 0 && err != nil {
			return
		}
	}
	if p.echo && p.end == io.EOF {
		p.conn.Close()
	}
}

// pair is two hosts with a connection, the server's end made by accept.
type pair struct {
	w            *World
	user, server *Host
	here, there  *party
}

func connect(t *testing.T, seed uint64, there *party) *pair {
	t.Helper()
	w := NewWorld(seed)
	p := &pair{w: w, user: w.Host("user"), server: w.Host("server"), here: &party{}, there: there}
	p.listen(t)
	p.here.conn = p.user.Dial(p.server.Addr(80), p.here)
	w.RunFor(10 * time.Millisecond)
	if p.here.events&loop.Connected == 0 || p.there.conn == nil {
		t.Fatal("not connected")
	}
	return p
}

func (p *pair) listen(t *testing.T) {
	t.Helper()
	if _, err := p.server.Listen(p.server.Addr(80), func(c loop.Conn) loop.Handler {
		p.there.conn = c
		return p.there
	}); err != nil {
		t.Fatal(err)
	}
}

func (p *party) send(s string) {
	p.unsent = append(p.unsent, s...)
	p.write()
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestEchoThroughSmallBuffers(t *testing.T) {
	for seed := range uint64(100) {
		w := NewWorld(seed)
		w.BufferSize = []int{1, 5, 100, 4096}[seed%4]
		user, server := w.Host("user"), w.Host("server")
		if _, err := server.Listen(server.Addr(80), func(c loop.Conn) loop.Handler {
			return &party{conn: c, echo: true}
		}); err != nil {
			t.Fatal(err)
		}
		want := pattern(min(20000, 300*w.BufferSize))
		p := &party{unsent: want}
		p.conn = user.Dial(server.Addr(80), p)
		if n, err := p.conn.Write([]byte("x")); n != 0 || err != loop.ErrAgain {
			t.Fatalf("a write before Connected gave %d, %v", n, err)
		}
		w.RunUntil(func() bool { return len(p.got) == len(want) }, time.Minute)
		if !bytes.Equal(p.got, want) {
			t.Fatalf("seed %d: %d of %d bytes came back, or not the same", seed, len(p.got), len(want))
		}
		if err := p.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		w.RunFor(time.Second)
		p.conn.Close()
		w.RunFor(time.Second)
		if p.end != io.EOF || !w.Idle() || user.Sockets()+server.Sockets()+user.Conns()+server.Conns() != 0 {
			t.Fatalf("seed %d: end %v, idle %t, %d and %d left", seed, p.end, w.Idle(), user.Sockets(), server.Sockets())
		}
	}
}

func schedule(seed uint64) string {
	var out bytes.Buffer
	w := NewWorld(seed)
	w.Trace(func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) })
	run(w, 40)
	return out.String()
}

// run is a small system with faults: clients of two servers, one of which is killed and comes again.
func run(w *World, messages int) int {
	echo := func(h *Host) {
		if _, err := h.Listen(h.Addr(80), func(c loop.Conn) loop.Handler { return &party{conn: c, echo: true} }); err != nil {
			panic(err)
		}
	}
	user := w.Host("user")
	servers := []*Host{w.Host("a"), w.Host("b")}
	parties := make([]*party, 8)
	for _, h := range servers {
		echo(h)
	}
	for i := range parties {
		parties[i] = &party{}
		parties[i].conn = user.Dial(servers[i%2].Addr(80), parties[i])
	}
	tick := &loop.Timer{}
	sent := 0
	message := pattern(128)
	tick.Func = func() {
		for _, p := range parties {
			p.unsent = append(p.unsent, message...)
			p.write()
		}
		if sent += len(parties); sent < messages {
			user.Schedule(tick, user.Now().Add(time.Millisecond))
		}
	}
	user.Schedule(tick, user.Now().Add(time.Millisecond))
	w.After(2*time.Millisecond, func() { w.Stall(user, servers[1]) })
	w.After(3*time.Millisecond, servers[0].Kill)
	w.After(4*time.Millisecond, func() { w.Heal(user, servers[1]); servers[0].Restart(); echo(servers[0]) })
	w.RunFor(time.Second)
	got := 0
	for _, p := range parties {
		got += len(p.got)
	}
	return got
}

func TestSameSeedSameTrace(t *testing.T) {
	if a, b := schedule(7), schedule(7); a != b || len(a) < 1000 {
		t.Fatalf("two runs of one seed differ, or trace nothing:\n%s", a)
	}
	if schedule(7) == schedule(8) {
		t.Fatal("the seed makes no difference")
	}
	var quiet, loud World = *NewWorld(7), *NewWorld(7)
	loud.Trace(func(string, ...any) {})
	if run(&quiet, 40) != run(&loud, 40) || quiet.Rand().Uint64() != loud.Rand().Uint64() {
		t.Fatal("tracing changes what happens")
	}
}

func BenchmarkSchedule(b *testing.B) {
	b.ReportAllocs()
	for i := range b.N {
		w := NewWorld(uint64(i))
		run(w, 320)
	}
}

func TestRunStepIdle(t *testing.T) {
	w := NewWorld(1)
	start := w.Now()
	if !w.Idle() || w.Step() {
		t.Fatal("a new world has something to do")
	}
	var at time.Time
	w.After(time.Second, func() { at = w.Now() })
	w.Run(start.Add(time.Second - 1))
	if !at.IsZero() || w.Idle() {
		t.Fatal("too early")
	}
	w.RunFor(1)
	if at != start.Add(time.Second) || !w.Idle() {
		t.Fatalf("ran at %v", at)
	}
}

func TestRefusedAndUnreachable(t *testing.T) {
	w := NewWorld(1)
	user, server := w.Host("user"), w.Host("server")
	refused, nowhere := &party{}, &party{}
	refused.conn = user.Dial(server.Addr(81), refused)
	nowhere.conn = user.Dial(user.Addr(1), nowhere)
	w.RunFor(time.Second)
	if refused.events != loop.Hangup || !errors.Is(refused.conn.Err(), loop.ErrRefused) {
		t.Fatalf("%v, %v", refused.events, refused.conn.Err())
	}
	if !errors.Is(nowhere.conn.Err(), loop.ErrRefused) {
		t.Fatalf("dialling oneself: %v", nowhere.conn.Err())
	}
	refused.conn.Close()
	nowhere.conn.Close()
	if user.Sockets()+user.Conns() != 0 {
		t.Fatal("not freed")
	}
}

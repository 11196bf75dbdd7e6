package looptest

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// unread asks one end of a connection.
func unread(t *testing.T, c loop.Conn) (int, bool) {
	t.Helper()
	u, ok := c.(loop.Unread)
	if !ok {
		t.Fatal("it is not a loop.Unread")
	}
	return u.Unread()
}

// What is unread is known exactly once all acknowledgements have come, and is never too little.
func TestUnread(t *testing.T) {
	for seed := range uint64(200) {
		p := connect(t, seed, &party{passive: true})
		const sent = 3 * DefaultBufferSize // more than the receive buffer takes
		p.here.send(string(pattern(sent)))
		read := 0
		check := func(exact bool) {
			t.Helper()
			want := sent - len(p.here.unsent) - read
			if n, ok := unread(t, p.here.conn); !ok || n < want || exact && n != want {
				t.Fatalf("seed %d: %d unread (%t), of %d", seed, n, ok, want)
			}
		}
		check(false)
		p.w.RunFor(time.Second)
		if taken := sent - len(p.here.unsent); taken <= DefaultBufferSize {
			t.Fatalf("seed %d: %d were taken", seed, taken)
		}
		check(true)
		var b [1000]byte
		for read < sent {
			n, err := p.there.conn.Read(b[:1+p.w.Rand().IntN(len(b))])
			read += n
			check(false)
			if err != nil {
				p.w.Step()
			}
		}
		p.w.RunFor(time.Second)
		check(true)
		if err := p.here.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.w.RunFor(time.Second)
		check(true) // a FIN is not a byte
	}
}

// A frozen process is one that has not read. Of one that is dead nothing is known, nor of one that has closed.
func TestUnreadUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		do func(p *pair)
		n  int
		ok bool
	}{
		"frozen":                 {func(p *pair) { p.server.Freeze(); p.here.send("xyz") }, 3, true},
		"killed":                 {func(p *pair) { p.here.send("x"); p.w.RunFor(time.Second); p.server.Kill() }, 0, false},
		"killed, all was read":   {func(p *pair) { p.server.Kill() }, 0, false},
		"killed, not yet heard":  {func(p *pair) { p.w.Stall(p.user, p.server); p.server.Kill(); p.here.send("x") }, 0, false},
		"vanished":               {func(p *pair) { p.server.Vanish() }, 0, false},
		"closed there":           {func(p *pair) { p.there.conn.Close() }, 0, false},
		"closed here":            {func(p *pair) { p.here.conn.Close() }, 0, false},
		"reset here":             {func(p *pair) { p.server.Freeze(); p.here.send("x"); p.w.RunFor(1); p.here.conn.Reset() }, 0, false},
		"half-closed, both ways": {func(p *pair) { p.there.conn.CloseWrite(); p.here.conn.CloseWrite() }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, 1, &party{passive: true})
			c.do(p)
			p.w.RunFor(time.Second)
			if n, ok := unread(t, p.here.conn); n != c.n || ok != c.ok {
				t.Errorf("%d, %t; expected %d, %t", n, ok, c.n, c.ok)
			}
		})
	}
	w := NewWorld(1)
	dialling := w.Host("user").Dial(w.Host("server").Addr(80), &party{})
	if n, ok := unread(t, dialling); n != 0 || ok {
		t.Errorf("before it is connected: %d, %t", n, ok)
	}
}

package looptest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

func TestKillSendsFinOrReset(t *testing.T) {
	for seed := range uint64(50) {
		p := connect(t, seed, &party{})
		p.there.send("written before death")
		p.server.Kill()
		p.w.RunFor(time.Second)
		if p.here.end != io.EOF || string(p.here.got) != "written before death" {
			t.Fatalf("all read: %q, then %v", p.here.got, p.here.end)
		}
		p.here.send("x")
		p.w.RunFor(time.Second)
		if !errors.Is(p.here.conn.Err(), loop.ErrReset) || p.here.events&loop.Hangup == 0 {
			t.Fatalf("a write to a closed peer: %v", p.here.conn.Err())
		}

		p = connect(t, seed, &party{passive: true})
		p.here.send("unread")
		p.w.RunFor(time.Second)
		p.server.Kill()
		p.w.RunFor(time.Second)
		if !errors.Is(p.here.end, loop.ErrReset) {
			t.Fatalf("something unread: %v", p.here.end)
		}
		if p.server.Sockets()+p.server.Conns()+p.user.Sockets() != 0 {
			t.Fatal("not freed")
		}
	}
}

func TestKillDropsAllThatIsTheProcesss(t *testing.T) {
	p := connect(t, 1, &party{})
	h := p.server
	bad := func() { t.Error("called after the process was killed") }
	timer := &loop.Timer{Func: bad}
	h.Schedule(timer, h.Now().Add(time.Millisecond))
	h.Post(bad)
	h.Later(bad)
	h.Buffers().Get(1)
	if h.Timers() != 1 || p.w.Leaks() != loop.SmallBuffer {
		t.Fatal("the counters are wrong")
	}
	h.Kill()
	if h.Timers() != 0 || timer.Armed() || p.w.Leaks() != 0 || h.Post(bad) || h.Conns() != 0 {
		t.Fatal("something outlives the process")
	}
	if _, err := h.Listen(h.Addr(80), nil); !errors.Is(err, loop.ErrClosed) {
		t.Fatalf("a dead process listens: %v", err)
	}
	p.w.RunFor(time.Second)
	h.Restart()
	again := &party{}
	again.conn = p.user.Dial(h.Addr(80), again)
	p.w.RunFor(time.Second)
	if !errors.Is(again.conn.Err(), loop.ErrRefused) {
		t.Fatalf("the listener has outlived its process: %v", again.conn.Err())
	}
	p.listen(t)
	again.conn = p.user.Dial(h.Addr(80), again)
	p.w.RunFor(time.Second)
	if again.events&loop.Connected == 0 {
		t.Fatal("no connection after the restart")
	}
}

func TestKillInHandlerEndsTurn(t *testing.T) {
	p := connect(t, 1, &party{})
	h := p.server
	h.Post(func() {
		h.Later(func() { t.Error("Later after death") })
		h.Kill()
		h.Later(func() { t.Error("Later after death") })
		if _, err := p.there.conn.Write([]byte("x")); err != loop.ErrClosed {
			t.Errorf("a write after death: %v", err)
		}
	})
	h.Post(func() { t.Error("Post after death") })
	p.w.RunFor(time.Second)
	if p.here.end != io.EOF {
		t.Fatalf("the peer hears %v", p.here.end)
	}
}

func TestVanishIsSilence(t *testing.T) {
	p := connect(t, 1, &party{})
	p.here.conn.SetUserTimeout(0)
	p.server.Vanish()
	p.here.send("anybody?")
	waiting := &party{}
	waiting.conn = p.user.Dial(p.server.Addr(80), waiting)
	p.w.RunFor(time.Hour)
	if p.here.end != nil || p.here.events&loop.Hangup != 0 || waiting.events != 0 || !p.w.Idle() {
		t.Fatalf("heard %v, %v and %v", p.here.events, p.here.end, waiting.events)
	}
	p.server.Restart()
	p.w.RunFor(time.Second)
	if !errors.Is(p.here.end, loop.ErrReset) || !errors.Is(waiting.conn.Err(), loop.ErrRefused) {
		t.Fatalf("after the restart: %v, %v", p.here.end, waiting.conn.Err())
	}
}

func TestUserTimeout(t *testing.T) {
	p := connect(t, 1, &party{})
	p.here.conn.SetUserTimeout(5 * time.Second)
	p.here.send("acknowledged")
	p.w.RunFor(time.Minute)
	p.server.Vanish()
	p.w.RunFor(time.Minute)
	if p.here.conn.Err() != nil || !p.w.Idle() {
		t.Fatalf("nothing was unacknowledged: %v", p.here.conn.Err())
	}
	p.here.send("not acknowledged")
	p.w.RunFor(4999 * time.Millisecond)
	if p.here.conn.Err() != nil {
		t.Fatal("too early")
	}
	p.w.RunFor(2 * time.Millisecond)
	err := p.here.conn.Err()
	if err == nil || errors.Is(err, loop.ErrReset) || !strings.Contains(err.Error(), "timed out") || p.here.events&loop.Hangup == 0 {
		t.Fatalf("after the timeout: %v", err)
	}
}

func TestFreezeAndThaw(t *testing.T) {
	p := connect(t, 1, &party{echo: true})
	fired := time.Time{}
	p.server.Schedule(&loop.Timer{Func: func() { fired = p.server.Now() }}, p.server.Now().Add(time.Millisecond))
	p.server.Freeze()
	p.here.conn.SetUserTimeout(time.Second)
	p.here.send(string(pattern(100)))
	late := &party{}
	late.conn = p.user.Dial(p.server.Addr(80), late)
	p.w.RunFor(time.Hour)
	if len(p.here.got) > 0 || p.here.conn.Err() != nil || !fired.IsZero() || late.events&loop.Connected == 0 {
		t.Fatal("a frozen process works, or its kernel does not")
	}
	thawed := p.w.Now()
	first := p.there
	p.there = &party{}
	p.server.Thaw()
	p.w.RunFor(time.Second)
	if len(p.here.got) != 100 || !fired.Equal(thawed) || p.there.conn == nil || !first.echo {
		t.Fatalf("after the thaw %d bytes, timer at %v", len(p.here.got), fired)
	}
}

func TestFrozenReceiverPushesBack(t *testing.T) {
	p := connect(t, 1, &party{})
	p.server.Freeze()
	p.here.send(string(pattern(100_000)))
	p.w.RunFor(time.Minute)
	if took := 100_000 - len(p.here.unsent); took != 2*DefaultBufferSize {
		t.Fatalf("took %d bytes, two buffers hold %d", took, 2*DefaultBufferSize)
	}
	p.server.Thaw()
	p.w.RunFor(time.Minute)
	if string(p.there.got) != string(pattern(100_000)) {
		t.Fatalf("%d bytes have arrived", len(p.there.got))
	}
}

func TestCut(t *testing.T) {
	p := connect(t, 1, &party{passive: true})
	p.here.send("arrived")
	p.w.RunFor(time.Second)
	p.here.send("in flight")
	p.w.Cut(p.server, p.user)
	p.w.RunFor(time.Second)
	if !errors.Is(p.here.end, loop.ErrReset) || p.there.events&loop.Hangup == 0 {
		t.Fatalf("%v, %v", p.here.end, p.there.events)
	}
	p.there.read()
	if string(p.there.got) != "arrived" || !errors.Is(p.there.end, loop.ErrReset) {
		t.Fatalf("%q, then %v", p.there.got, p.there.end)
	}
}

func TestStallAndHeal(t *testing.T) {
	for seed := range uint64(50) {
		p := connect(t, seed, &party{echo: true})
		want := string(pattern(5000))
		p.here.send(want[:100])
		p.w.Stall(p.user, p.server)
		p.here.send(want[100:])
		waiting := &party{}
		waiting.conn = p.user.Dial(p.server.Addr(80), waiting)
		p.w.RunFor(time.Hour)
		if len(p.here.got) > 0 || waiting.events != 0 {
			t.Fatal("a stalled path delivers")
		}
		first := p.there
		p.there = &party{}
		p.w.Heal(p.server, p.user)
		p.w.RunFor(time.Second)
		if string(p.here.got) != want || string(first.got) != want || waiting.events&loop.Connected == 0 {
			t.Fatalf("seed %d: %d bytes came back after Heal", seed, len(p.here.got))
		}
	}
}

// A reset on a stalled path is lost for good; the other end learns of it when it next sends something.
func TestResetIsLostOnStalledPath(t *testing.T) {
	p := connect(t, 1, &party{})
	p.w.StallOneWay(p.server, p.user)
	p.there.conn.Reset()
	p.w.RunFor(time.Second)
	p.w.Heal(p.user, p.server)
	p.w.RunFor(time.Second)
	if p.here.end != nil {
		t.Fatalf("heard %v", p.here.end)
	}
	p.here.send("x")
	p.w.RunFor(time.Second)
	if !errors.Is(p.here.end, loop.ErrReset) {
		t.Fatalf("heard %v", p.here.end)
	}
}

func TestOneWayStallKeepsTheOther(t *testing.T) {
	p := connect(t, 1, &party{})
	p.w.StallOneWay(p.server, p.user)
	p.here.conn.SetUserTimeout(time.Second)
	p.here.send("there")
	p.there.send("here")
	p.w.RunFor(2 * time.Second)
	if string(p.there.got) != "there" || len(p.here.got) != 0 || p.here.conn.Err() == nil {
		t.Fatalf("%q, %q, %v", p.there.got, p.here.got, p.here.conn.Err())
	}
}

func TestDelay(t *testing.T) {
	p := connect(t, 1, &party{})
	p.w.Calm = true
	p.w.Delay(p.user, p.server, 20*time.Millisecond, 30*time.Millisecond)
	start := p.w.Now()
	p.here.send("x")
	p.w.RunUntil(func() bool { return len(p.there.got) > 0 }, time.Second)
	if d := p.w.Now().Sub(start); d < 20*time.Millisecond || d > 30*time.Millisecond {
		t.Fatalf("took %v", d)
	}
}

package looptest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// What a reader may rely on: Readable once, nothing more until a read came to the end, and again after that.
func TestReadableIsEdgeTriggered(t *testing.T) {
	there := &party{passive: true}
	p := connect(t, 1, there)
	p.w.Calm = true
	there.events = 0
	p.here.send("one")
	p.w.RunFor(time.Second)
	if there.events != loop.Readable {
		t.Fatalf("heard %v", there.events)
	}
	there.events = 0
	p.here.send("two")
	p.w.RunFor(time.Second)
	if there.events != 0 {
		t.Fatal("Readable was repeated without a read")
	}
	var b [100]byte
	if n, err := there.conn.Read(b[:]); string(b[:n]) != "onetwo" || err != nil {
		t.Fatalf("%q, %v", b[:n], err)
	}
	p.here.send("three")
	p.w.RunFor(time.Second)
	if there.events != loop.Readable {
		t.Fatal("a short count did not arm Readable again")
	}
}

func TestTurnOrder(t *testing.T) {
	p := connect(t, 1, &party{})
	p.w.Calm = true
	h := p.server
	var order []string
	say := func(s string) func() { return func() { order = append(order, s) } }
	cancelled := &loop.Timer{Func: say("cancelled")}
	h.Post(func() {
		h.Later(func() { say("later")(); h.Later(say("later still")) })
		say("posted")()
		h.Post(say("next turn"))
	})
	now := h.Now()
	p.w.After(0, func() {
		h.Schedule(&loop.Timer{Func: func() { say("timer")(); h.Cancel(cancelled) }}, now)
		h.Schedule(cancelled, now)
		h.Freeze()
		p.w.After(time.Second, h.Thaw)
	})
	p.w.RunFor(time.Minute)
	want := "[posted later later still timer next turn]" // after the thaw timers come before what was posted
	if got := fmt.Sprint(order); got != want {
		t.Fatalf("%s, not %s", got, want)
	}
	if h.Timers() != 0 || cancelled.Armed() {
		t.Fatal("the cancelled timer is still armed")
	}
}

func TestListen(t *testing.T) {
	p := connect(t, 1, &party{})
	if _, err := p.server.Listen(p.server.Addr(80), nil); err == nil || !strings.Contains(err.Error(), "10.0.0.2:80") {
		t.Fatalf("a second listener: %v", err)
	}
	if _, err := p.server.Listen(p.user.Addr(80), nil); err == nil {
		t.Fatal("listens at another host's address")
	}
	l, err := p.server.Listen(p.server.Addr(0), func(loop.Conn) loop.Handler { return nil })
	if err != nil || l.Addr().Port() == 0 {
		t.Fatal(l, err)
	}
	turned := &party{}
	turned.conn = p.user.Dial(l.Addr(), turned)
	p.w.RunFor(time.Second)
	if !errors.Is(turned.conn.Err(), loop.ErrReset) {
		t.Fatalf("a nil handler: %v", turned.conn.Err())
	}
	l.Close()
	l.Close()
	closed := &party{}
	closed.conn = p.user.Dial(l.Addr(), closed)
	p.w.RunFor(time.Second)
	if !errors.Is(closed.conn.Err(), loop.ErrRefused) {
		t.Fatalf("a closed listener: %v", closed.conn.Err())
	}
}

func TestNoRoute(t *testing.T) {
	w := NewWorld(1)
	p := &party{}
	p.conn = w.Host("user").Dial(netip.MustParseAddrPort("192.0.2.1:80"), p)
	w.RunFor(time.Second)
	if err := p.conn.Err(); p.events != loop.Hangup || err == nil || errors.Is(err, loop.ErrRefused) {
		t.Fatalf("%v, %v", p.events, err)
	}
}

package proxy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

func cookieEcho(cookie string) []byte {
	p, err := asap.Append(nil, asap.CookieEcho{Cookie: asap.Cookie(cookie)})
	if err != nil {
		panic(err)
	}
	return p
}

// A cookie that a pool user brings is known before the server sees the connection; one that is set goes to the pool user, with the bytes
// that rsplib's own servers send.
func TestNativeElementCookie(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	u.say(mapping.PPIDASAP, cookieEcho("<PP-TD1>\x00\x00\x00\x00\x00\x00\x00\x07"))
	u.say(testPPID, frame("hello"))
	r.until("the server is connected to", func() bool {
		if len(r.conns) == 0 && len(r.side.rules.(*nativeElement).sessions) == 1 && r.only().server != nil && r.only().Cookie() == nil {
			t.Fatal("connecting, and there is no cookie")
		}
		return len(r.conns) == 1
	})
	s := r.only()
	if got := string(s.Cookie()); got != "<PP-TD1>\x00\x00\x00\x00\x00\x00\x00\x07" {
		t.Errorf("%q", got)
	}
	if err := s.SetCookie([]byte("<PP-TD1>\x00\x00\x00\x00\x00\x00\x00\x08")); err != nil {
		t.Fatal(err)
	}
	r.until("it has come", func() bool { return len(u.got) == 2 })
	for _, m := range u.got {
		if m.PPID != mapping.PPIDASAP {
			continue
		}
		if got := hex.EncodeToString(m.Data); m.Stream != 0 || got != "0b000018000d00143c50502d5444313e0000000000000008" {
			t.Errorf("stream %d: %s", m.Stream, got)
		}
	}
	u.say(mapping.PPIDASAP, cookieEcho("late"))
	r.RunFor(1e9)
	if got := string(s.Cookie()); got[15] != 8 || u.down != nil {
		t.Errorf("%q, down: %v", got, u.down)
	}
	if err := s.SetCookie(make([]byte, session.MaxCookie+1)); !errors.Is(err, session.ErrCookieLong) {
		t.Errorf("a long cookie: %v", err)
	}
	u.Abort()
	r.RunFor(1e9)
	if err := s.SetCookie(nil); !errors.Is(err, session.ErrLegOver) {
		t.Errorf("of a session that has ended: %v", err)
	}
}

// Cookies that are set faster than the pool user reads do not pile up: the newest counts.
func TestNativeElementCookiesWait(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	u.say(testPPID, frame("hello"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	u.Association.(mapping.Pauser).Pause()
	s, last := r.only(), []byte(strings.Repeat("z", session.MaxCookie))
	for i := range 1000 {
		last[0] = byte(i)
		if err := s.SetCookie(last); err != nil {
			t.Fatal(err)
		}
		if q := s.association.Queued(); q > nativeWindow+2*session.MaxCookie {
			t.Fatalf("%d bytes wait after %d cookies", q, i+1)
		}
	}
	u.Association.(mapping.Pauser).Resume()
	r.RunFor(1e9)
	if m, _, err := asap.Parse(u.got[len(u.got)-1].Data); err != nil || string(m.(asap.CookieMessage).Cookie) != string(last) {
		t.Errorf("the last message is not the newest cookie (%v)", err)
	}
}

// Nothing that a pool user sends of ASAP harms its own session, but for a cookie that cannot be taken; and nothing others'.
func TestNativeElementASAPGarbage(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	other, u, long := r.user(), r.user(), r.user()
	other.say(testPPID, frame("hello"))
	for _, p := range []string{"\x00", "\xff\xff\xff\xff", "\x0c\x00\x00\x08\x00\x0d\x00\xff", "\x0c\x00\x00\x04", "\x0d\x00\x00\x04",
		"\x0b\x00\x00\x0c\x00\x0d\x00\x08abcd", "\x4f\x00\x00\x04", strings.Repeat("x", 60_000)} {
		u.say(mapping.PPIDASAP, []byte(p))
	}
	r.RunFor(1e9)
	if len(r.conns) != 1 || u.down != nil || r.side.counts.legs.Load() != 1 {
		t.Fatalf("%d connections to the server, down: %v", len(r.conns), u.down)
	}
	long.say(mapping.PPIDASAP, cookieEcho(strings.Repeat("x", session.MaxCookie+1)))
	u.say(mapping.PPIDASAP, cookieEcho("")) // an empty one is one
	u.say(testPPID, frame("still there"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	if long.down == nil || isEOF(long.down) {
		t.Errorf("a cookie too long: %v", long.down)
	}
	if other.down != nil || len(other.texts()) != 1 {
		t.Errorf("another session: %v, %d replies", other.down, len(other.texts()))
	}
	for _, s := range r.side.rules.(*nativeElement).inOrder() {
		if s.echoed != (s.Cookie() != nil) {
			t.Errorf("session %d: echoed is %v, cookie %v", s.number, s.echoed, s.Cookie())
		}
	}
}

// crowded is an association whose queue is as full as the test says.
type crowded struct {
	nativeAssociation
	queued int
	sent   []mapping.Message
}

func (c *crowded) Queued() int { return c.queued }

func (c *crowded) Send(m mapping.Message, _ *loop.Buffer) error {
	m.Data = bytes.Clone(m.Data)
	c.sent = append(c.sent, m)
	return nil
}

// A cookie that found the queue full goes ahead of what the server says later, also when the queue has room for that again, but is not
// yet so empty that it tells (Drained).
func TestNativeElementCookieBeforeReply(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	a := &crowded{nativeAssociation: r.user().Association.(nativeAssociation)}
	h := r.side.rules.Accept(a)
	h.Up()
	h.Receive(mapping.Message{PPID: testPPID, Data: frame("hello")})
	r.until("it is answered", func() bool { return len(a.sent) == 1 })
	a.queued = nativeWindow
	if err := h.(*nativeSession).SetCookie([]byte("1")); err != nil || len(a.sent) != 1 {
		t.Fatalf("%v, %d messages went into a full queue", err, len(a.sent)-1)
	}
	a.queued--
	r.conns[0].say(frame("later"))
	r.until("the server is heard", func() bool { return len(a.sent) == 3 || a.sent[len(a.sent)-1].PPID == testPPID && len(a.sent) > 1 })
	if first := a.sent[1]; first.PPID != mapping.PPIDASAP {
		t.Errorf("the server's message goes ahead of the cookie that was set before it: %q", first.Data)
	}
	h.Down(mapping.ErrDown)
}

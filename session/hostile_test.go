package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// honest is a session between the rig's own User and a station, to be seen unharmed at the end.
type honest struct {
	r    *rig
	c    *end
	want string
	n    int
}

func (r *rig) honest() *honest {
	h := &honest{r: r, c: r.client()}
	h.ask()
	r.until("the honest session is served", h.answered)
	return h
}

// ask sends a request that must not be repeated.
func (h *honest) ask() {
	h.n++
	line := fmt.Sprintf("SET %d %s\n", h.n, strings.Repeat("h", h.n%5000))
	h.want += "re " + line
	h.c.says(line, false)
}

func (h *honest) answered() bool { return len(h.c.got) >= len(h.want) }

// unharmed: what was asked is answered to the byte, once more now, and the session has never moved.
func (h *honest) unharmed() {
	h.r.t.Helper()
	h.ask()
	h.r.until("the honest session goes on", h.answered)
	if string(h.c.got) != h.want || h.c.session.Info().Leg != 1 {
		h.r.t.Errorf("the honest session was harmed: %d bytes of %d, leg %d", len(h.c.got), len(h.want), h.c.session.Info().Leg)
	}
}

// openLeg is what a peer in peace does first: leg 1 of a session on stream 1, that has sent "SET 1\n" and got "re SET 1\n".
func openLeg(l *liar) {
	l.hello()
	l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute})
	l.data(1, "SET 1\n")
	l.r.until("the leg is open", func() bool { return l.text(1) == "re SET 1\n" })
}

// fate is what becomes of a liar.
type fate struct {
	aborted bool   // the association
	stream  uint16 // else what is heard there
	typ     uint8
	code    Code
	logged  string // the reason
}

func reset(stream uint16, logged string) fate {
	return fate{stream: stream, typ: typeReset, code: CodeProtocol, logged: logged}
}

func refused(stream uint16, code Code, logged string) fate {
	return fate{stream: stream, typ: typeRefused, code: code, logged: logged}
}

func aborted(logged string) fate { return fate{aborted: true, logged: logged} }

// check complains when the liar's fate is another.
func (f fate) check(t *testing.T, r *rig, l *liar) {
	t.Helper()
	if f.aborted != (l.down != nil) {
		t.Errorf("aborted: %v", l.down)
	}
	if f.typ != 0 {
		if m := l.last(f.stream, f.typ); m == nil || m.code != f.code {
			t.Errorf("on stream %d came %+v", f.stream, l.heard[f.stream])
		}
	}
	if f.logged != "" && !r.logged(f.logged) {
		t.Errorf("not logged: %q", f.logged)
	}
}

// big is a text of n bytes.
func big(n int) string { return strings.Repeat("b", n) }

// lies that a pool user may tell an element.
var userLies = []struct {
	name string
	open bool // a leg is open on stream 1 before it
	tell func(l *liar)
	fate fate
}{
	{"no HELLO: OPEN", false, func(l *liar) { l.tell(1, &message{typ: typeOpen, token: token16(0x40), leg: 1}) }, aborted("before HELLO")},
	{"no HELLO: data", false, func(l *liar) { l.data(1, "x") }, aborted("carries no leg")},
	{"no HELLO: silence", false, func(*liar) {}, aborted("no HELLO came")},
	{"HELLO, version too new", false, func(l *liar) { l.tell(0, &message{typ: typeHello, version: 9, oldest: Version + 1}) }, aborted(fmt.Sprintf("versions %d to 9", Version+1))},
	{"HELLO, version 0", false, func(l *liar) { l.tell(0, &message{typ: typeHello}) }, aborted("versions 0 to 0")},
	{"HELLO, too much credit", false, func(l *liar) { l.tell(0, &message{typ: typeHello, version: 1, credit: maxCredit + 1}) }, aborted("first credit")},
	{"HELLO on another stream", false, func(l *liar) { l.tell(4, &message{typ: typeHello, version: 1}) }, aborted("on stream 4")},
	{"HELLO twice", true, func(l *liar) { l.hello() }, aborted("carries no leg")},
	{"DRAIN to an element", true, func(l *liar) { l.tell(0, &message{typ: typeDrain, drains: true}) }, aborted("carries no leg")},
	{"HELLO on a leg", true, func(l *liar) { l.tell(1, &message{typ: typeHello, version: 1}) }, reset(1, "unexpected message of type 1")},

	{"an empty message", true, func(l *liar) { l.send(1, mapping.PPIDSession, nil) }, aborted("it is empty")},
	{"garbage", true, func(l *liar) { l.send(1, mapping.PPIDSession, []byte("GET / HTTP/1.1\r\n")) }, aborted("type 71 is not known")},
	{"a short message", true, func(l *liar) { l.send(1, mapping.PPIDSession, []byte{typeAck, 0, 0, 0, 1}) }, aborted("has 5 bytes")},
	{"a long message", true, func(l *liar) { l.send(1, mapping.PPIDSession, append([]byte{typeReset, 0, 0, 0}, big(256)...)) }, aborted("has 260 bytes")},
	{"an unknown PPID", true, func(l *liar) { l.send(1, 77, []byte("x")) }, aborted("payload protocol identifier")},
	{"an ASAP message", true, func(l *liar) { l.send(1, mapping.PPIDASAP, []byte("x")) }, fate{logged: "ASAP message ignored"}},

	{"an ASAP message of another type", true, func(l *liar) { l.send(1, mapping.PPIDASAP, []byte{5, 0, 0, 4}) }, fate{logged: "ASAP message ignored"}},
	{"a cookie before HELLO", false, func(l *liar) { l.echo(1, "x"); l.hello() }, fate{logged: "ASAP message ignored"}},
	{"COOKIE", true, func(l *liar) { l.asap(1, asap.CookieMessage{Cookie: []byte("x")}) }, aborted("(COOKIE) that only a pool element sends")},
	{"a business card", true, func(l *liar) { l.asap(0, cardOf(l.r, "things", 0)) }, fate{logged: "business card ignored"}},
	{"COOKIE_ECHO on a leg", true, func(l *liar) { l.echo(1, "x") }, aborted("echoed on a stream that is in use")},
	{"COOKIE_ECHO on stream 0", true, func(l *liar) { l.echo(0, "x") }, aborted("echoed on a stream that is in use")},
	{"COOKIE_ECHO twice", true, func(l *liar) { l.echo(2, ""); l.echo(2, "") }, aborted("echoed on a stream that is in use")},
	{"COOKIE_ECHO and data", true, func(l *liar) { l.echo(2, "x"); l.data(2, "x") }, aborted("carries no leg")},
	{"COOKIE_ECHO and RESUME", true, func(l *liar) {
		l.echo(2, "x")
		l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 9})
	},
		aborted("RESUME behind a cookie")},
	{"COOKIE_ECHO, long", true, func(l *liar) { l.echo(2, big(maxSealed+1)) }, aborted("a cookie of 4130 bytes")},
	{"COOKIE_ECHO, very long", true, func(l *liar) { l.echo(2, big(60000)) }, aborted("a cookie of 60000 bytes")},
	{"COOKIE_ECHO without a cookie", true, func(l *liar) { l.send(2, mapping.PPIDASAP, []byte{0x0c, 0, 0, 4}) }, aborted("missing parameter")},
	{"COOKIE_ECHO, cut", true, func(l *liar) { l.send(2, mapping.PPIDASAP, []byte{0x0c, 0, 0, 12, 0, 13, 0, 9, 1}) }, aborted("truncated")},
	{"COOKIE_ECHO with what may not be there", true, func(l *liar) { l.send(2, mapping.PPIDASAP, []byte{0x0c, 0, 0, 8, 0x3f, 1, 0, 4}) },
		fate{logged: "ASAP message ignored"}},
	{"many COOKIE_ECHOs", true, func(l *liar) {
		for i := range uint16(maxEchoes) {
			l.echo(2+i, big(maxSealed))
		}
	}, fate{}},
	{"too many COOKIE_ECHOs", true, func(l *liar) {
		for i := range uint16(maxEchoes + 1) {
			l.echo(2+i, big(maxSealed))
		}
	}, aborted("more than 256 cookies are echoed")},
	{"a cookie that is not true", true, func(l *liar) { l.echo(2, "x"); l.tell(2, &message{typ: typeOpen, token: token16(0x50), leg: 1}) },
		refused(2, CodeCookie, "it is not signed at all")},

	{"data on stream 0", true, func(l *liar) { l.data(0, "x") }, aborted("carries no leg")},
	{"data on a free stream", true, func(l *liar) { l.data(9, "x") }, aborted("carries no leg")},
	{"data on the last stream", true, func(l *liar) { l.data(0xffff, "x") }, aborted("carries no leg")},
	{"ACK on a free stream", true, func(l *liar) { l.tell(9, &message{typ: typeAck}) }, aborted("carries no leg")},
	{"CLOSED on stream 0", true, func(l *liar) { l.tell(0, &message{typ: typeClosed}) }, aborted("carries no leg")},
	{"OPEN on a stream in use", true, func(l *liar) { l.tell(1, &message{typ: typeOpen, token: token16(0x50), leg: 1}) }, aborted("in use")},
	{"OPEN on stream 0", true, func(l *liar) { l.tell(0, &message{typ: typeOpen, token: token16(0x50), leg: 1}) }, aborted("in use")},
	{"RESUME on a stream in use", true, func(l *liar) { l.tell(1, &message{typ: typeResume, token: token16(0x40), leg: 1}) }, aborted("in use")},

	{"data beyond the credit", true, func(l *liar) { l.data(1, big(40<<10)) }, reset(1, "beyond the credit")},
	{"ACK of what was not sent", true, func(l *liar) { l.tell(1, &message{typ: typeAck, received: 10, credit: 99}) }, reset(1, "acknowledgement of 10 with 9 sent")},
	{"ACK that goes back", true, func(l *liar) {
		l.tell(1, &message{typ: typeAck, received: 9, credit: 99})
		l.tell(1, &message{typ: typeAck, received: 8, credit: 99})
	}, reset(1, "acknowledgement of 8")},
	{"ACK with too much credit", true, func(l *liar) { l.tell(1, &message{typ: typeAck, received: 9, credit: maxCredit + 10}) }, reset(1, "acknowledgement of 9")},
	{"ACK, position 2^62", true, func(l *liar) { l.tell(1, &message{typ: typeAck, received: 1 << 62}) }, aborted("out of range")},
	{"FINISH before the data", true, func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 7}) }, reset(1, "an end at 7")},
	{"FINISH behind the data", true, func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 5}) }, reset(1, "an end at 5")},
	{"data behind FINISH", true, func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 6}); l.data(1, "x") }, reset(1, "behind the end")},
	{"HOLD before the data", true, func(l *liar) { l.tell(1, &message{typ: typeHold, total: 7}) }, reset(1, "a hold at 7, with 6 bytes received")},
	{"HOLD behind the data", true, func(l *liar) { l.tell(1, &message{typ: typeHold, total: 5}) }, reset(1, "a hold at 5")},
	{"HOLD of the largest position", true, func(l *liar) { l.tell(1, &message{typ: typeHold, total: 1<<62 - 1}) }, reset(1, "a hold at")},
	{"HOLD, position 2^62", true, func(l *liar) { l.tell(1, &message{typ: typeHold, total: 1 << 62}) }, aborted("out of range")},
	{"HOLD on a free stream", true, func(l *liar) { l.tell(9, &message{typ: typeHold}) }, aborted("carries no leg")},
	{"HOLD on stream 0", true, func(l *liar) { l.tell(0, &message{typ: typeHold}) }, aborted("carries no leg")},
	{"HOLD behind the last", true, func(l *liar) { l.tell(1, &message{typ: typeReset}); l.tell(1, &message{typ: typeHold, total: 6}) }, aborted("carries no leg")},
	{"HOLD a thousand times", true, func(l *liar) {
		for range 2000 {
			l.tell(1, &message{typ: typeHold, total: 6})
		}
	}, fate{}},
	{"too many HOLDs", false, func(l *liar) {
		l.hello()
		l.r.stations[0].unread = func() int { return 1 }
		l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute, reads: true})
		for i := range int64(maxHolds + 1) {
			l.data(1, "\n")
			l.tell(1, &message{typ: typeHold, total: i + 1})
		}
	}, reset(1, "more than 1024 holds")},
	{"data behind HOLD, beyond the credit", false, func(l *liar) {
		l.hello()
		l.r.stations[0].unread = func() int { return 1 }
		l.tell(1, &message{typ: typeOpen, token: token16(0x40), session: 9, leg: 1, hold: time.Minute, reads: true})
		l.data(1, "SET 1\n")
		l.tell(1, &message{typ: typeHold, total: 6})
		l.data(1, big(40<<10))
	}, reset(1, "beyond the credit")},
	{"GIVE-UP on a free stream", true, func(l *liar) { l.tell(9, &message{typ: typeGiveUp}) }, aborted("carries no leg")},
	{"GIVE-UP twice, and on", true, func(l *liar) {
		l.tell(1, &message{typ: typeGiveUp})
		l.tell(1, &message{typ: typeGiveUp})
		l.data(1, "SET 2\n")
		l.tell(1, &message{typ: typeHold, total: 1})
		l.tell(1, &message{typ: typeFinish, total: 99})
	}, fate{stream: 1, typ: typeLegFailed, code: CodeSilent}},
	{"GIVE-UP behind the last", true, func(l *liar) { l.tell(1, &message{typ: typeClosed}); l.tell(1, &message{typ: typeGiveUp}) }, aborted("carries no leg")},
	{"LEG-FAILED", true, func(l *liar) { l.tell(1, &message{typ: typeLegFailed, received: 6}) }, fate{stream: 1, typ: typeClosed}},
	{"REFUSED", true, func(l *liar) { l.tell(1, &message{typ: typeRefused, code: CodeNever}) }, fate{stream: 1, typ: typeClosed}},
	{"OPENED", true, func(l *liar) { l.tell(1, &message{typ: typeOpened}) }, reset(1, "type 3")},
	{"RESUMED", true, func(l *liar) { l.tell(1, &message{typ: typeResumed}) }, reset(1, "type 6")},
	{"two lasts", true, func(l *liar) { l.tell(1, &message{typ: typeClosed}); l.tell(1, &message{typ: typeReset}) }, aborted("carries no leg")},
	{"data behind the last", true, func(l *liar) { l.tell(1, &message{typ: typeReset}); l.data(1, "x") }, aborted("carries no leg")},

	{"RESUME, unknown token", true, func(l *liar) { l.tell(2, &message{typ: typeResume, token: token16(0x99), leg: 1}) }, refused(2, CodeNever, "no such leg was ever begun")},
	{"RESUME, another leg", true, func(l *liar) { l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 2}) }, refused(2, CodeStale, "a newer leg")},
	{"RESUME, too far", true, func(l *liar) { l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 10}) },
		refused(2, CodeProtocol, "position out of range")},
	{"RESUME, too much credit", true, func(l *liar) {
		l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 9, credit: maxCredit + 10})
	}, refused(2, CodeProtocol, "position out of range")},
	{"RESUME, what was acknowledged", true, func(l *liar) {
		l.tell(1, &message{typ: typeAck, received: 9, credit: 99})
		l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 8})
	}, refused(2, CodeProtocol, "position out of range")},
	{"RESUME, on the association that carries it", true, func(l *liar) {
		l.tell(2, &message{typ: typeResume, token: token16(0x40), leg: 1, received: 9, credit: 20})
	}, aborted("a leg that this association carries")},
	{"OPEN, the same leg", true, func(l *liar) { l.tell(2, &message{typ: typeOpen, token: token16(0x40), leg: 1}) }, refused(2, CodeStale, "a newer leg")},
	{"OPEN, an older leg", true, func(l *liar) { l.tell(2, &message{typ: typeOpen, token: token16(0x40)}) }, refused(2, CodeStale, "a newer leg")},
}

func TestLiesOfPoolUser(t *testing.T) {
	for _, lie := range userLies {
		t.Run(lie.name, func(t *testing.T) {
			r := newRig(t, options{reads: true, cookies: keyed(1)})
			r.stations[0].unread = func() int { return 0 }
			h := r.honest()
			l := r.liar("liar", r.stations[0], 0x66)
			if lie.open {
				openLeg(l)
			}
			h.ask()
			lie.tell(l)
			r.w.RunFor(2 * helloTimeout)
			lie.fate.check(t, r, l)
			h.unharmed()
			r.close()
		})
	}
}

// The tokens of others are of no use: neither to resume nor to supersede, and the leg's own user notices nothing.
func TestTokenOfAnother(t *testing.T) {
	for name, m := range map[string]message{
		"RESUME": {typ: typeResume, leg: 1, received: 0, credit: 1000},
		"OPEN":   {typ: typeOpen, leg: 99},
	} {
		r := newRig(t, options{})
		h := r.honest()
		l := r.liar("liar", r.stations[0], 0x66)
		l.hello()
		m.token = h.c.session.token
		l.tell(1, &m)
		r.w.RunFor(time.Second)
		refused(1, CodeUnauthorized, "another pool user").check(t, r, l)
		h.unharmed()
		if name == "RESUME" && len(l.bytes) > 0 {
			t.Errorf("the liar got %q", l.text(1))
		}
		r.close()
	}
}

// A session's own newer leg makes the older one void, on the same association and on another.
func TestNewerLegSupersedes(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	l := r.liar("liar", s, 0x66)
	openLeg(l)
	l.tell(2, &message{typ: typeOpen, token: token16(0x40), leg: 2})
	l.data(2, "SET 2\n")
	r.until("the newer leg is served", func() bool { return l.text(2) == "re SET 2\n" })
	if m := l.last(1, typeReset); m == nil || m.code != CodeStale || !s.servers[0].reset {
		t.Errorf("the older leg: %+v, reset %v", m, s.servers[0].reset)
	}
	r.close()
}

func TestLimitsOfElement(t *testing.T) {
	r := newRig(t, options{maxLegs: 3})
	h := r.honest()
	l := r.liar("liar", r.stations[0], 0x66)
	l.hello()
	for i := range uint16(10) {
		l.tell(i+1, &message{typ: typeOpen, token: token16(byte(0x40 + i)), leg: 1})
	}
	r.w.RunFor(time.Second)
	busy := 0
	for i := range uint16(10) {
		if m := l.last(i+1, typeRefused); m != nil && m.code == CodeBusy {
			busy++
		}
	}
	if live, _ := r.stations[0].e.Legs(); live != 3 || busy != 8 {
		t.Errorf("%d legs, %d refused", live, busy)
	}
	h.unharmed()
	r.close()
}

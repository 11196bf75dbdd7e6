package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// inPeace has the liar serve legs as an element should, without a server: every byte is acknowledged and echoed.
func inPeace(l *liar) {
	l.hello()
	taken := make(map[uint16]int64)
	l.onMessage = func(stream uint16, m *message) {
		switch {
		case m.typ == typeOpen:
			taken[stream], l.lasts[stream] = 0, false
			l.tell(stream, &message{typ: typeOpened})
		case m.typ == typeResume:
			l.tell(stream, &message{typ: typeRefused, code: CodeNoLeg})
		case m.terminal() && !l.lasts[stream]:
			l.tell(stream, &message{typ: typeClosed})
		}
	}
	l.onData = func(stream uint16, p []byte) {
		taken[stream] += int64(len(p))
		l.tell(stream, &message{typ: typeAck, received: taken[stream], credit: taken[stream] + 1000})
		l.data(stream, "re "+string(p))
	}
}

// lies that an element may tell a pool user, on stream 1, which carries a leg with 6 bytes sent and 9 received.
var elementLies = []struct {
	name    string
	tell    func(l *liar)
	aborted bool
	logged  string
}{
	{"HELLO twice", func(l *liar) { l.hello() }, true, "carries no leg"},
	{"HELLO on a leg", func(l *liar) { l.tell(1, &message{typ: typeHello, version: 1}) }, false, "type 1"},
	{"garbage", func(l *liar) { l.send(1, mapping.PPIDSession, []byte("SSH-2.0-x")) }, true, "type 83 is not known"},
	{"an empty message", func(l *liar) { l.send(1, mapping.PPIDSession, nil) }, true, "it is empty"},
	{"an unknown PPID", func(l *liar) { l.send(1, 5, []byte("x")) }, true, "payload protocol identifier"},
	{"data on stream 0", func(l *liar) { l.data(0, "x") }, true, "carries no leg"},
	{"data on a free stream", func(l *liar) { l.data(40000, "x") }, true, "carries no leg"},
	{"OPENED on a free stream", func(l *liar) { l.tell(9, &message{typ: typeOpened}) }, true, "carries no leg"},
	{"OPEN", func(l *liar) { l.tell(1, &message{typ: typeOpen}) }, false, "type 2"},
	{"RESUME", func(l *liar) { l.tell(1, &message{typ: typeResume}) }, false, "type 5"},
	{"RESUMED, unasked", func(l *liar) { l.tell(1, &message{typ: typeResumed, received: 6, credit: 10}) }, false, "resumed at 6"},
	{"ACK of what was not sent", func(l *liar) { l.tell(1, &message{typ: typeAck, received: 7, credit: 10}) }, false, "acknowledgement of 7"},
	{"ACK that goes back", func(l *liar) { l.tell(1, &message{typ: typeAck, received: 5, credit: 10}) }, false, "acknowledgement of 5"},
	{"ACK with too much credit", func(l *liar) { l.tell(1, &message{typ: typeAck, received: 6, credit: maxCredit + 7}) }, false, "acknowledgement of 6"},
	{"ACK, position 2^62", func(l *liar) { l.tell(1, &message{typ: typeAck, received: 1 << 62}) }, true, "out of range"},
	{"data beyond the credit", func(l *liar) { l.data(1, big(17<<10)) }, false, "beyond the credit"},
	{"FINISH behind the data", func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 8}) }, false, "an end at 8"},
	{"FINISH before the data", func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 10}) }, false, "an end at 10"},
	{"data behind FINISH", func(l *liar) { l.tell(1, &message{typ: typeFinish, total: 9}); l.data(1, "x") }, false, "behind the end"},
	{"two lasts", func(l *liar) { l.tell(1, &message{typ: typeReset}); l.tell(1, &message{typ: typeReset}) }, true, "carries no leg"},
	{"data behind the last", func(l *liar) {
		l.tell(1, &message{typ: typeLegFailed, received: 6})
		l.data(1, "x")
	}, true, "carries no leg"},
	{"an ASAP message of another type", func(l *liar) { l.send(1, mapping.PPIDASAP, []byte{5, 0, 0, 4}) }, false, "ASAP message ignored"},
	{"a business card", func(l *liar) { l.asap(0, cardOf(l.r, "things", 1)) }, false, "business card"},
	{"a business card of another pool", func(l *liar) { l.asap(0, cardOf(l.r, "stuff", 1)) }, false, "it is of another pool"},
	{"a business card on a leg", func(l *liar) { l.asap(1, cardOf(l.r, "things", 1)) }, true, "a business card on stream 1"},
	{"a business card without elements", func(l *liar) { l.send(0, mapping.PPIDASAP, []byte{0x0d, 0, 0, 12, 0, 9, 0, 5, 'p', 0, 0, 0}) }, true, "missing parameter"},
	{"COOKIE_ECHO", func(l *liar) { l.echo(1, "x") }, true, "(COOKIE_ECHO) that only a pool user sends"},
	{"COOKIE on a free stream", func(l *liar) { l.asap(9, asap.CookieMessage{}) }, true, "a cookie on a stream that carries no leg"},
	{"COOKIE on stream 0", func(l *liar) { l.asap(0, asap.CookieMessage{}) }, true, "a cookie on a stream that carries no leg"},
	{"COOKIE behind the last", func(l *liar) {
		l.tell(1, &message{typ: typeReset})
		l.asap(1, asap.CookieMessage{})
	}, true, "a cookie on a stream that carries no leg"},
	{"COOKIE, long", func(l *liar) { l.asap(1, asap.CookieMessage{Cookie: make([]byte, maxSealed+1)}) }, false, "a cookie of 4130 bytes"},
	{"COOKIE, cut", func(l *liar) { l.send(1, mapping.PPIDASAP, []byte{0x0b, 0, 0, 12, 0, 13, 0, 9, 1}) }, true, "truncated"},
	{"COOKIE, empty", func(l *liar) { l.send(1, mapping.PPIDASAP, []byte{0x0b}) }, true, "truncated"},
	{"COOKIE that no other element takes", func(l *liar) {
		l.asap(1, asap.CookieMessage{Cookie: []byte("state")})
		l.tell(1, &message{typ: typeReset})
	}, false, "an element does not take its cookie"},
	{"HOLD", func(l *liar) { l.tell(1, &message{typ: typeHold, total: 6}) }, false, "type 12"},
	{"GIVE-UP", func(l *liar) { l.tell(1, &message{typ: typeGiveUp}) }, false, "type 13"},
	{"OPENED again, with reads", func(l *liar) { l.tell(1, &message{typ: typeOpened, reads: true}) }, false, ""},
	{"REFUSED of an open leg, as if it had never been", func(l *liar) { l.tell(1, &message{typ: typeRefused, code: CodeNever}) }, false, "refused a leg that was open"},
	{"LEG-FAILED, nothing read", func(l *liar) { l.tell(1, &message{typ: typeLegFailed, code: CodeServerReset}) }, false, ""},
	{"LEG-FAILED, more than was sent", func(l *liar) { l.tell(1, &message{typ: typeLegFailed, code: CodeServerEnded, received: 1 << 50}) }, false, ""},
	{"LEG-FAILED, still listens", func(l *liar) {
		l.tell(1, &message{typ: typeLegFailed, code: CodeServerReset, listens: true, received: 6})
	}, false, "reset by server"},
	{"LEG-FAILED, silent, unasked", func(l *liar) { l.tell(1, &message{typ: typeLegFailed, code: CodeSilent, received: 6}) }, false, ""},
	{"LEG-FAILED, health", func(l *liar) { l.tell(1, &message{typ: typeLegFailed, code: CodeHealth, listens: true, received: 6}) }, false, ""},
	{"LEG-FAILED, a code that is not known", func(l *liar) { l.tell(1, &message{typ: typeLegFailed, code: 200, received: 6}) }, false, ""},
	{"REFUSED of an open leg", func(l *liar) { l.tell(1, &message{typ: typeRefused}) }, false, "refused a leg that was open"},
}

// mixedRig is a rig with a lying and a right element, a session on each; it returns the one with the right element, and the
// lying association.
func mixedRig(t *testing.T, o options) (r *rig, h *honest, victim *end, last func() *liar) {
	o.elements, o.priority = 2, true
	if o.failover == (Failover{}) {
		o.failover = quick
	}
	r = newRig(t, o)
	evil := r.stations[0]
	r.pool.Failed(r.w.Now(), evil.name)
	h = r.honest()
	r.w.RunFor(time.Second)
	var l *liar
	evil.lyingElement(0x77, func(next *liar) {
		l = next
		inPeace(next)
	})
	r.pool.Alive(evil.name)
	victim = r.client()
	return r, h, victim, func() *liar { return l }
}

// Whatever an element says, the sessions at others are not harmed, and those that it had go on elsewhere.
func TestLiesOfElement(t *testing.T) {
	for _, lie := range elementLies {
		t.Run(lie.name, func(t *testing.T) {
			r, h, victim, last := mixedRig(t, options{})
			victim.says("SET 1\n", false)
			r.until("the liar has answered", func() bool { return string(victim.got) == "re SET 1\n" })
			r.w.RunFor(time.Second)
			h.ask()
			l := last()
			was := len(r.logs)
			lie.tell(l)
			r.w.RunFor(100 * time.Millisecond)
			if lie.aborted != (l.down != nil) {
				t.Errorf("aborted: %v", l.down)
			}
			r.logs = r.logs[was:]
			if lie.logged != "" && !r.logged(lie.logged) {
				t.Errorf("not logged: %q", lie.logged)
			}
			h.unharmed()
			r.w.RunFor(10 * time.Second)
			if !victim.reset && !victim.finished {
				had := len(victim.got)
				victim.says("GET on\n", false)
				r.until("the liar's session goes on", func() bool { return strings.HasSuffix(string(victim.got[had:]), "re GET on\n") })
			}
			r.close()
		})
	}
}

// An element that does not introduce itself as it should is of no use; its sessions go elsewhere.
func TestBadIntroductions(t *testing.T) {
	for name, lie := range map[string]struct {
		tell   func(l *liar)
		logged string
	}{
		"silence":         {func(*liar) {}, "no HELLO came"},
		"another version": {func(l *liar) { l.tell(0, &message{typ: typeHello, version: 9, oldest: Version + 1}) }, fmt.Sprintf("versions %d to 9", Version+1)},
		"not HELLO":       {func(l *liar) { l.tell(0, &message{typ: typeOpened}) }, "before HELLO"},
		"on a stream":     {func(l *liar) { l.tell(1, &message{typ: typeHello, version: 1}) }, "on stream 1"},
		"data":            {func(l *liar) { l.data(1, "x") }, "carries no leg"},
		"much credit":     {func(l *liar) { l.tell(0, &message{typ: typeHello, version: 1, credit: 1 << 40}) }, "first credit"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true})
			r.stations[0].lyingElement(0x77, lie.tell)
			c := r.client()
			c.says("SET 1\n", false)
			r.until("another has answered", func() bool { return string(c.got) == "re SET 1\n" })
			if !r.logged("broke the session protocol", lie.logged) {
				t.Errorf("not logged: %q", lie.logged)
			}
			r.close()
		})
	}
}

// RESUMED with positions that cannot be: the leg is given up, and the session goes on as after any failure.
func TestLiesOnResuming(t *testing.T) {
	for name, answer := range map[string]message{
		"behind what was sent":      {typ: typeResumed, received: 100, credit: 1000},
		"before what was confirmed": {typ: typeResumed, received: 3, credit: 1000},
		"too much credit":           {typ: typeResumed, received: 6, credit: maxCredit + 7},
	} {
		t.Run(name, func(t *testing.T) {
			r, h, victim, last := mixedRig(t, options{})
			victim.says("SET 1\n", false)
			r.until("the liar has answered", func() bool { return string(victim.got) == "re SET 1\n" })
			old := last()
			old.a.Abort()
			r.until("the user comes back", func() bool { return last() != old && last().up })
			l := last()
			l.onMessage = func(stream uint16, m *message) {
				if m.typ == typeResume {
					l.tell(stream, &answer)
				}
			}
			victim.says("GET 2\n", false)
			r.until("the other element has answered", func() bool { return string(victim.got) == "re SET 1\nre GET 2\n" })
			if !r.logged("broke the session protocol", "resumed at") {
				t.Error("not logged")
			}
			h.unharmed()
			r.close()
		})
	}
}

// An element that says RESUMED and breaks the association, over and over, cannot keep a session for ever, nor keep the user busy.
func TestBreaksAgainAndAgain(t *testing.T) {
	r, h, victim, last := mixedRig(t, options{})
	victim.says("SET 1\n", false)
	r.until("the liar has answered", func() bool { return string(victim.got) == "re SET 1\n" })
	count := 0
	r.stations[0].lyingElement(0x77, func(l *liar) {
		count++
		inPeace(l)
		l.onMessage = func(uint16, *message) { l.a.Abort() }
	})
	last().a.Abort()
	victim.says("GET 2\n", false)
	r.w.RunFor(20 * time.Second)
	if count > 100 || string(victim.got) != "re SET 1\nre GET 2\n" {
		t.Errorf("%d associations in 20 s; the client got %q", count, victim.got)
	}
	h.unharmed()
	r.close()
}

// deaf is a peer that hears nothing.
type deaf struct{}

func (deaf) Ready(loop.Event) {}

// Those who come and say nothing do not keep a pool user out, however many they are, and are not worth a line of the log each.
func TestStrangersMakePlace(t *testing.T) {
	r := newRig(t, options{})
	s := r.stations[0]
	quiet := r.w.Host("quiet")
	for range maxStrangers + 500 {
		quiet.Dial(s.at(), deaf{})
	}
	r.w.RunFor(100 * time.Millisecond)
	if n := len(s.e.links); n != maxStrangers {
		t.Errorf("%d associations of strangers", n)
	}
	c := r.client()
	c.says("GET 1\n", false)
	r.until("served", func() bool { return string(c.got) == "re GET 1\n" })
	r.w.RunFor(10 * time.Second)
	if n := len(s.e.links); n != 1 {
		t.Errorf("%d associations are left", n)
	}
	said := 0
	for _, line := range r.logs {
		if strings.Contains(line, "association") && !strings.Contains(line, " d ") {
			said++
		}
	}
	if said > 3 {
		t.Errorf("%d lines of log for strangers", said)
	}
	r.close()
}

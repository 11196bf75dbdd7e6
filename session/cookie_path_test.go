package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// The cookie comes first on the stream, before OPEN, at every element, the same one included; with RESUME it does not come.
func TestCookieEchoIsFirst(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, cookies: CookieRule{Raw: true}})
	var l *liar
	r.stations[1].lyingElement(0x77, func(next *liar) { l = next; inPeace(l) })
	c := r.client()
	c.asks(1)
	if err := r.stations[0].legs[0].SetCookie([]byte("state")); err != nil {
		t.Fatal(err)
	}
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	c.asks(1)
	echo := "1 ASAP 0c00000d000d0009" + "7374617465000000"
	if got := fmt.Sprint(l.order); !strings.HasPrefix(got, fmt.Sprintf("[0 type 1 %s 1 type 2 1 data", echo)) {
		t.Errorf("what came: %s", got)
	}
	l.asap(1, asap.CookieMessage{Cookie: []byte("newer")})
	r.w.RunFor(time.Second)
	l.tell(1, &message{typ: typeLegFailed, code: CodeServerReset, received: 4})
	l.order = nil
	r.w.RunFor(time.Second)
	echo = "1 ASAP 0c00000d000d0009" + "6e65776572000000"
	if got := fmt.Sprint(l.order); !strings.HasPrefix(got, fmt.Sprintf("[1 type 11 %s 1 type 2", echo)) {
		t.Errorf("what came, again: %s", got)
	}
	var next *liar
	r.stations[1].lyingElement(0x77, func(l *liar) { next = l; inPeace(l) })
	l.a.Abort()
	r.until("it comes back", func() bool { return next != nil && len(next.order) > 1 })
	if got := fmt.Sprint(next.order); !strings.HasPrefix(got, "[0 type 1 1 type 5") {
		t.Errorf("what came to resume: %s", got)
	}
	r.close()
}

// The associations break again and again while a server counts in the cookie. Nothing is lost, and RESUME comes alone.
func TestCookieSurvivesCuts(t *testing.T) {
	for seed := range uint64(20) {
		r := countingRig(t, options{seed: seed + 1, elements: 2, cookies: keyed(1)})
		c := r.client()
		c.asks(1)
		for range 20 {
			c.says("GET\n", false)
			r.w.RunFor(time.Duration(r.w.Rand().IntN(3000)) * time.Microsecond)
			for _, s := range r.stations {
				r.cut(s)
			}
			r.w.RunFor(time.Duration(r.w.Rand().IntN(3000)) * time.Microsecond)
		}
		r.until("all is answered", func() bool { return string(c.got) == numbers(21) })
		r.only(KindResumed)
		r.carrying(c).die(seed%2 == 0)
		c.asks(1)
		if string(c.got) != numbers(22) || r.logged("broke the session protocol") {
			t.Errorf("seed %d: %q", seed+1, c.got)
		}
		r.close()
	}
}

// A cookie that was set and lost with its association, or while there was none, comes when the leg is resumed.
func TestCookieSetOutOfTouch(t *testing.T) {
	for name, set := range map[string]func(r *rig, leg *Leg) error{
		"lost": func(r *rig, leg *Leg) error { err := leg.SetCookie([]byte("state")); r.cut(r.stations[0]); return err },
		"out of touch": func(r *rig, leg *Leg) error {
			r.cut(r.stations[0])
			r.until("it is held", func() bool { return leg.link == nil })
			return leg.SetCookie([]byte("state"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, cookies: keyed(1)})
			c := r.client()
			c.asks(1)
			r.w.RunFor(time.Second)
			if err := set(r, r.stations[0].legs[0]); err != nil {
				t.Fatal(err)
			}
			r.until("the pool user has it", func() bool { return c.session.Info().Cookie == sealSize+5 })
			r.only(KindResumed)
			r.stations[0].die(true)
			c.asks(1)
			if got := r.stations[1].legs[0].Cookie(); string(got) != "state" {
				t.Errorf("the next element has %q", got)
			}
			r.close()
		})
	}
}

// Cookies that an element does not take: the leg is refused, no server hears of it, and both sides say why.
func TestForgedCookies(t *testing.T) {
	rule := keyed(1)
	mine, other := token16(0x40), token16(0x50)
	right := string(rule.seal(nil, mine, []byte("state")))
	wrongKey := keyed(2)
	for name, c := range map[string]struct {
		echo string
		rule CookieRule // of the element
		want Code       // 0: it is taken
	}{
		"right":                 {right, rule, 0},
		"another session's":     {string(rule.seal(nil, other, []byte("state"))), rule, CodeCookie},
		"another key's":         {string(wrongKey.seal(nil, mine, []byte("state"))), rule, CodeCookie},
		"unsigned":              {"state", rule, CodeCookie},
		"empty":                 {"", rule, CodeCookie},
		"without its end":       {right[:len(right)-1], rule, CodeCookie},
		"with more":             {right + "x", rule, CodeCookie},
		"only signed":           {right[:sealSize], rule, CodeCookie},
		"a part of a signature": {right[:sealSize-1], rule, CodeCookie},
		"another version":       {"\x02" + right[1:], rule, CodeCookie},
		"a bit in it":           {right[:sealSize] + "t" + right[sealSize+1:], rule, CodeCookie},
		"a bit in the MAC":      {right[:5] + string(right[5]^1) + right[6:], rule, CodeCookie},
		"no key":                {right, CookieRule{}, CodeCookie},
		"a short key":           {right, CookieRule{Key: rule.Key[1:]}, CodeCookie},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{cookies: c.rule})
			h := r.honest()
			l := r.liar("liar", r.stations[0], 0x66)
			l.hello()
			l.echo(3, c.echo)
			l.tell(3, &message{typ: typeOpen, token: mine, session: 9, leg: 2, hold: time.Minute})
			r.w.RunFor(time.Second)
			if c.want == 0 {
				if got := r.stations[0].legs[1].Cookie(); string(got) != "state" {
					t.Errorf("it has %q", got)
				}
			} else if m := l.last(3, typeRefused); m == nil || m.code != c.want || len(r.stations[0].servers) != 1 {
				t.Errorf("%+v, %d servers", m, len(r.stations[0].servers))
			} else if !r.logged("w leg refused", "not taken", "cookie_key_file") {
				t.Error("it is not logged")
			}
			h.unharmed()
			r.close()
		})
	}
}

// Where some elements do not take the cookie of a session, it goes to the one that does.
func TestCookieFindsItsElement(t *testing.T) {
	r := newRig(t, options{elements: 4, priority: true, cookies: keyed(1)})
	r.stations[1].e.c.Cookies = keyed(2)
	r.stations[2].e.c.Cookies = CookieRule{}
	for _, s := range r.stations {
		s.counting()
	}
	c := r.client()
	c.asks(3)
	r.stations[0].die(true)
	began := r.w.Now()
	c.asks(3)
	if took := r.w.Now().Sub(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if got := r.carrying(c); string(c.got) != numbers(6) || got != r.stations[3] {
		t.Errorf("%q at %s", c.got, got.name)
	}
	if !r.logged("user w session refused", "element2", "signed with another key") || !r.logged("user w session refused", "element3", "need a key") {
		t.Error("the pool user does not say it")
	}
	r.close()
}

// Where no element takes it, the session ends when the search does, and until then asks seldom; others are not held up.
func TestCookieNobodyTakes(t *testing.T) {
	r := newRig(t, options{elements: 2, cookies: keyed(1)})
	for _, s := range r.stations {
		s.counting()
	}
	c := r.client()
	c.asks(3)
	for _, s := range r.stations {
		s.e.c.Cookies = keyed(2)
	}
	first := r.carrying(c)
	first.die(true)
	first.gone = false
	c.says("GET\n", false)
	r.w.RunFor(10 * time.Second)
	other := r.client() // which has no cookie
	began := r.w.Now()
	other.asks(1)
	if took := r.w.Now().Sub(began); took > 500*time.Millisecond {
		t.Errorf("another session had to wait for %v", took)
	}
	r.until("it has ended", func() bool { return c.finished || c.closed || c.reset })
	if got := string(c.got); got != numbers(3)+"ERR sorry\n" {
		t.Errorf("the client got %q", got)
	}
	tries := 0
	for _, line := range r.logs {
		if strings.Contains(line, "user w session refused") {
			tries++
		}
	}
	if tries < 5 || tries > 40 {
		t.Errorf("%d tries in 30 s", tries)
	}
	last := r.records[len(r.records)-1]
	if last.Kind != KindEnded || !strings.Contains(last.Verdict, "the session's cookie is not taken") {
		t.Errorf("%+v", last)
	}
	r.close()
}

// A leg that is over sets nothing any more; the newer one's cookie stays, whatever the order on the wire.
func TestCookieOfTwoLegs(t *testing.T) {
	r := newRig(t, options{cookies: keyed(1)})
	s := r.stations[0]
	first := r.liar("liar", s, 0x66)
	first.hello()
	first.tell(7, &message{typ: typeOpen, token: token16(0x40), leg: 1, hold: time.Minute})
	first.tell(8, &message{typ: typeOpen, token: token16(0x40), leg: 2, hold: time.Minute})
	r.until("both have begun", func() bool { return len(s.legs) == 2 })
	if err := s.legs[0].SetCookie([]byte("old")); !errors.Is(err, ErrLegOver) {
		t.Errorf("the older leg: %v", err)
	}
	if err := s.legs[1].SetCookie([]byte("new")); err != nil {
		t.Error(err)
	}
	r.w.RunFor(time.Second)
	for _, line := range first.order {
		if strings.HasPrefix(line, "7 ASAP") {
			t.Errorf("the older leg says %s", line)
		}
	}
	r.close()
}

// What comes on an abandoned leg, before its element knows, is not the session's cookie.
func TestCookieOfAnAbandonedLeg(t *testing.T) {
	r, _, victim, last := mixedRig(t, options{})
	victim.says("SET 1\n", false)
	r.until("the liar has answered", func() bool { return string(victim.got) == "re SET 1\n" })
	l := last()
	l.asap(1, asap.CookieMessage{Cookie: []byte("one")})
	r.w.RunFor(time.Second)
	l.onMessage = nil                                                 // it does not answer RESET
	l.tell(1, &message{typ: typeAck, received: 1 << 40})              // so the leg is given up
	l.asap(1, asap.CookieMessage{Cookie: []byte("longer than that")}) // behind
	r.w.RunFor(time.Second)
	if n := victim.session.Info().Cookie; n != 3 {
		t.Errorf("%d bytes are kept", n)
	}
	r.user.Close()
}

// Cookies that are set faster than the association takes them are merged, and the last one counts.
func TestCookiesAreMerged(t *testing.T) {
	r := newRig(t, options{cookies: keyed(1), beat: mapping.Heartbeat{Interval: time.Minute, Misses: 3}})
	c := r.client()
	c.asks(1)
	s := r.stations[0]
	r.w.Stall(r.host, s.host)
	for i := range 5000 {
		if err := s.legs[0].SetCookie(fmt.Appendf(make([]byte, 4000), "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.server().says("unasked\n", false)
	r.w.RunFor(time.Second)
	s.e.Links(func(a mapping.Association, _ bool, _ int) {
		if n := a.Queued(); n > maxQueued+10<<10 {
			t.Errorf("%d bytes are queued", n)
		}
	})
	r.w.Heal(r.host, s.host)
	r.until("it has come", func() bool { return strings.HasSuffix(string(c.got), "unasked\n") })
	if got := c.session.cookie.bytes; !strings.HasSuffix(string(got), "\x004999") {
		t.Errorf("the pool user has %d bytes, %q", len(got), got[max(0, len(got)-8):])
	}
	r.close()
}

// What cookies take counts as memory while their session lives, at both sides.
func TestCookiesCount(t *testing.T) {
	r := newRig(t, options{cookies: keyed(1)})
	var clients []*end
	for range 50 {
		c := r.client()
		c.asks(1)
		clients = append(clients, c)
	}
	s := r.stations[0]
	for _, leg := range s.legs {
		if err := leg.SetCookie(make([]byte, MaxCookie)); err != nil {
			t.Fatal(err)
		}
	}
	r.w.RunFor(time.Second)
	if at, near := stored(s.host), stored(r.host); at < 50*MaxCookie || near < 50*maxSealed {
		t.Errorf("%d bytes at the element, %d at the pool user", at, near)
	}
	for _, c := range clients {
		c.breaks()
	}
	r.w.RunFor(time.Second)
	if at, near := stored(s.host), stored(r.host); at != 0 || near != 0 {
		t.Errorf("%d bytes are left at the element, %d at the pool user", at, near)
	}
	r.close()
}

// FuzzASAP: whatever comes as ASAP, on whatever stream, nothing panics, little is kept, and the other sessions go on.
func FuzzASAP(f *testing.F) {
	rule := keyed(1)
	for _, m := range []asap.Message{asap.CookieMessage{Cookie: rule.seal(nil, token16(0x40), []byte("x"))}, asap.CookieEcho{},
		asap.CookieEcho{Cookie: make([]byte, maxSealed+1)}, cardOf(nil, "things")} {
		p, err := asap.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(1), p, true)
		f.Add(uint16(2), p, false)
	}
	f.Fuzz(func(t *testing.T, stream uint16, p []byte, element bool) {
		if len(p) > 60<<10 {
			return
		}
		r := newRig(t, options{elements: 2, priority: true, failover: quick, cookies: rule})
		r.pool.Failed(r.w.Now(), r.stations[0].name)
		h := r.honest()
		if element {
			r.stations[0].lyingElement(0x77, func(l *liar) { inPeace(l); l.send(stream, mapping.PPIDASAP, p) })
			r.pool.Alive(r.stations[0].name)
			c := r.client()
			c.says("GET 1\n", false)
			r.until("the liar's session is served", func() bool { return string(c.got) == "re GET 1\n" || c.reset })
		} else {
			l := r.liar("liar", r.stations[1], 0x66)
			openLeg(l)
			l.send(stream, mapping.PPIDASAP, p)
			l.tell(stream|2, &message{typ: typeOpen, token: token16(0x60), leg: 1})
			r.w.RunFor(time.Second)
		}
		h.unharmed()
		r.close()
	})
}

// A cookie that has to wait for its turn goes ahead of what the server says after it, however full the association is.
func TestCookieGoesAheadOfData(t *testing.T) {
	r := newRig(t, options{cookies: keyed(1), legs: 2 << 20, beat: mapping.Heartbeat{Interval: time.Minute, Misses: 3}})
	s := r.stations[0]
	s.app = silent
	l := r.liar("liar", s, 0x66)
	l.tell(control, &message{typ: typeHello, version: 1, oldest: 1, instance: l.instance, credit: 4 << 20})
	l.tell(1, &message{typ: typeOpen, token: token16(0x40), leg: 1, hold: time.Minute})
	l.tell(2, &message{typ: typeOpen, token: token16(0x50), leg: 1, hold: time.Minute})
	r.until("both are open", func() bool { return l.last(1, typeOpened) != nil && l.last(2, typeOpened) != nil })
	r.w.Stall(l.h, s.host)
	s.servers[0].says(big(1<<20), false)
	r.w.RunFor(time.Second)
	if err := s.legs[1].SetCookie([]byte("state")); err != nil {
		t.Fatal(err)
	}
	s.servers[1].says("behind it", true)
	r.w.RunFor(time.Second)
	if !s.legs[1].waits || !s.legs[1].cookieOwed {
		t.Fatal("the association is not full")
	}
	l.order = nil
	r.w.Heal(l.h, s.host)
	r.until("the end has come", func() bool { return l.last(2, typeFinish) != nil })
	var mine []string
	for _, line := range l.order {
		if strings.HasPrefix(line, "2 ") {
			mine = append(mine, line[:min(len(line), 9)])
		}
	}
	if got := fmt.Sprint(mine); got != "[2 ASAP 0b 2 data 2 type 8]" {
		t.Errorf("what came: %s", got)
	}
	r.close()
}

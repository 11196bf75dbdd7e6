package session

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
)

// keyed is a rule with a key that is made of one byte.
func keyed(b byte) CookieRule { return CookieRule{Key: bytes.Repeat([]byte{b}, LeastCookieKey)} }

// counting is a server that counts lines in its session's cookie, and answers with the count: as an application that shares its
// state with the next server does.
func (s *station) counting() {
	s.app = func(e *end) {
		leg := s.legOf(e)
		for {
			n := bytes.IndexByte(e.got[e.answered:], '\n')
			if n < 0 {
				return
			}
			e.answered += n + 1
			count := 0
			if c := leg.Cookie(); c != nil {
				fmt.Sscanf(string(c), "count %d", &count)
			}
			if err := leg.SetCookie(fmt.Appendf(nil, "count %d", count+1)); err != nil {
				s.r.t.Errorf("%s: %v", e.name, err)
			}
			e.says(fmt.Sprintf("%d\n", count+1), false)
		}
	}
}

func (s *station) legOf(e *end) *Leg {
	for i, server := range s.servers {
		if server == e {
			return s.legs[i]
		}
	}
	s.r.t.Fatalf("%s has no leg", e.name)
	return nil
}

// numbers are the lines "1" to "n".
func numbers(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("%d\n", i+1)
	}
	return text
}

// countingRig has servers that count at every station.
func countingRig(t *testing.T, o options) *rig {
	r := newRig(t, o)
	for _, s := range r.stations {
		s.counting()
	}
	return r
}

// asks has the client send n lines one after another, each when the one before is answered.
func (e *end) asks(n int) {
	e.r.t.Helper()
	for range n {
		was := len(e.got)
		e.says("GET\n", false)
		e.r.until("it is answered", func() bool { return len(e.got) > was })
	}
}

// What a server has set the next one has when its connection is begun, and so on: the client sees one count.
func TestCookieMovesOn(t *testing.T) {
	for name, rule := range map[string]CookieRule{"signed": keyed(1), "raw": {Raw: true}} {
		t.Run(name, func(t *testing.T) {
			r := countingRig(t, options{elements: 3, cookies: rule})
			c := r.client()
			c.asks(3)
			for i := range 4 {
				s := r.carrying(c)
				s.die(i%2 == 0)
				c.asks(3)
				s.gone = false
			}
			if string(c.got) != numbers(15) {
				t.Errorf("the client got %q", c.got)
			}
			if leg := c.session.Info().Leg; leg < 5 {
				t.Errorf("leg %d", leg)
			}
			r.only(KindMoved)
			r.close()
		})
	}
}

// carrying is where the client's session is now.
func (r *rig) carrying(c *end) *station {
	for _, s := range r.stations {
		if s.name == c.session.Info().Element {
			return s
		}
	}
	r.t.Fatal("the session is nowhere")
	return nil
}

// The callback and Connect see the cookie; a leg of a new session has none.
func TestCookieIsThereBeforeConnect(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, cookies: keyed(1)})
	c := r.client()
	c.asks(1)
	first, second := r.stations[0], r.stations[1]
	if got := first.legs[0].Cookie(); got != nil || first.told != nil {
		t.Errorf("a new session has the cookie %q", got)
	}
	if err := first.legs[0].SetCookie([]byte("state")); err != nil {
		t.Fatal(err)
	}
	if got := first.legs[0].Cookie(); string(got) != "state" {
		t.Errorf("what was set is %q", got)
	}
	r.w.RunFor(time.Second)
	second.slow = time.Minute // its server is never connected
	first.die(true)
	r.until("the second one connects", func() bool { return len(second.legs) == 1 })
	if got := second.legs[0].Cookie(); string(got) != "state" || string(second.told) != "state" {
		t.Errorf("the next element has %q, and was told %q", got, second.told)
	}
	r.close()
}

// What cannot be set says why.
func TestSetCookieErrors(t *testing.T) {
	r := newRig(t, options{elements: 1})
	r.stations[0].e.c.Cookies = CookieRule{Key: make([]byte, LeastCookieKey-1)}
	c := r.client()
	c.asks(1)
	leg := r.stations[0].legs[0]
	if err := leg.SetCookie([]byte("x")); !errors.Is(err, ErrCookieKey) || !strings.Contains(err.Error(), "cookie_key_file") {
		t.Errorf("without a key: %v", err)
	}
	r.stations[0].e.c.Cookies = keyed(1)
	if err := leg.SetCookie(make([]byte, MaxCookie+1)); !errors.Is(err, ErrCookieLong) {
		t.Errorf("too long: %v", err)
	}
	if err := leg.SetCookie(make([]byte, MaxCookie)); err != nil {
		t.Errorf("the longest: %v", err)
	}
	r.w.RunFor(time.Second)
	if n := c.session.Info().Cookie; n != maxSealed {
		t.Errorf("the pool user keeps %d bytes", n)
	}
	c.breaks()
	r.until("the leg is over", func() bool { return leg.over })
	if err := leg.SetCookie([]byte("x")); !errors.Is(err, ErrLegOver) {
		t.Errorf("of a leg that is over: %v", err)
	}
	r.close()
}

// The bytes that stand in docs/protocol.md. The signature was made by another program.
func TestCookieBytes(t *testing.T) {
	raw, signed := CookieRule{Raw: true}, keyed('k')
	for _, g := range []struct {
		rule *CookieRule
		hex  string
	}{
		{&raw, "0b00000d 000d0009 68656c6c6f 000000"},
		{&signed, "0b00002e 000d002a 01 a15ee6bd8501f4ee30f71b41266f435933744eaca8f131ea85fa8e5176eb3dc8 68656c6c6f 0000"},
	} {
		p, err := asap.Append(nil, asap.CookieMessage{Cookie: g.rule.seal(nil, token16(0x20), []byte("hello"))})
		if err != nil || !bytes.Equal(p, unhex(t, g.hex)) {
			t.Errorf("%x, %v, not %s", p, err, g.hex)
		}
		m, _, err := asap.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := g.rule.unseal(token16(0x20), m.(asap.CookieMessage).Cookie); string(got) != "hello" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

package secure

import (
	"net/netip"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// Those who call and do not shake hands keep nobody out, however many they are, and whether they say nothing or were refused and do not hear
// it: who has been there for the longest makes place.
func TestCrowdAtTheGate(t *testing.T) {
	user, element := pair(t)
	for _, says := range []string{"", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "GET / HTTP/1.0\r\n\r\n"} {
		refused := make(map[Reason]int)
		element.Refused = func(_ netip.AddrPort, why *Refusal) { refused[why.Reason]++ }
		w := looptest.NewWorld(1)
		here, there := w.Host("here"), w.Host("there")
		l, err := element.Listen(there, there.Addr(1), limits, func(a mapping.Association) mapping.Handler {
			h := newMute()
			h.a = a
			return h
		})
		if err != nil {
			t.Fatal(err)
		}
		var crowd []loop.Conn
		for range mostShaking + 200 {
			c := here.Dial(there.Addr(1), mute{})
			crowd = append(crowd, c)
			w.RunFor(time.Millisecond / 2)
			if says != "" {
				_, _ = c.Write([]byte(says)) // it may have been reset
			}
		}
		h := newMute()
		h.a = user.Dial(here, there.Addr(1), limits, h)
		if !w.RunUntil(func() bool { return h.ups > 0 }, time.Minute) {
			t.Errorf("%q: who shakes hands is kept out by those who do not", says)
		}
		if n := refused[Overload] + refused[Broken]; n < 100 || len(refused) > 2 {
			t.Errorf("%q: refused were %v", says, refused)
		}
		if n := l.(*listener).gate.Shaking(); n > mostShaking {
			t.Errorf("%q: %d shake hands", says, n)
		}
		for _, c := range crowd {
			c.Reset()
		}
		h.a.Abort()
		l.Close()
		w.RunFor(time.Minute)
		if here.Timers()+there.Timers()+here.Sockets()+there.Sockets() > 0 {
			t.Errorf("%q: left are timers %d, %d and sockets %d, %d", says, here.Timers(), there.Timers(), here.Sockets(), there.Sockets())
		}
	}
}

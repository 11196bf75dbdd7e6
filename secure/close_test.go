package secure

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// mute accepts and says nothing.
type mute struct{}

func (mute) Ready(loop.Event) {}

// A handshake that is given up, at either side and by whatever way, leaves no coroutine, no timer and no memory.
func TestGivenUp(t *testing.T) {
	user, element := pair(t)
	for name, end := range map[string]func(*looptest.World, mapping.Association, loop.Listener, loop.Conn){
		"close": func(_ *looptest.World, a mapping.Association, l loop.Listener, c loop.Conn) {
			a.Close()
			c.Close()
			l.Close()
		},
		"abort": func(_ *looptest.World, a mapping.Association, l loop.Listener, c loop.Conn) {
			a.Abort()
			c.Reset()
			l.Close()
		},
		"late": func(w *looptest.World, _ mapping.Association, l loop.Listener, _ loop.Conn) {
			w.RunFor(time.Minute)
			l.Close()
		},
		"listener first": func(_ *looptest.World, a mapping.Association, l loop.Listener, c loop.Conn) {
			l.Close()
			a.Close()
			c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := looptest.NewWorld(1)
			here, there := w.Host("here"), w.Host("there")
			if _, err := there.Listen(there.Addr(1), func(loop.Conn) loop.Handler { return mute{} }); err != nil {
				t.Fatal(err)
			}
			l, err := element.Listen(there, there.Addr(2), limits, func(mapping.Association) mapping.Handler { t.Error("let in"); return nil })
			if err != nil {
				t.Fatal(err)
			}
			h := newHearer()
			h.a = user.Dial(here, there.Addr(1), limits, h)
			stranger := here.Dial(there.Addr(2), mute{})
			w.RunFor(time.Second)
			if n := handshakesUnderWay(); n != 2 {
				t.Errorf("%d handshakes are under way to be given up", n)
			}
			end(w, h.a, l, stranger)
			w.RunFor(time.Minute)
			if n := handshakesUnderWay(); n > 0 {
				t.Errorf("%d handshakes are still under way", n)
			}
			if n, m := here.Timers()+there.Timers(), w.Leaks(); n+m > 0 {
				t.Errorf("%d timers, %d bytes are left", n, m)
			}
		})
	}
}

// handshakesUnderWay counts the coroutines that handshakes are. Other goroutines of the process come and go as they like.
func handshakesUnderWay() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "[coroutine")
}

// FIN without close_notify is no end in peace: it may be anybody's. Neither it nor a reset counts as a refusal when the handshake is long over.
func TestEndInTheMiddle(t *testing.T) {
	user, element := pair(t)
	user.Refused = func(_ netip.AddrPort, why *Refusal) { t.Error(why) }
	w := looptest.NewWorld(1)
	here, there := w.Host("here"), w.Host("there")
	accepted := newHearer()
	if _, err := element.Listen(there, there.Addr(1), limits, func(a mapping.Association) mapping.Handler { accepted.a = a; return accepted }); err != nil {
		t.Fatal(err)
	}
	h := newHearer()
	h.a = user.Dial(here, there.Addr(1), limits, h)
	if !w.RunUntil(func() bool { return len(h.up) == 1 }, time.Minute) {
		t.Fatal("not up")
	}
	there.Kill() // a FIN, since nothing is unread
	if !w.RunUntil(func() bool { return len(h.down) == 1 }, time.Minute) {
		t.Fatal("not down")
	}
	if err := <-h.down; !errors.Is(err, loop.ErrReset) || !strings.Contains(err.Error(), "without saying so") {
		t.Errorf("Down(%v)", err)
	}
}

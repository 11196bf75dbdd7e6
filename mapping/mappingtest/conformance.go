package mappingtest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// beats are the heartbeats of most tests: slow enough never to be missed by a busy machine.
var beats = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: 5 * time.Second, Misses: 3}, DialTimeout: patience}

// Conformance tests that a mapping keeps the promises of package mapping. What f's Env cannot do is skipped.
func Conformance(t *testing.T, f Factory) {
	tests := []struct {
		name string
		run  func(*fixture)
	}{
		{"Delivery", testDelivery},
		{"SizesFromBuffers", testSizes},
		{"BeforeUp", testBeforeUp},
		{"Refusals", testRefusals},
		{"Backpressure", testBackpressure},
		{"Retrieve", testRetrieve},
		{"RetrieveNothing", testRetrieveNothing},
		{"CloseFlushes", testCloseFlushes},
		{"Abort", testAbort},
		{"EndInReceive", testEndInReceive},
		{"PeerSilent", testPeerSilent},
		{"SilentWhileSending", testSilentWhileSending},
		{"IdleLives", testIdleLives},
		{"Cut", testCut},
		{"Garbage", testGarbage},
		{"Stranger", testStranger},
		{"NobodyListens", testNobodyListens},
		{"NotAccepted", testNotAccepted},
		{"TwoAnswering", testTwoAnswering},
		{"Paused", testPaused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := &fixture{T: t, Env: f(t)}
			t.Cleanup(x.stop)
			tt.run(x)
		})
	}
}

// fixture is one test: its Env, a listener, and the associations made.
type fixture struct {
	*testing.T
	*Env
	listener loop.Listener
	at       netip.AddrPort // where the listener is
	accepted []*Recorder    // element's goroutine only
	dialled  []*Recorder    // user's goroutine only
}

func (x *fixture) stop() {
	x.User.Do(func() {
		for _, r := range x.dialled {
			r.Association.Abort()
		}
	})
	x.Element.Do(func() {
		if x.listener != nil {
			x.listener.Close()
		}
		for _, r := range x.accepted {
			r.Association.Abort()
		}
	})
}

// listen starts the listener. accepted is called, if not nil, with each Recorder.
func (x *fixture) listen(c mapping.Config, accepted func(*Recorder)) {
	x.Helper()
	var err error
	x.Element.Do(func() {
		x.listener, err = x.Acceptor.Listen(x.Element.Loop, x.At, c, func(a mapping.Association) mapping.Handler {
			r := &Recorder{Association: a, t: x.T, loop: x.Element.Loop, name: "element"}
			x.accepted = append(x.accepted, r)
			if accepted != nil {
				accepted(r)
			}
			return r
		})
		if err == nil {
			x.at = x.listener.Addr()
		}
	})
	if err != nil {
		x.Fatal(err)
	}
}

// dial begins an association and sends it first at once.
func (x *fixture) dial(to netip.AddrPort, c mapping.Config, first ...mapping.Message) *Recorder {
	r := &Recorder{t: x.T, loop: x.User.Loop, name: "user"}
	x.User.Do(func() {
		r.Association = x.Dialer.Dial(x.User.Loop, to, c, r)
		x.dialled = append(x.dialled, r)
		for _, m := range first {
			x.send(r, m)
		}
	})
	return r
}

// pair returns both ends of an association that is up.
func (x *fixture) pair(c mapping.Config) (user, element *Recorder) {
	x.Helper()
	if x.listener == nil {
		x.listen(c, nil)
	}
	before := 0
	x.Element.Do(func() { before = len(x.accepted) })
	user = x.dial(x.at, c)
	x.await(x.User, "the user's Up", func() bool { return user.Ups == 1 })
	x.await(x.Element, "the element's Up", func() bool {
		if len(x.accepted) > before {
			element = x.accepted[before]
		}
		return element != nil && element.Ups == 1
	})
	return user, element
}

func (x *fixture) await(s *Side, what string, done func() bool) {
	x.Helper()
	if !s.Await(done, patience) {
		x.Fatalf("waited %v in vain for %s", patience, what)
	}
}

// pass lets d of the loop's time go by and calls f, if not nil, every millisecond of it.
func (x *fixture) pass(s *Side, d time.Duration, f func()) {
	x.Helper()
	const step = time.Millisecond
	over := false
	tick := &loop.Timer{}
	s.Do(func() {
		end := s.Loop.Now().Add(d)
		tick.Func = func() {
			if f != nil {
				f()
			}
			if over = !s.Loop.Now().Before(end); !over {
				s.Loop.Schedule(tick, s.Loop.Now().Add(step))
			}
		}
		s.Loop.Schedule(tick, s.Loop.Now().Add(step))
	})
	x.await(s, "time to pass", func() bool { return over })
}

// send sends on the goroutine of the association; an error fails the test.
func (x *fixture) send(r *Recorder, m mapping.Message) {
	if err := r.Association.Send(m, nil); err != nil {
		x.Errorf("send: %v", err)
	}
}

func (x *fixture) need(can bool, what string) {
	if !can {
		x.Skipf("%s is not possible here", what)
	}
}

// left is all that an association retrieves, unacknowledged before unsent.
func left(r *Recorder) []uint64 {
	all := r.Association.Retrieve()
	return slices.Concat(all.Unacknowledged, all.Unsent)
}

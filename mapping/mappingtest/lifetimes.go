package mappingtest

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// Lifetimes tests a mapping that can deliver messages out of order, give them up, and pause reading: the peer does not read until the
// lifetime of some messages is over; those never come, and are not retrieved either; all others do, unordered ones marked as such.
func Lifetimes(t *testing.T, f Factory) {
	x := &fixture{T: t, Env: f(t)}
	t.Cleanup(x.stop)
	user, element := x.pair(beats)
	x.User.Do(func() { x.send(user, mapping.Message{Data: []byte("first")}) })
	x.await(x.Element, "the first message", func() bool { return len(element.Messages) == 1 })
	x.Element.Do(element.Association.(mapping.Pauser).Pause)

	const lifetime = 50 * time.Millisecond
	filler := make([]byte, 64<<10)
	ordinary := 0
	for waiting := 0; waiting < 1<<20 && !x.Failed(); { // more than both kernels hold: the rest waits with us
		x.User.Do(func() {
			x.send(user, mapping.Message{Stream: 1, Data: filler, Context: 1})
			ordinary++
		})
		x.pass(x.User, time.Millisecond, nil)
		x.User.Do(func() { waiting = user.Association.Queued() })
	}
	x.User.Do(func() {
		x.send(user, mapping.Message{Stream: 2, Data: []byte("late"), Context: 2, Lifetime: lifetime})
		x.send(user, mapping.Message{Stream: 2, Data: []byte("in time"), Context: 3, Lifetime: time.Hour})
		x.send(user, mapping.Message{Stream: 2, Data: []byte("unordered"), Context: 4, Unordered: true})
	})
	x.pass(x.User, 2*lifetime, nil)
	x.Element.Do(element.Association.(mapping.Pauser).Resume)
	x.await(x.Element, "all but the late message", func() bool { return len(element.Messages) >= 1+ordinary+2 })
	x.pass(x.Element, lifetime, nil)
	x.Element.Do(func() {
		if n := len(element.Messages) - 1 - ordinary; n != 2 {
			t.Errorf("%d short messages came, not 2", n)
		}
		for _, m := range element.Messages[1:] {
			if m.Stream == 2 && m.Unordered != (string(m.Data) == "unordered") || string(m.Data) == "late" {
				t.Errorf("%q came, unordered: %v", m.Data, m.Unordered)
			}
		}
	})
}

package mappingtest

import (
	"errors"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// testPaused: nothing is handed over until Resume, then everything; and that the peer has aborted the association is heard while paused.
func testPaused(x *fixture) {
	user, element := x.pair(beats)
	_, can := element.Association.(mapping.Pauser)
	x.need(can, "pausing")
	const count = 20
	send := func() {
		for i := range count {
			x.send(user, sample(i))
		}
	}
	pause := func() { element.Association.(mapping.Pauser).Pause() }
	x.Element.Do(pause)
	x.User.Do(send)
	x.pass(x.Element, 50*time.Millisecond, nil)
	x.Element.Do(func() {
		if len(element.Messages) > 0 {
			x.Errorf("%d messages were handed over while paused", len(element.Messages))
		}
		element.OnReceive = func(mapping.Message) { pause() } // one at a time
	})
	for i := range count {
		x.Element.Do(func() { element.Association.(mapping.Pauser).Resume() })
		x.await(x.Element, "the next message", func() bool { return len(element.Messages) == i+1 })
	}
	x.Element.Do(func() {
		element.OnReceive = nil
		for i, m := range element.Messages {
			if !same(m, sample(i)) {
				x.Errorf("message %d is not what was sent", i)
			}
		}
	})
	x.User.Do(send)
	x.pass(x.User, 50*time.Millisecond, nil)
	x.User.Do(func() { user.Abort() })
	x.await(x.Element, "Down", element.down)
	if !errors.Is(element.Err, loop.ErrReset) {
		x.Errorf("Down(%v)", element.Err)
	}
}

package mappingtest

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// Pauses tests a mapping whose reading can be paused: while it is, no message is handed over, and the sender has to wait in the end;
// afterwards every one comes, in order. That the peer has ended the association is told behind them.
func Pauses(t *testing.T, f Factory) {
	x := &fixture{T: t, Env: f(t)}
	t.Cleanup(x.stop)
	user, element := x.pair(beats)
	pauser := element.Association.(mapping.Pauser)
	received := uint64(0)
	x.Element.Do(func() {
		element.OnReceive = func(m mapping.Message) {
			element.Messages = nil
			if n := binary.BigEndian.Uint64(m.Data); n != received {
				x.Errorf("message %d came in the place of message %d", n, received)
			}
			if received++; received%16 == 1 {
				pauser.Pause()
			}
		}
	})
	sent := uint64(0)
	more := func() {
		b := make([]byte, 64<<10)
		binary.BigEndian.PutUint64(b, sent)
		x.send(user, mapping.Message{PPID: mapping.PPIDEnd, Data: b})
		sent++
	}
	for waiting := 0; waiting < 1<<20 && !x.Failed(); { // more than both kernels hold: the rest waits with us
		x.User.Do(more)
		x.pass(x.User, time.Millisecond, nil)
		x.User.Do(func() { waiting = user.Association.Queued() })
	}
	for pause := uint64(1); pause < sent; pause += 16 {
		x.await(x.Element, "the message that pauses", func() bool { return received >= pause })
		x.pass(x.Element, 20*time.Millisecond, nil)
		x.Element.Do(func() {
			if received != pause {
				x.Errorf("%d messages were handed over, and it has paused behind message %d", received, pause)
			}
			pauser.Resume()
		})
	}
	x.await(x.Element, "all messages", func() bool { return received == sent })
	x.Element.Do(pauser.Pause)
	x.User.Do(func() {
		more()
		user.Association.Close()
	})
	x.pass(x.Element, 20*time.Millisecond, nil)
	x.Element.Do(func() {
		if received == sent || element.Err != nil {
			x.Errorf("%d of %d messages, and then %v, though it has paused", received, sent, element.Err)
		}
		pauser.Resume()
	})
	x.await(x.Element, "the end", func() bool { return element.Err != nil })
	if received != sent || !errors.Is(element.Err, io.EOF) {
		x.Errorf("%d of %d messages came, then: %v", received, sent, element.Err)
	}
}

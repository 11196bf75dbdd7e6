package mappingtest

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// Acknowledged tests that a mapping knows of messages that were acknowledged although nothing is said behind them: they are not retrieved
// any more while the association goes on, neither the only one nor the last ones of many, nor those that are sent while it is paused.
func Acknowledged(t *testing.T, f Factory) {
	x := &fixture{T: t, Env: f(t)}
	t.Cleanup(x.stop)
	user, element := x.pair(mapping.Config{Heartbeat: mapping.Heartbeat{Interval: time.Minute, Misses: 3}, DialTimeout: patience})
	received := 0
	x.Element.Do(func() { element.OnReceive = func(mapping.Message) { element.Messages = nil; received++ } })
	sent := 0
	for i, n := range []int{1, 1, 100, 1, 1, 100} {
		x.User.Do(func() {
			if i == 4 {
				user.Association.(mapping.Pauser).Pause()
			}
			for range n {
				x.send(user, mapping.Message{PPID: mapping.PPIDEnd, Data: pattern(5000, sent), Context: uint64(sent)})
				sent++
			}
		})
		x.await(x.Element, "the messages", func() bool { return received == sent })
		x.await(x.User, "acknowledgement", func() bool { return len(left(user)) == 0 })
	}
}

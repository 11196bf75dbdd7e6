package mappingtest

import (
	"errors"
	"testing"

	"github.com/poolproxy/poolproxy/mapping"
)

// Strangers has peers that break the rules, each with messages of its own, dial by the stranger's mapping, which knows no rules. Each must be
// given up with ErrProtocol and see the association end, and an honest neighbour must not notice.
func Strangers(t *testing.T, f Factory, stranger mapping.Dialer, says map[string][]mapping.Message) {
	x := &fixture{T: t, Env: f(t)}
	t.Cleanup(x.stop)
	user, element := x.pair(beats)
	x.Dialer = stranger
	for name, messages := range says {
		t.Run(name, func(t *testing.T) {
			x.T = t
			before := 0
			x.Element.Do(func() { before = len(x.accepted) })
			r := x.dial(x.at, beats, messages...)
			x.await(x.Element, "Down", func() bool { return len(x.accepted) > before && x.accepted[before].down() })
			if err := x.accepted[before].Err; !errors.Is(err, mapping.ErrProtocol) {
				t.Errorf("Down(%v)", err)
			}
			x.await(x.User, "the stranger's Down", r.down)
		})
	}
	x.T = t
	x.User.Do(func() { x.send(user, mapping.Message{Data: []byte("unharmed")}) })
	x.await(x.Element, "a message", func() bool { return len(element.Messages) == 1 })
}

package mapping

import (
	"errors"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
)

// listening is a Handler that counts messages.
type listening struct {
	up       bool
	messages int
	down     error
}

func (h *listening) Up()             { h.up = true }
func (h *listening) Receive(Message) { h.messages++ }
func (h *listening) Drained()        {}
func (h *listening) Down(err error)  { h.down = err }

// A process that stood still for longer than a peer waits takes nothing of what that has sent meanwhile, if the peer has begun the
// association; the one that has begun it knows what it wants, and goes on.
func TestStoodStill(t *testing.T) {
	for name, still := range map[string]struct {
		accepted bool
		pause    time.Duration
		takes    bool
	}{
		"accepted, too long":     {true, 4100 * time.Millisecond, false},
		"accepted, short enough": {true, 2900 * time.Millisecond, true},
		"dialled":                {false, 5 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := looptest.NewWorld(1)
			user, element := w.Host("user"), w.Host("element")
			var here, there listening
			var accepted Association
			// Who does not stand still is patient, so that it is the other that has to notice.
			patient := Config{Heartbeat: Heartbeat{Interval: 10 * time.Second, Misses: 3}}
			strict := Config{Heartbeat: beats}
			mine, theirs := patient, strict
			if !still.accepted {
				mine, theirs = strict, patient
			}
			if _, err := (TCPMapping{}).Listen(element, element.Addr(1), theirs, func(a Association) Handler {
				accepted = a
				return &there
			}); err != nil {
				t.Fatal(err)
			}
			dialled := TCPMapping{}.Dial(user, element.Addr(1), mine, &here)
			if !w.RunUntil(func() bool { return here.up && there.up }, time.Second) {
				t.Fatal("not up")
			}
			from, to, host := dialled, &there, element
			if !still.accepted {
				from, to, host = accepted, &here, user
			}
			w.RunFor(100 * time.Millisecond)
			host.Freeze()
			if err := from.Send(Message{Stream: 1, PPID: PPIDEnd, Data: []byte("x")}, nil); err != nil {
				t.Fatal(err)
			}
			w.RunFor(still.pause)
			host.Thaw()
			w.RunFor(100 * time.Millisecond)
			if took := to.messages == 1; took != still.takes || took == errors.Is(to.down, ErrSilent) {
				t.Errorf("%d messages were taken, down: %v", to.messages, to.down)
			}
		})
	}
}

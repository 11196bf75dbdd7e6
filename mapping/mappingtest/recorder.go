package mappingtest

import (
	"bytes"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// Recorder is a mapping.Handler that writes down what it hears, and complains about calls that must not come.
type Recorder struct {
	Association mapping.Association
	Messages    []mapping.Message // with Data of their own
	Ups, Drains int
	Err         error     // of Down
	DownAt      time.Time // on the loop's clock

	// OnReceive, if set, is called for each message after it was recorded.
	OnReceive func(mapping.Message)

	// OnDrained, if set, is called for each Drained.
	OnDrained func()

	t    *testing.T
	loop loop.Loop
	name string
	over string // why nothing more may be heard
}

func (r *Recorder) heard(what string) {
	if r.over != "" {
		r.t.Errorf("%s: %s after %s", r.name, what, r.over)
	}
}

// Up implements mapping.Handler.
func (r *Recorder) Up() {
	r.heard("Up")
	if r.Ups++; r.Ups > 1 {
		r.t.Errorf("%s: Up for the second time", r.name)
	}
}

// Receive implements mapping.Handler.
func (r *Recorder) Receive(m mapping.Message) {
	r.heard("Receive")
	if r.Ups == 0 {
		r.t.Errorf("%s: Receive before Up", r.name)
	}
	m.Data = bytes.Clone(m.Data)
	r.Messages = append(r.Messages, m)
	if r.OnReceive != nil {
		r.OnReceive(m)
	}
}

// Drained implements mapping.Handler.
func (r *Recorder) Drained() {
	r.heard("Drained")
	r.Drains++
	if queued := r.Association.Queued(); queued >= mapping.LowWater {
		r.t.Errorf("%s: Drained with %d bytes queued", r.name, queued)
	}
	if r.OnDrained != nil {
		r.OnDrained()
	}
}

// Down implements mapping.Handler.
func (r *Recorder) Down(err error) {
	r.heard("Down")
	r.Err, r.DownAt, r.over = err, r.loop.Now(), "Down"
	if err == nil {
		r.t.Errorf("%s: Down without a reason", r.name)
	}
}

// Close closes the association; nothing may be heard any more.
func (r *Recorder) Close() {
	r.over = "Close"
	r.Association.Close()
}

// Abort aborts the association; nothing may be heard any more.
func (r *Recorder) Abort() {
	r.over = "Abort"
	r.Association.Abort()
}

// down reports whether Down was heard.
func (r *Recorder) down() bool { return r.Err != nil }

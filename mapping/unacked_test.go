package mapping

import (
	"errors"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
)

// swallower reads everything, and says nothing but INIT.
type swallower struct{ conn loop.Conn }

func (s *swallower) Ready(loop.Event) {
	p := make([]byte, 64<<10)
	for n, err := s.conn.Read(p); n > 0 || err == nil; n, err = s.conn.Read(p) {
	}
}

// downer notes how its association ended.
type downer struct{ err error }

func (d *downer) Up()             {}
func (d *downer) Receive(Message) {}
func (d *downer) Drained()        {}
func (d *downer) Down(err error)  { d.err = err }

// A peer that reads everything and acknowledges nothing does not make us remember every message for ever.
func TestNeverAcknowledged(t *testing.T) {
	w := looptest.NewWorld(1)
	w.BufferSize = 1 << 20
	near, far := w.Host("near"), w.Host("far")
	if _, err := far.Listen(far.Addr(1), func(c loop.Conn) loop.Handler {
		if _, err := c.Write(initChunk); err != nil {
			t.Error(err)
		}
		return &swallower{c}
	}); err != nil {
		t.Fatal(err)
	}
	d := &downer{}
	a := TCPMapping{}.Dial(near, far.Addr(1), Config{Heartbeat: Heartbeat{Interval: time.Hour, Misses: 3}, DialTimeout: time.Second}, d)
	for sent := 0; d.err == nil && sent < 2*maxUnacked; {
		for a.Queued() < LowWater {
			if err := a.Send(Message{Data: []byte("x")}, nil); err != nil {
				break
			}
			sent++
		}
		w.RunFor(10 * time.Millisecond)
	}
	if !errors.Is(d.err, ErrProtocol) {
		t.Errorf("the association ended with %v", d.err)
	}
}

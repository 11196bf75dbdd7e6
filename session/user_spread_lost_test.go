package session

import (
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
)

// mute is the end of an association that never says anything.
type mute struct{}

func (mute) Up()                     {}
func (mute) Drained()                {}
func (mute) Receive(mapping.Message) {}
func (mute) Down(error)              {}

// When all associations break, and the one that waits with their sessions does not come back, they are resumed over another one that does.
func TestSpreadOneComesBack(t *testing.T) {
	r := spreadRig(t, 1)
	s := r.stations[0]
	s.listener.Close()
	mutes := false
	var err error
	s.listener, err = mapping.TCPMapping{}.Listen(s.host, s.at(), r.association(), func(a mapping.Association) mapping.Handler {
		if !mutes {
			mutes = true
			return mute{}
		}
		return s.e.Accept(a)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.clients {
		c.says("GET 2\n", false)
	}
	r.w.Cut(r.host, s.host)
	began := r.w.Now()
	r.w.RunFor(10 * time.Millisecond)
	r.client().says("GET 1\nGET 2\n", false) // has the others begun
	r.until("all are answered again", func() bool { return r.answered("re GET 1\nre GET 2\n") })
	if took := r.w.Now().Sub(began); took > redialEvery {
		t.Errorf("it took %v", took)
	}
	if len(s.servers) != 9 {
		t.Errorf("the server has seen %d connections", len(s.servers))
	}
	r.close()
}

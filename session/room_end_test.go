package session

import (
	"testing"
	"time"
)

// A session that is told an error while it waits for room, and is about to close, is not given room any more: it would take a server for
// ever, and its client would never be closed.
func TestRoomIsNotForWhoCloses(t *testing.T) {
	r := newRig(t, options{maxLegs: 1, protocol: web()})
	s := r.stations[0]
	s.app = silent
	first := r.client()
	first.says("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false)
	r.until("one is served", func() bool { return r.serving() != nil })
	late := r.client()
	r.w.RunFor(100 * time.Millisecond)
	late.says("nonsense\r\n\r\n", false)
	r.until("it is told so", func() bool { return late.finished })
	if n := r.user.room.len(); n != 0 {
		t.Errorf("%d in line", n)
	}
	first.breaks()
	r.w.RunFor(time.Second)
	if n := len(s.servers); n != 1 {
		t.Errorf("%d servers, one was needed", n)
	}
	late.room = -1
	r.until("its client is closed", func() bool { return late.closed || late.reset })
	r.w.RunFor(time.Minute)
	if live, held := s.e.Legs(); live+held != 0 {
		t.Errorf("%d legs and %d more are left", live, held)
	}
	r.close()
}

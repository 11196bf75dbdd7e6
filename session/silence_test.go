package session

import (
	"strings"
	"testing"
	"time"
)

// patient is a failover block that knows silence.
var patient = with(quick, func(f *Failover) { f.ReplyTimeout = 200 * time.Millisecond })

// hangs makes the server that serves the session silent, and returns it. It goes on reading, as a frozen one's kernel does.
func (r *rig) hangs(c *end) *end {
	r.t.Helper()
	r.until("a server has the request", func() bool { return r.serving() != nil && len(r.serving().got) > 0 })
	return r.serving()
}

// A server that hangs is left for another one, and what it says when it wakes reaches nobody.
func TestServerHangs(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: patient})
	r.stations[0].app = silent
	c := r.client()
	c.says("GET 1\n", false)
	began := r.w.Now()
	frozen := r.hangs(c)
	r.until("the answer of the other", func() bool { return len(c.got) > 0 })
	if waited := r.w.Now().Sub(began); waited > 250*time.Millisecond {
		t.Errorf("it took %v", waited)
	}
	if !frozen.reset {
		t.Error("the connection of the server that hangs was not reset")
	}
	r.w.RunFor(5 * time.Second)
	if string(c.got) != "re GET 1\n" || c.reset || c.closed {
		t.Errorf("the client got %q, reset %v", c.got, c.reset)
	}
	r.only(KindMoved)
	r.close()
}

// That the server has read what it answered long ago is told late (ackEvery). It says nothing of the next request, which hangs.
func TestServerHangsBehindAnAnswer(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: with(patient, func(f *Failover) { f.Ack = AckRead })})
	hanging := r.stations[0]
	hanging.app = func(e *end) {
		if e.answered == 0 {
			echo(e)
		}
	}
	hanging.e.c.Unread = func(s Socket) (int, bool) { return len(s.(*end).got) - s.(*end).answered, true }
	c := r.client()
	c.says("GET 1\n", false)
	r.until("the first answer", func() bool { return string(c.got) == "re GET 1\n" })
	c.says("GET 2\n", false)
	began := r.w.Now()
	r.until("the second answer", func() bool { return string(c.got) == "re GET 1\nre GET 2\n" })
	if waited := r.w.Now().Sub(began); waited < 200*time.Millisecond || waited > 250*time.Millisecond {
		t.Errorf("it took %v", waited)
	}
	if string(hanging.server().got) != "GET 1\nGET 2\n" {
		t.Errorf("the server that hangs has got %q", hanging.server().got)
	}
	r.only(KindMoved)
	r.close()
}

// An unsafe request at a server that hangs may still be carried out: it is not repeated, and the client is told.
func TestServerHangsUnsafe(t *testing.T) {
	r := newRig(t, options{elements: 2, failover: patient})
	for _, s := range r.stations {
		s.app = silent
	}
	c := r.client()
	c.says("PAY 1\n", false)
	r.hangs(c)
	r.w.RunFor(5 * time.Second)
	if n := len(r.stations[0].servers) + len(r.stations[1].servers); n != 1 || !c.finished {
		t.Errorf("%d servers have seen it; the client got %q, finished %v", n, c.got, c.finished)
	}
	r.close()
}

// Time does not run while nothing is due, while the server says or takes something, and while it is the client's turn.
func TestPatience(t *testing.T) {
	for name, play := range map[string]func(r *rig, c, server *end){
		"idle": func(r *rig, c, server *end) {
			server.says("a\n", false)
			r.w.RunFor(time.Minute)
		},
		"half a request": func(r *rig, c, server *end) {
			server.says("a\n", false)
			c.says("GET 2", false)
			r.w.RunFor(time.Minute)
			c.says("\n", false)
			r.w.RunFor(100 * time.Millisecond)
			server.says("b\n", false)
			r.w.RunFor(time.Second)
		},
		"byte by byte": func(r *rig, c, server *end) {
			for range 20 {
				server.says("x", false)
				r.w.RunFor(150 * time.Millisecond)
			}
			server.says("\n", false)
			r.w.RunFor(time.Second)
		},
		"client does not read": func(r *rig, c, server *end) {
			c.room = 0
			server.says(strings.Repeat("x", 1<<20), false)
			r.w.RunFor(time.Minute)
			c.reads(-1)
			r.w.RunFor(100 * time.Millisecond)
			server.says("\n", false)
			r.w.RunFor(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, failover: patient})
			for _, s := range r.stations {
				s.app = silent
			}
			c := r.client()
			c.says("GET 1\n", false)
			play(r, c, r.hangs(c))
			if c.reset || c.closed || c.finished || len(r.records) > 0 {
				t.Errorf("reset %v, closed %v, finished %v, %+v", c.reset, c.closed, c.finished, r.records)
			}
			r.close()
		})
	}
}

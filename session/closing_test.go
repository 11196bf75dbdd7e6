package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Each end arrives at the other side as what it is, in whatever order the ends come.
func TestHalfCloseOrders(t *testing.T) {
	opaque := protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	for name, play := range map[string]func(r *rig, c, server *end){
		"client first": func(r *rig, c, server *end) {
			c.says("up", true)
			r.until("the server has seen the end", func() bool { return server.finished })
			r.w.RunFor(5 * time.Second) // a half-closed session may live for long
			if c.finished || c.closed {
				r.t.Error("the client was closed, too")
			}
			server.says("down", true)
		},
		"server first": func(r *rig, c, server *end) {
			server.says("down", true)
			r.until("the client has seen the end", func() bool { return c.finished })
			r.w.RunFor(5 * time.Second)
			if server.finished || server.closed {
				r.t.Error("the server was closed, too")
			}
			c.says("up", true)
		},
		"both at once": func(_ *rig, c, server *end) {
			server.says("down", true)
			c.says("up", true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{protocol: opaque})
			r.stations[0].app = silent
			c := r.client()
			r.until("it is open", func() bool { return r.serving() != nil && c.session.leg.open })
			server := r.serving()
			play(r, c, server)
			r.until("both are closed", func() bool { return c.closed && server.closed })
			if string(c.got) != "down" || string(server.got) != "up" || !server.finished || c.reset || server.reset {
				t.Errorf("client %q, server %q, %+v, %+v", c.got, server.got, c, server)
			}
			r.w.RunFor(time.Second)
			if live, held := r.stations[0].e.Legs(); live+held+r.user.Count()+len(r.records) > 0 {
				t.Errorf("%d and %d legs, %d sessions, %d records are left", live, held, r.user.Count(), len(r.records))
			}
			r.close()
		})
	}
}

// A client that says all at once and is closed before the server was even connected is served all the same.
func TestEndBeforeOpen(t *testing.T) {
	r := newRig(t, options{})
	r.stations[0].slow = time.Second
	c := r.client()
	c.says("GET 1\n", true)
	r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
	server := r.serving()
	r.until("the server has seen the end", func() bool { return server.finished })
	server.says("", true)
	r.until("all is closed", func() bool { return c.closed && server.closed })
	r.close()
}

func TestResets(t *testing.T) {
	for name, byClient := range map[string]bool{"by the client": true, "by the server": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{})
			c := r.client()
			c.says("GET 1\n", false)
			r.until("it is answered", func() bool { return len(c.got) > 0 })
			server, began := r.serving(), r.w.Now()
			if byClient {
				c.breaks()
			} else {
				server.breaks()
			}
			r.until("both are reset", func() bool { return byClient && server.reset || !byClient && c.reset })
			if took := r.w.Now().Sub(began); took > 100*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			r.w.RunFor(time.Second)
			if n := r.stations[0].e; len(n.legs) > 0 || r.user.Count() > 0 || len(r.records) > 0 {
				t.Errorf("%d legs, %d sessions, records %v", len(n.legs), r.user.Count(), r.records)
			}
			r.close()
		})
	}
}

// Streams are used again once both sides have said their last: many short sessions need few of them.
func TestStreamsUsedAgain(t *testing.T) {
	r := newRig(t, options{})
	for i := range 300 {
		c := r.client()
		c.says("GET 1\n", i%2 == 0)
		r.until("it is answered", func() bool { return len(c.got) > 0 })
		if i%2 == 0 {
			r.serving().says("", true)
		} else {
			c.breaks()
		}
		r.until("it is over", func() bool { return c.closed || c.reset })
	}
	r.w.RunFor(time.Second)
	l := r.user.links["element1"][0]
	if l.streams.live != 0 || l.streams.next > 4 {
		t.Errorf("%d streams are in use, %d were", l.streams.live, l.streams.next)
	}
	for far := range r.stations[0].e.links {
		if far.streams.live != 0 {
			t.Errorf("at the element %d streams are in use", far.streams.live)
		}
	}
	r.close()
}

// A stream on which one side has yet to say its last is not used again.
func TestStreamWaitsForBothLasts(t *testing.T) {
	r := newRig(t, options{})
	r.w.Delay(r.host, r.stations[0].host, 50*time.Millisecond, 50*time.Millisecond)
	first := r.client()
	first.says("GET 1\n", false)
	r.until("it is answered", func() bool { return len(first.got) > 0 })
	stream := first.session.leg.stream
	first.breaks()
	r.until("it is over", func() bool { return first.session.done })
	second := r.client()
	if g := second.session.leg; g.stream == stream {
		t.Error("the stream is used while the element's last message is under way")
	}
	r.w.RunFor(time.Second)
	third := r.client()
	if g := third.session.leg; g.stream != stream {
		t.Errorf("stream %d is not used again, %d is taken", stream, g.stream)
	}
	r.close()
}

// fillStreams takes all streams of the user's association with the station.
func (r *rig) fillStreams(name string) {
	l := r.user.links[name][0]
	for {
		if _, ok := l.streams.add(&userLeg{over: true}); !ok {
			return
		}
	}
}

// When every stream of an association is taken, sessions go elsewhere; where there is nothing else they wait, up to the deadline.
func TestAllStreamsTaken(t *testing.T) {
	for elements, want := range map[int]string{1: "ERR sorry\n", 2: "re GET 1\n"} {
		r := newRig(t, options{elements: elements, priority: true,
			failover: Failover{Replay: ReplayUnacked, Resume: time.Second, Deadline: 3 * time.Second, Attempts: 3}})
		first := r.client()
		first.says("GET 0\n", false)
		r.until("it is answered", func() bool { return len(first.got) > 0 })
		r.fillStreams("element1")
		c := r.client()
		c.says("GET 1\n", false)
		r.until("there is an answer", func() bool { return strings.HasSuffix(string(c.got), "\n") })
		if string(c.got) != want {
			t.Errorf("with %d elements the answer is %q", elements, c.got)
		}
		first.says("GET 2\n", false)
		r.until("the first session is not harmed", func() bool { return strings.HasSuffix(string(first.got), "re GET 2\n") })
		r.close()
	}
}

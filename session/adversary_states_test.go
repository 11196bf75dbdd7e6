package session

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// slowCallback answers after a while.
type slowCallback struct {
	r        *rig
	reaction Reaction
	moments  []Moment
}

func (c *slowCallback) Call(at Moment, answer func(Reaction, error)) {
	c.moments = append(c.moments, at)
	c.r.w.After(20*time.Millisecond, func() { answer(c.reaction, nil) })
}

// A state that was set by a message without a reply is not set ahead of messages that came before it.
func TestStateOfOneWay(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyNone, Safe: []*regexp.Regexp{re(".")},
		States: []protocol.StateRule{{Name: "db", Match: re("^USE")}}})
	r := newRig(t, options{elements: 2, priority: true, protocol: p, failover: with(quick, func(f *Failover) { f.Ack = AckDelivered })})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	c.says("USE 1\n", false)
	r.w.RunFor(time.Second)
	r.stations[0].server().room = 0
	c.says("PUT a\nUSE 2\nPUT b\n", false)
	r.w.RunFor(time.Second)
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	if got := string(r.stations[1].server().got); got != "USE 1\nPUT a\nUSE 2\nPUT b\n" {
		t.Errorf("the next server got %q", got)
	}
	r.stations[1].die(true)
	r.stations[0].gone = false
	r.w.RunFor(3 * time.Second)
	if got := string(r.stations[0].server().got); got != "USE 2\n" {
		t.Errorf("the one behind it got %q", got)
	}
	r.close()
}

// The server's greeting is the client's also when it comes while a callback is still asked.
func TestGreetingBeforeCallback(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{Greeting: re("^220 ")})
	r := newRig(t, options{elements: 2, priority: true, protocol: p, failover: quick})
	r.user.c.Callbacks = []Callback{&slowCallback{r: r}}
	greet := func(s *station) {
		r.until("a server", func() bool { return s.server() != nil && !s.server().closed && !s.server().reset })
		s.server().says("220-hi\n220 "+s.name+"\n", false)
	}
	c := r.client()
	greet(r.stations[0])
	r.w.RunFor(time.Second)
	c.says("x\n", false)
	r.until("served", func() bool { return string(c.got) == "220-hi\n220 element1\nre x\n" })
	r.stations[0].die(true)
	greet(r.stations[1])
	r.w.RunFor(time.Second)
	c.says("y\n", false)
	r.until("served", func() bool { return string(c.got) == "220-hi\n220 element1\nre x\nre y\n" })
	if len(r.records) != 1 {
		t.Errorf("%d failovers", len(r.records))
	}
	r.close()
}

// The silence of a new server counts from its first request on, also when the leg began with a callback.
func TestSilenceBehindCallback(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: patient})
	r.user.c.Callbacks = []Callback{&slowCallback{r: r}}
	r.stations[0].app = silent
	c := r.client()
	c.says("GET 1\n", false)
	began := r.w.Now()
	r.until("answered", func() bool { return len(c.got) > 0 })
	if took := r.w.Now().Sub(began); took > 300*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	r.close()
}

// A reply that ends with the connection is not complete if a part of it came too late and was dropped.
func TestCloseBehindGiveUp(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: web(), failover: patient})
	r.stations[0].app = silent
	c := r.client()
	c.says(getRequest, false)
	server := r.hangs(c)
	server.says("HTTP/1.0 200 OK\r\n\r\nfirst ", false)
	r.until("the beginning", func() bool { return strings.HasSuffix(string(c.got), "first ") })
	r.until("it is given up", func() bool { return c.session.leg == nil || c.session.leg.gaveUp != "" })
	server.says("second", true)
	r.w.RunFor(10 * time.Second)
	if c.finished && !c.reset {
		t.Errorf("the client got %q as a whole", c.got)
	}
	r.close()
}

// What a server is told of logins, and what it says to that, is in no record and no log.
func TestLoginsAreNotTold(t *testing.T) {
	p := lineProtocol(t, protocol.LineConfig{States: []protocol.StateRule{{Name: "login", Match: re("^LOGIN"), Expect: re("^re")}}})
	for name, reaction := range map[string]Reaction{
		"not a whole request": {Send: []byte("LOGIN hunter2")},
		"refused":             {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, protocol: p, failover: quick})
			if reaction.Send == nil {
				r.stations[1].app = func(e *end) { e.says(fmt.Sprintf("ERR unknown command %q\n", e.got), false) }
			}
			c := r.client()
			c.says("LOGIN hunter2\n", false)
			r.until("answered", func() bool { return len(c.got) > 0 })
			r.user.c.Callbacks = []Callback{&slowCallback{r: r, reaction: reaction}}
			r.stations[0].die(true)
			r.w.RunFor(time.Second)
			c.says("x\n", false)
			r.w.RunFor(10 * time.Second)
			all := fmt.Sprintf("%+v %q", r.records, r.logs)
			if strings.Contains(all, "hunter2") || !strings.Contains(all, "session not restored") {
				t.Errorf("told: %s", all)
			}
			r.close()
		})
	}
}

// A leg that was resumed once has a fence of its own when it fails later.
func TestFenceOfResumedLeg(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, beat: mapping.Heartbeat{Interval: 250 * time.Millisecond, Misses: 3},
		failover: with(patient, func(f *Failover) {
			f.Unsafe, f.Fence, f.Deadline, f.ReplyTimeout = UnsafeReplay, 2*time.Second, 20*time.Second, 200*time.Millisecond
		})})
	r.stations[0].app = silent
	c := r.client()
	r.until("open", func() bool { return c.session.leg.open })
	r.cut(r.stations[0])
	r.w.RunFor(30 * time.Second)
	c.says("PAY 1\n", false)
	r.until("it has come", func() bool { return len(r.serving().got) > 0 })
	r.until("given up", func() bool { return c.session.leg == nil || c.session.leg.gaveUp != "" })
	if c.session.leg != nil {
		c.session.leg.violate("a lie of the element's")
	}
	broke := r.w.Now()
	r.until("answered by another", func() bool { return len(c.got) > 0 })
	if took := r.w.Now().Sub(broke); took < 2*time.Second {
		t.Errorf("an unsafe request was repeated after %v, without a fence", took)
	}
	r.close()
}

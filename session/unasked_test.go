package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// What a server says of itself while a callback is being asked is the client's, where it does not belong to requests, and nothing of
// it is torn.
func TestSpeaksWhileACallbackIsAsked(t *testing.T) {
	const push = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
	for name, c := range map[string]struct {
		protocol protocol.Protocol
		says     []string // one each 10 ms; the callback answers behind the first
	}{
		"stream":         {protocol.NewStream(protocol.StreamConfig{}), []string{"220 hel", "lo\n"}},
		"lines":          {lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream}), []string{"tick 1\ntick", " 2\n"}},
		"lines, unasked": {lines(t), []string{"220 hello\n", "and more\n"}},
		"a push, cut":    {redisLike(), []string{push[:20], push[20:] + push}},
	} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			r = newRig(t, options{failover: quick, protocol: c.protocol, callbacks: []Callback{callback(func(_ Moment, answer func(Reaction, error)) {
				r.w.After(15*time.Millisecond, func() { answer(Reaction{}, nil) })
			})}})
			s := r.stations[0]
			s.app = silent
			client := r.client()
			client.says("GET 1\r\n", false)
			for _, text := range c.says {
				r.w.RunFor(10 * time.Millisecond)
				s.server().says(text, false)
			}
			client.sometime(strings.Join(c.says, ""))
			if got := string(s.server().got); got != "GET 1\r\n" || len(s.servers) != 1 {
				t.Errorf("the server got %q", got)
			}
			r.close()
		})
	}
}

// Where replies do not belong to requests a server may speak at any time, also behind a failure.
func TestLinesByThemselvesBehindAFailure(t *testing.T) {
	var r *rig
	connected := false
	r = newRig(t, options{elements: 2, priority: true, failover: quick, protocol: lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream}),
		callbacks: []Callback{onFailover(func(_ Moment, answer func(Reaction, error)) {
			if !connected {
				t.Error("a callback was asked before the server was connected")
			}
			r.w.After(50*time.Millisecond, func() { answer(Reaction{}, nil) })
		})}})
	r.stations[0].greeting, r.stations[1].greeting = "tick 1\n", "tick 2\n"
	c := r.client()
	c.sometime("tick 1\n")
	r.stations[1].slow = 50 * time.Millisecond
	r.w.After(50*time.Millisecond, func() { connected = true })
	r.stations[0].die(true)
	c.sometime("tick 1\ntick 2\n")
	if n := len(r.stations[1].servers); n != 1 {
		t.Errorf("%d connections", n)
	}
	r.close()
}

// A push that is cut while a callback is asked, behind a failure that has cut a reply: the client gets the reply, then the push.
func TestPushWithinTheBeginning(t *testing.T) {
	const push = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
	var r *rig
	r = newRig(t, options{elements: 2, priority: true, failover: quick, protocol: redisLike(),
		callbacks: []Callback{onFailover(func(_ Moment, answer func(Reaction, error)) {
			r.w.After(15*time.Millisecond, func() { answer(Reaction{}, nil) })
		})}})
	r.stations[0].app = silent
	r.stations[1].greeting = push[:20]
	r.stations[1].app = func(e *end) { e.says("$5\r\nhello\r\n", false) }
	c := r.client()
	c.says("GET a\r\n", false)
	r.stations[0].has("GET a\r\n").says("$5\r\nhe", false)
	c.sometime("$5\r\nhe")
	r.stations[0].die(true)
	r.w.RunFor(50 * time.Millisecond)
	r.stations[1].server().says(push[20:], false)
	c.sometime("$5\r\nhello\r\n" + push)
	r.close()
}

// On a leg behind a failure nothing tells whose that would be.
func TestSpeaksUnaskedBehindAFailure(t *testing.T) {
	var r *rig
	o := options{elements: 3, callbacks: []Callback{onFailover(func(_ Moment, answer func(Reaction, error)) {
		r.w.After(50*time.Millisecond, func() { answer(Reaction{}, nil) })
	})}}
	r = newRig(t, o.login(t))
	c := r.logIn()
	r.stations[1].app = func(e *end) {
		if echo(e); e.answered == len(e.got) {
			e.says("by the way\n", false)
		}
	}
	r.stations[0].die(true)
	c.sometime(restoredTold)
	if !r.told("") || string(r.stations[2].server().got) != statesAgain+"GET 1\n" {
		t.Errorf("the third server got %q", r.stations[2].server().got)
	}
	r.close()
}

// The commands that make up for what a client may have missed are given to it between two replies, never within one.
func TestTellBetweenReplies(t *testing.T) {
	const invalidate = ">2\r\n$10\r\ninvalidate\r\n_\r\n"
	for name, part := range map[string]string{"no reply is cut": "", "a reply is cut": "$5\r\nhe"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: redisLike()})
			for _, s := range r.stations {
				s.app = func(e *end) {
					if line := string(e.got[e.answered:]); strings.HasPrefix(line, "CLIENT") {
						e.answered += strings.Index(line, "\n") + 1
						e.says("+OK\r\n", false)
					}
					if string(e.got[e.answered:]) == "GET a\r\n" && s == r.stations[1] {
						e.says("$5\r\nhello\r\n", false)
					}
				}
			}
			c := r.client()
			c.says("CLIENT TRACKING ON\r\n", false)
			c.sometime("+OK\r\n")
			c.says("GET a\r\n", false)
			r.stations[0].has("GET a\r\n").says(part, false)
			c.sometime("+OK\r\n" + part)
			r.stations[0].die(true)
			if part == "" {
				c.sometime("+OK\r\n" + invalidate + "$5\r\nhello\r\n")
			} else {
				c.sometime("+OK\r\n$5\r\nhello\r\n" + invalidate)
			}
			if x := r.records[0]; x.Restored == 0 || x.First < x.Restored {
				t.Errorf("record %+v", x)
			}
			r.close()
		})
	}
}

package session

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// continuer is a callback that continues requests which begin with GET.
type continuer struct{ callback }

func (continuer) Continues(request []byte) bool { return strings.HasPrefix(string(request), "GET") }

// Callbacks are asked for every leg, in their order, each when the one before is done; what they are told is where the session stands.
func TestCallbacksInOrder(t *testing.T) {
	var r *rig
	var moments []Moment
	var events []string
	first := callback(func(at Moment, answer func(Reaction, error)) {
		moments = append(moments, at)
		events = append(events, "first")
		r.w.After(20*time.Millisecond, func() {
			answer(Reaction{Send: []byte("ONE\nTWO\n"), Expect: func(reply []byte) error { events = append(events, string(reply)); return nil }}, nil)
		})
	})
	second := callback(func(_ Moment, answer func(Reaction, error)) {
		events = append(events, "second")
		answer(Reaction{Continue: true}, nil) // ignored: no continuer has said so
		answer(Reaction{Send: []byte("TWICE\n")}, nil)
	})
	r = newRig(t, options{callbacks: []Callback{first, second}}.login(t))
	c := r.logIn()
	r.stations[0].server().says("re", false)
	c.sometime(statesTold + "re")
	r.stations[0].die(true)
	c.sometime(restoredTold)
	if got := string(r.stations[1].server().got); got != statesAgain+"ONE\nTWO\nGET 1\n" {
		t.Errorf("the server got %q", got)
	}
	if got := fmt.Sprintf("%q", events); got != `["first" "re ONE\n" "re TWO\n" "second" "first" "re ONE\n" "re TWO\n" "second"]` {
		t.Error(got)
	}
	want := []Moment{{Session: 1, Client: "client 1", Leg: 1, Element: "element1", Address: r.stations[0].at().String(), Request: []byte("LOGIN a\n")},
		{Session: 1, Client: "client 1", Leg: 2, Failover: true, Element: "element2", Address: r.stations[1].at().String(),
			Request: []byte("GET 1\n"), ReplyBytes: 2, State: map[string]map[string]string{"login": {"user": "b"}}}}
	if !reflect.DeepEqual(moments, want) {
		t.Errorf("%+v", moments)
	}
	r.close()
}

// What a callback, or the answer to it, may do wrong: the session goes on to another element.
func TestCallbackFails(t *testing.T) {
	for name, c := range map[string]struct {
		reaction Reaction
		err      error
		says     string
	}{
		"an error":           {Reaction{}, errNot, "callback 1: not this one"},
		"another answer":     {Reaction{Send: []byte("HELLO\n"), Expect: expect("welcome\n")}, nil, `"re HELLO\n" is not "welcome\n"`},
		"half a request":     {Reaction{Send: []byte("HELLO\nYOU")}, nil, "9 bytes that are not a whole request"},
		"the second answers": {Reaction{Send: []byte("HELLO\nYOU\n"), Expect: expect("re HELLO\n")}, nil, `"re YOU\n" is not "re HELLO\n"`},
	} {
		t.Run(name, func(t *testing.T) {
			r, client := loggedIn(t, options{elements: 3, callbacks: []Callback{onFailover(func(at Moment, answer func(Reaction, error)) {
				if at.Element == "element2" {
					answer(c.reaction, c.err)
				} else {
					answer(Reaction{}, nil)
				}
			})}})
			r.stations[0].die(true)
			client.sometime(restoredTold)
			if !r.told(c.says) {
				t.Errorf("not said: %s", c.says)
			}
			if n := len(r.stations[2].servers); n != 1 {
				t.Errorf("the third element has %d connections", n)
			}
			r.close()
		})
	}
}

// A second answer of the same callback is ignored, whatever is going on; and no callback of a failover is asked before the server is
// connected.
func TestCallbackAnswersTwice(t *testing.T) {
	var r *rig
	var asked []string
	connected := false
	talkative := func(name string, reaction Reaction) Callback {
		return onFailover(func(_ Moment, answer func(Reaction, error)) {
			asked = append(asked, fmt.Sprint(name, connected))
			answer(reaction, nil)
			answer(Reaction{Send: []byte("TWICE\n")}, nil)
			r.w.After(time.Millisecond, func() { answer(Reaction{}, errNot) })
			r.w.After(5*time.Millisecond, func() { answer(Reaction{Send: []byte("TWICE\n")}, nil) })
		})
	}
	slow := onFailover(func(_ Moment, answer func(Reaction, error)) {
		asked = append(asked, "slow")
		r.w.After(20*time.Millisecond, func() { answer(Reaction{Send: []byte("SLOW\n")}, nil) })
	})
	r = newRig(t, options{callbacks: []Callback{talkative("a", Reaction{}), slow, talkative("b", Reaction{Send: []byte("ONCE\n")})}}.login(t))
	c := r.logIn()
	r.stations[1].slow = 50 * time.Millisecond
	r.stations[1].app = func(e *end) { r.w.After(2*time.Millisecond, func() { echo(e) }) }
	r.stations[0].die(true)
	r.w.After(45*time.Millisecond, func() { connected = true })
	c.sometime(restoredTold)
	if got := string(r.stations[1].server().got); got != statesAgain+"SLOW\nONCE\nGET 1\n" || fmt.Sprint(asked) != "[atrue slow btrue]" {
		t.Errorf("the server got %q; %v", got, asked)
	}
	r.close()
}

// The deadline of what comes behind a late greeting begins with it.
func TestDeadlineBehindLateGreeting(t *testing.T) {
	r := newRig(t, options{failover: quick, protocol: logins(t, "^ready"), callbacks: []Callback{callback(func(Moment, func(Reaction, error)) {})}})
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(time.Minute)
	r.stations[0].server().says("ready\n", false)
	began := r.w.Now()
	r.until("it ends", func() bool { return c.finished || c.reset })
	if took := r.w.Now().Sub(began); took < quick.Deadline || took > quick.Deadline+time.Second || string(c.got) != "ready\nERR sorry\n" {
		t.Errorf("after %v the client got %q", took, c.got)
	}
	r.close()
}

// An answer that comes when its leg has ended, or its session, is ignored; one that never comes ends at the deadline.
func TestCallbackAnswersLate(t *testing.T) {
	for _, what := range []string{"the leg has ended", "the session has ended", "the user has stopped", "never"} {
		t.Run(what, func(t *testing.T) {
			var late []func()
			r, c := loggedIn(t, options{elements: 3, callbacks: []Callback{onFailover(func(at Moment, answer func(Reaction, error)) {
				if at.Element != "element2" {
					answer(Reaction{}, nil)
					return
				}
				late = append(late, func() { answer(Reaction{Send: []byte("LATE\n")}, nil) })
			})}})
			r.stations[0].die(true)
			r.until("it is asked", func() bool { return len(late) == 1 })
			r.w.RunFor(time.Second)
			switch what {
			case "the leg has ended":
				r.stations[1].die(true)
				c.sometime(restoredTold)
			case "the session has ended":
				c.breaks()
				r.w.RunFor(time.Second)
			case "the user has stopped":
				r.user.Close()
			case "never":
				began := r.w.Now()
				r.until("it ends", func() bool { return c.finished || c.reset })
				if took := r.w.Now().Sub(began); took > quick.Deadline || !r.told("failover.deadline") {
					t.Errorf("it took %v", took)
				}
			}
			late[0]()
			r.w.RunFor(time.Second)
			for _, s := range r.stations {
				if s.server() != nil && strings.Contains(string(s.server().got), "LATE") {
					t.Errorf("%s was sent a late answer", s.name)
				}
			}
			r.close()
		})
	}
}

// A callback may ask for the rest of the reply that was cut: the request is not repeated, be it safe or not, and what comes goes on
// where the client stands; also over several servers.
func TestContinue(t *testing.T) {
	files := lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyUntil, Until: regexp.MustCompile("^END$"), Abort: []byte("ERR\n")})
	const text = "0\n1\n2\n3\n4\nEND\n"
	serve := func(s *station, from int, bytes int) {
		s.app = func(e *end) {
			line := string(e.got[e.answered:])
			e.answered = len(e.got)
			if strings.HasPrefix(line, "FROM") {
				fmt.Sscanf(line, "FROM %d", &from)
			}
			if strings.HasSuffix(line, "PUT\n") {
				e.says("ok\nEND\n", false)
				return
			}
			e.says(text[from:from+bytes], false)
		}
	}
	r := newRig(t, options{elements: 3, priority: true, protocol: files, failover: quick, callbacks: []Callback{continuer{
		onFailover(func(at Moment, answer func(Reaction, error)) {
			if string(at.Request) != "GET\n" {
				answer(Reaction{}, nil)
				return
			}
			answer(Reaction{Send: fmt.Appendf(nil, "FROM %d\n", at.ReplyBytes), Continue: true}, nil)
		})}}})
	serve(r.stations[0], 0, 3)
	serve(r.stations[1], 0, 4)
	serve(r.stations[2], 0, len(text)-7)
	c := r.client()
	c.says("GET\n", false)
	c.sometime(text[:3])
	r.stations[0].die(true)
	c.sometime(text[:7])
	r.stations[1].die(false)
	c.sometime(text)
	for i, want := range []string{"FROM 3\n", "FROM 7\n"} {
		if got := string(r.stations[i+1].server().got); got != want {
			t.Errorf("server %d got %q", i+2, got)
		}
	}
	c.says("PUT\n", false)
	c.sometime(text + "ok\nEND\n")
	r.only(KindMoved)
	r.close()
}

// What may be wrong when a callback has said that it would continue.
func TestContinueFails(t *testing.T) {
	for name, c := range map[string]struct {
		reaction Reaction
		says     string
	}{
		"with nothing": {Reaction{Continue: true}, "it continues with nothing"},
		"not at all":   {Reaction{}, "no callback has continued the interrupted request"},
	} {
		t.Run(name, func(t *testing.T) {
			r, client := loggedIn(t, options{callbacks: []Callback{continuer{onFailover(func(_ Moment, answer func(Reaction, error)) {
				answer(c.reaction, nil)
			})}}})
			r.stations[0].die(true)
			r.until("it ends", func() bool { return client.finished || client.reset })
			if !r.told(c.says) || string(client.got) != statesTold+"ERR sorry\n" {
				t.Errorf("the client got %q", client.got)
			}
			if got := string(r.stations[1].server().got); strings.Contains(got, "GET") {
				t.Errorf("the second server got %q", got)
			}
			r.close()
		})
	}
}

// An opaque stream: what a callback expects is looked for in all that has come, and what comes behind that is the client's.
func TestCallbackOfAStream(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.Replay, f.Unsafe = ReplaySession, UnsafeReplay }),
		protocol: protocol.NewStream(protocol.StreamConfig{}), callbacks: []Callback{onFailover(func(_ Moment, answer func(Reaction, error)) {
			answer(Reaction{Send: []byte("LOGIN\n"), Expect: expect("welcome\n")}, nil)
		})}})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	c.says("abc", false)
	r.stations[0].has("abc").says("x1", false)
	c.sometime("x1")
	r.stations[0].die(true)
	server := r.stations[1].has("LOGIN\n")
	for _, part := range []string{"wel", "come", "\n"} {
		server.says(part, false)
		r.w.RunFor(10 * time.Millisecond)
	}
	r.stations[1].has("LOGIN\nabc").says("x12", false)
	c.sometime("x12")
	r.close()
}

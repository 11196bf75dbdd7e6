package session

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// callback is a Callback that a test plays.
type callback func(at Moment, answer func(Reaction, error))

func (c callback) Call(at Moment, answer func(Reaction, error)) { c(at, answer) }

// onFailover asks c for legs behind a failure only.
func onFailover(c callback) callback {
	return func(at Moment, answer func(Reaction, error)) {
		if !at.Failover {
			answer(Reaction{}, nil)
			return
		}
		c(at, answer)
	}
}

// logins is lines with states: LOGIN, which must be answered by what begins with "re", and OPT, of which all are kept.
func logins(t testing.TB, greeting string) protocol.Protocol {
	c := protocol.LineConfig{Abort: []byte("ERR sorry\n"), Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}, States: []protocol.StateRule{
		{Name: "login", Match: regexp.MustCompile("^LOGIN (?P<user>.*)"), Expect: regexp.MustCompile("^re"), Void: regexp.MustCompile("^LOGOUT")},
		{Name: "opt", Match: regexp.MustCompile("^OPT"), All: true}}}
	if greeting != "" {
		c.Greeting = regexp.MustCompile(greeting)
	}
	return lineProtocol(t, c)
}

// loggedIn is a rig whose client has set states at the first of two elements, and has a request in flight there.
func loggedIn(t *testing.T, o options) (*rig, *end) {
	r := newRig(t, o.login(t))
	return r, r.logIn()
}

func (o options) login(t testing.TB) options {
	o.elements, o.priority = max(o.elements, 2), true
	if o.failover == (Failover{}) {
		o.failover = quick
	}
	if o.protocol == nil {
		o.protocol = logins(t, "")
	}
	return o
}

func (r *rig) logIn() (c *end) {
	r.stations[0].app = func(e *end) {
		if !strings.HasSuffix(string(e.got), "GET 1\n") {
			echo(e)
		}
	}
	c = r.client()
	c.says("LOGIN a\nOPT 1\nLOGIN b\nOPT 2\n", false)
	c.sometime("re LOGIN a\nre OPT 1\nre LOGIN b\nre OPT 2\n")
	c.says("GET 1\n", false)
	r.stations[0].has("GET 1\n")
	return c
}

const (
	statesTold   = "re LOGIN a\nre OPT 1\nre LOGIN b\nre OPT 2\n"
	statesAgain  = "OPT 1\nLOGIN b\nOPT 2\n"
	restoredTold = statesTold + "re GET 1\n"
)

// A new server is told the states, in the order in which they were last set, then the messages; the client sees neither.
func TestStatesAreRestored(t *testing.T) {
	r, c := loggedIn(t, options{})
	r.stations[0].die(true)
	c.sometime(restoredTold)
	if got := string(r.stations[1].server().got); got != statesAgain+"GET 1\n" {
		t.Errorf("the new server got %q", got)
	}
	x := r.records[0]
	if x.Restored <= 0 || x.Replayed < x.Restored || x.First < x.Replayed || x.Messages != 1 || x.Bytes != 6 || x.Kind != KindMoved {
		t.Errorf("record %+v", x)
	}
	c.says("LOGOUT\nGET 2\n", false)
	c.sometime(restoredTold + "re LOGOUT\nre GET 2\n")
	r.stations[0].gone = false
	r.stations[0].app = echo
	r.stations[1].die(true)
	r.w.RunFor(time.Second)
	c.says("GET 3\n", false)
	c.sometime(restoredTold + "re LOGOUT\nre GET 2\nre GET 3\n")
	if got := string(r.stations[0].server().got); got != "OPT 1\nOPT 2\nGET 3\n" {
		t.Errorf("behind the logout a server got %q", got)
	}
	r.close()
}

// What goes wrong in the beginning of a leg, and what the log says: the session goes on to another element.
func TestNotRestored(t *testing.T) {
	for name, c := range map[string]struct {
		second func(s *station) // how the second element's servers behave
		says   string
		takes  time.Duration // about
	}{
		"another answer":   {func(s *station) { s.app = refuses }, `state login: the server answered "no"`, 0},
		"says too much":    {func(s *station) { s.app = func(e *end) { e.says(big(2<<20), false) } }, "an answer of more than 1048576 bytes", 0},
		"speaks unasked":   {func(s *station) { s.greeting = "hello\n"; s.app = silent }, "", 5 * time.Second}, // it passes for the first answer
		"silent":           {func(s *station) { s.app = silent }, "no answer within 5s", 5 * time.Second},
		"closes":           {func(s *station) { s.app = func(e *end) { e.says("", true) } }, "the server closed the connection", 0},
		"resets, listens":  {func(s *station) { s.app = func(e *end) { e.breaks() } }, "", 0},
		"dies":             {func(s *station) { s.app = func(*end) { s.die(true) } }, "", 0},
		"trickles":         {func(s *station) { s.app = func(e *end) { e.trickle() } }, "the deadline has passed", 20 * time.Second},
		"sidecar is ended": {func(s *station) { s.app = func(*end) { s.host.Kill() } }, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, client := loggedIn(t, options{elements: 3, failover: with(quick, func(f *Failover) { f.Deadline = 20 * time.Second })})
			c.second(r.stations[1])
			began := r.w.Now()
			r.stations[0].die(true)
			if name == "trickles" {
				r.until("it is given up", func() bool { return client.finished })
			} else {
				client.sometime(restoredTold)
				want := statesAgain + "GET 1\n"
				if name == "another answer" { // who refuses a state has the next one given them in another order
					want = "LOGIN b\nOPT 1\nOPT 2\nGET 1\n"
				}
				if got := string(r.stations[2].server().got); got != want {
					t.Errorf("the third server got %q", got)
				}
				if n := len(r.stations[1].servers); n != 1 {
					t.Errorf("%d connections to the second server", n)
				}
			}
			if took := r.w.Now().Sub(began); took < c.takes || took > c.takes+time.Second {
				t.Errorf("it took %v", took)
			}
			if found := r.told(c.says); !found {
				t.Errorf("not said: %s", c.says)
			}
			r.close()
		})
	}
}

// told reports whether the cause or the verdict of a record, or the log, holds the words.
func (r *rig) told(words string) bool {
	for _, x := range r.records {
		if strings.Contains(x.Cause+x.Verdict, words) {
			return true
		}
	}
	return r.logged(words)
}

// refuses says no to every line.
func refuses(e *end) {
	if n := bytes.Count(e.got[e.answered:], []byte("\n")); n > 0 {
		e.answered = len(e.got)
		e.says(strings.Repeat("no\n", n), false)
	}
}

// trickle says a byte every second.
func (e *end) trickle() {
	if !e.closed && !e.reset {
		e.says("x", false)
		e.r.w.After(time.Second, e.trickle)
		e.app = silent
	}
}

// A server that cannot be restored, and is the only one, is not asked at full speed; when it can, the session goes on.
func TestRestoresAreNotAStorm(t *testing.T) {
	for name, behave := range map[string]func(e *end){
		"resets":         func(e *end) { e.breaks() },
		"closes":         func(e *end) { e.says("", true) },
		"answers others": refuses,
	} {
		t.Run(name, func(t *testing.T) {
			r, c := loggedIn(t, options{failover: with(quick, func(f *Failover) { f.Deadline = 20 * time.Second })})
			s := r.stations[1]
			s.app = behave
			r.stations[0].die(true)
			r.w.RunFor(10 * time.Second)
			if n := len(s.servers); n > 25 || n < 5 {
				t.Errorf("%d connections in 10 s", n)
			}
			s.app = echo
			c.sometime(restoredTold)
			r.close()
		})
	}
}

// The association breaks at every moment of a leg's beginning; the client goes on sending meanwhile, ends, or leaves.
func TestCutInTheBeginning(t *testing.T) {
	for _, client := range []string{"waits", "sends", "ends", "leaves"} {
		for at := range 40 {
			r, c := loggedIn(t, options{seed: uint64(at + 1), callbacks: []Callback{onFailover(func(_ Moment, answer func(Reaction, error)) {
				answer(Reaction{Send: []byte("HELLO\nHELLO\n"), Expect: expect("re HELLO\n")}, nil)
			})}})
			s := r.stations[1]
			s.slow = 500 * time.Microsecond
			r.stations[0].die(true)
			r.w.RunFor(time.Duration(at) * 150 * time.Microsecond)
			want, sent := restoredTold, statesAgain+"HELLO\nHELLO\nGET 1\n"
			switch client {
			case "sends", "ends":
				c.says("GET 2\n", client == "ends")
				want, sent = want+"re GET 2\n", sent+"GET 2\n"
			case "leaves":
				c.breaks()
			}
			r.cut(s)
			if client == "leaves" {
				r.w.RunFor(2 * time.Minute)
				if live, held := s.e.Legs(); live+held > 0 || s.server() != nil && !s.server().reset {
					t.Errorf("%d µs: the server was not told", at*150)
				}
				r.close()
				continue
			}
			c.sometime(want)
			if got := string(s.server().got); got != sent || len(s.servers) != 1 {
				t.Errorf("%s, cut at %d µs: the server got %q, of %d", client, at*150, got, len(s.servers))
			}
			if client == "ends" {
				r.until("the end", func() bool { return s.server().finished })
				s.server().says("", true)
				r.until("closed", func() bool { return c.closed })
			}
			if r.records[0].Kind != KindMoved || r.records[0].To != s.name {
				t.Errorf("record %+v", r.records[0])
			}
			r.close()
			if t.Failed() {
				return
			}
		}
	}
}

// expect judges a reply.
func expect(want string) func([]byte) error {
	return func(reply []byte) error {
		if string(reply) != want {
			return fmt.Errorf("%q is not %q", reply, want)
		}
		return nil
	}
}

// What a server says first is the client's once, whatever comes before the messages of a leg.
func TestGreeting(t *testing.T) {
	slow := func(r **rig) Callback {
		return callback(func(_ Moment, answer func(Reaction, error)) {
			(*r).w.After(10*time.Millisecond, func() { answer(Reaction{}, nil) })
		})
	}
	asks := callback(func(_ Moment, answer func(Reaction, error)) {
		answer(Reaction{Send: []byte("HELLO\n"), Expect: expect("re HELLO\n")}, nil)
	})
	whole := with(quick, func(f *Failover) { f.Replay, f.Unsafe = ReplaySession, UnsafeReplay })
	var r *rig
	for name, c := range map[string]struct {
		failover  Failover
		callbacks []Callback
		greeting  string
		again     string // the second server's
	}{
		"plain":                     {quick, nil, "hello\nready\n", "other\nready\n"},
		"long":                      {quick, nil, big(100<<10) + "\nready\n", big(200<<10) + "\nready\n"},
		"a callback, slow":          {quick, []Callback{slow(&r)}, "hello\nready\n", "other\nready\n"},
		"a callback that asks":      {quick, []Callback{asks}, "hello\nready\n", "other\nready\n"},
		"long, a callback":          {quick, []Callback{asks}, big(100<<10) + "\nready\n", "ready\n"},
		"all repeated":              {whole, nil, "hello\nready\n", "other\nready\n"},
		"all repeated, long":        {whole, nil, big(100<<10) + "\nready\n", "ready\n"},
		"all repeated, a callback":  {whole, []Callback{asks}, "hello\nready\n", "other\nready\n"},
		"all repeated, slow, alike": {whole, []Callback{slow(&r)}, "hello\nready\n", "hello\nready\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r = newRig(t, options{elements: 2, priority: true, failover: c.failover, callbacks: c.callbacks, protocol: logins(t, "^ready"), memory: 1 << 20})
			r.stations[0].greeting, r.stations[1].greeting = c.greeting, c.again
			client := r.client()
			r.w.RunFor(time.Second)
			client.sometime(c.greeting)
			client.says("LOGIN a\nGET 1\n", false)
			client.sometime(c.greeting + "re LOGIN a\nre GET 1\n")
			r.stations[0].die(true)
			r.w.RunFor(time.Second)
			client.says("GET 2\n", false)
			client.sometime(c.greeting + "re LOGIN a\nre GET 1\nre GET 2\n")
			r.close()
		})
	}
}

// Of a greeting that is cut in the middle the client has nothing; a server may take its time to begin it.
func TestGreetingCut(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: logins(t, "^ready"), memory: 1 << 20, legs: 1 << 20})
	s := r.stations[0]
	c := r.client()
	c.says("GET 1\n", false)
	r.w.RunFor(time.Minute)
	s.server().says(big(100<<10), false)
	r.w.RunFor(time.Second)
	r.stations[1].greeting = "other\nrea"
	s.die(true)
	r.w.RunFor(time.Minute)
	r.stations[1].server().says("dy\n", false)
	c.sometime("other\nready\nre GET 1\n")
	r.close()
}

// A server that falls silent right after its leg was restored is found by the reply timeout, not later.
func TestSilentBehindTheBeginning(t *testing.T) {
	r, c := loggedIn(t, options{elements: 3, failover: patient})
	r.stations[1].app = func(e *end) {
		if !strings.HasSuffix(string(e.got), "GET 1\n") {
			echo(e)
		}
	}
	r.stations[0].die(true)
	began := r.w.Now()
	c.sometime(restoredTold)
	if took := r.w.Now().Sub(began); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	r.close()
}

var errNot = errors.New("not this one")

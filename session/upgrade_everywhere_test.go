package session

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// play is a scenario: what clients and servers do, at times that do not depend on sidecars. Whatever sidecar is upgraded, wherever in it, its
// clients get what they get without.
type play struct {
	name    string
	options func(t *testing.T) options
	begin   func(r *rig)
	may     bool // servers may get a safe request twice, and sessions may move: a server dies
}

// halves is a server that answers one line after another: the first half of each reply at once, and the rest after a while. It ends when its
// client has, and all is answered.
func halves(e *end) {
	if e.busy {
		return
	}
	line, _, ok := strings.Cut(string(e.got[e.answered:]), "\n")
	switch {
	case !ok && e.finished && !e.inEnd:
		e.says("", true)
		return
	case !ok:
		return
	}
	e.answered += len(line) + 1
	if strings.HasPrefix(line, "TELL") {
		halves(e)
		return
	}
	reply := "re " + line + "\n"
	half := len(reply) / 2
	e.says(reply[:half], false)
	e.busy = true
	e.r.w.After(3*time.Millisecond, func() {
		e.busy = false
		e.says(reply[half:], false)
		halves(e)
	})
}

// talks has a client say something piece by piece, one every 2 ms, and finish.
func (r *rig) talks(pieces ...string) *end {
	c := r.client()
	for i, p := range pieces {
		r.w.After(time.Duration(1+2*i)*time.Millisecond, func() { c.says(p, false) })
	}
	r.w.After(time.Duration(2*len(pieces)+40)*time.Millisecond, func() { c.says("", true) })
	for i := range 20 { // nobody tells servers in this rig that their clients have finished
		r.w.After(time.Duration(100+10*i)*time.Millisecond, func() {
			for _, s := range r.stations {
				for _, server := range s.servers {
					server.app(server)
				}
			}
		})
	}
	return c
}

// requests is protocol http: two that are answered in chunks and by length.
func requests(r *rig) {
	for _, s := range r.stations {
		s.app = func(e *end) {
			for strings.Contains(string(e.got[e.answered:]), "\r\n\r\n") && !e.busy {
				e.answered += strings.Index(string(e.got[e.answered:]), "\r\n\r\n") + 4
				e.busy = true
				for i, p := range []string{"HTTP/1.1 200 OK\r\nETag: \"v\"\r\nTransfer-", "Encoding: chunked\r\n\r\n3\r\nab", "c\r\n5\r\nhello\r\n0\r", "\n\r\n"} {
					e.r.w.After(time.Duration(1+2*i)*time.Millisecond, func() {
						e.says(p, false)
						if e.busy = i < 3; !e.busy {
							e.run()
						}
					})
				}
			}
			if e.finished && !e.inEnd && !e.busy {
				e.says("", true)
			}
		}
	}
	r.talks("GET /a HTTP/1.1\r\nHo", "st: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n", "\r\n")
}

func plays() []play {
	conversation := []string{"GET 1\nSE", "T 2\nTELL 3\n", "GET 4\n", "TELL 5\nSET 6\nG", "ET 7\n", "SET 8\nGET 9\n"}
	all := func(apps func(*end)) func(r *rig) {
		return func(r *rig) {
			for _, s := range r.stations {
				s.app = apps
			}
			r.talks(conversation...)
			r.talks("GET 11\n", "GET 12\nSET 13\n")
		}
	}
	simple := func(*testing.T) options { return options{elements: 2, priority: true} }
	web := func(t *testing.T) options {
		o := simple(t)
		o.protocol = protocol.NewHTTP(protocol.HTTPConfig{})
		return o
	}
	return []play{
		{name: "http", options: web, begin: requests},
		{name: "http, a server dies", may: true, options: web, begin: func(r *rig) {
			requests(r)
			r.w.After(6*time.Millisecond, func() { r.stations[0].die(true) })
		}},
		{name: "lines", options: simple, begin: all(halves)},
		{name: "read", options: func(t *testing.T) options {
			o := simple(t)
			o.reads, o.failover = true, with(Failover{}.orDefault(), func(f *Failover) { f.Ack = AckRead })
			return o
		}, begin: func(r *rig) {
			for _, s := range r.stations {
				s.unread = func() int { return 0 }
			}
			all(halves)(r)
		}},
		{name: "session", options: func(t *testing.T) options {
			o := simple(t)
			o.failover = with(Failover{}.orDefault(), func(f *Failover) { f.Replay = ReplaySession; f.Unsafe = UnsafeReplay })
			return o
		}, begin: all(halves)},
		{name: "stream", options: func(t *testing.T) options {
			o := simple(t)
			o.protocol, o.failover = protocol.NewStream(protocol.StreamConfig{}), with(Failover{}.orDefault(), func(f *Failover) { f.Replay = ReplayNone })
			return o
		}, begin: all(halves)},
		{name: "logins", options: func(t *testing.T) options { return options{protocol: logins(t, "^hello")}.login(t) }, begin: func(r *rig) {
			for _, s := range r.stations {
				s.app, s.greeting = halves, "hello\n"
			}
			r.talks("LOGIN a\nOPT 1\n", "GET 1\nOP", "T 2\nGET 2\n")
		}},
		{name: "slow client", options: simple, begin: func(r *rig) {
			all(halves)(r)
			for _, c := range r.clients {
				c.room = 2
				for i := range 60 {
					r.w.After(time.Duration(i)*time.Millisecond, func() { c.reads(3) })
				}
			}
		}},
		{name: "a server dies", may: true, options: simple, begin: func(r *rig) {
			r.stations[0].app, r.stations[1].app = halves, halves
			r.talks("GET 1\n", "GET 2\nGE", "T 3\n", "GET 4\n")
			r.w.After(4*time.Millisecond, func() { r.stations[0].die(true) })
		}},
		{name: "a server dies behind logins", may: true, options: func(t *testing.T) options { return options{}.login(t) }, begin: func(r *rig) {
			r.stations[0].app, r.stations[1].app = halves, halves
			r.talks("LOGIN a\nOPT 1\n", "GET 1\n", "GET 2\nGE", "T 3\n", "GET 4\n")
			r.w.After(6*time.Millisecond, func() { r.stations[0].die(false) })
		}},
		{name: "a server dies, all is repeated", may: true, options: func(t *testing.T) options {
			o := simple(t)
			o.protocol = lineProtocol(t, protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("")}})
			o.failover = with(Failover{}.orDefault(), func(f *Failover) { f.Replay = ReplaySession })
			return o
		}, begin: func(r *rig) {
			r.stations[0].app, r.stations[1].app = halves, halves
			r.talks("GET 1\n", "GET 2\nGE", "T 3\n", "GET 4\n")
			r.w.After(6*time.Millisecond, func() { r.stations[0].die(true) })
		}},
	}
}

// orDefault is that of most tests.
func (f Failover) orDefault() Failover { return options{}.defaults(nil).failover }

// outcome is all that is compared.
func (r *rig) outcome() string {
	var b strings.Builder
	for _, c := range r.clients {
		fmt.Fprintf(&b, "%q finished %t, closed %t, reset %t\n", c.got, c.finished, c.closed, c.reset)
	}
	return b.String()
}

// lines is what servers have got, of all sessions.
func (r *rig) lines() map[string]int {
	lines := make(map[string]int)
	for _, s := range r.stations {
		for _, server := range s.servers {
			for _, line := range strings.SplitAfter(string(server.got), "\n") {
				lines[line]++
			}
		}
	}
	return lines
}

// perform plays it; at the event of that number what is to be upgraded is.
func (p *play) perform(t *testing.T, at int, upgrade func(r *rig)) (r *rig, events int) {
	t.Helper()
	r = newRig(t, p.options(t))
	p.begin(r)
	r.w.RunUntil(func() bool {
		if events++; events == at {
			upgrade(r)
		}
		return t.Failed()
	}, 15*time.Second)
	return r, events
}

// stride is how many events lie between two upgrades that are tried, so that the test is short; with -upgrades -1 each is.
const stride = 11

// TestUpgradeEverywhere has each of the sidecars upgraded, and both, between two events of scenarios.
func TestUpgradeEverywhere(t *testing.T) {
	kinds := map[string]func(r *rig){
		"user": (*rig).upgrade,
		"elements": func(r *rig) {
			for _, s := range r.stations {
				s.upgrade()
			}
		},
		"both": func(r *rig) {
			r.upgrade()
			for _, s := range r.stations {
				s.upgrade()
			}
		},
	}
	for _, p := range plays() {
		t.Run(p.name, func(t *testing.T) {
			calm, events := p.perform(t, 0, nil)
			want, lines := calm.outcome(), calm.lines()
			if !strings.Contains(want, "closed true") {
				t.Fatalf("without an upgrade: %s", want)
			}
			step, first := stride, 0
			if *upgradesFlag < 0 {
				step = 1
			}
			for _, kind := range slices.Sorted(maps.Keys(kinds)) {
				first++
				upgrade := kinds[kind]
				for at := first; at < events; at += step {
					r, _ := p.perform(t, at, upgrade)
					if got := r.outcome(); got != want {
						t.Errorf("%s upgraded at event %d of %d: %s, without: %s", kind, at, events, got, want)
					}
					r.once(lines, p.may)
					r.close()
					if t.Failed() {
						t.Fatalf("%s upgraded at event %d", kind, at)
					}
				}
			}
			t.Logf("%d events", events)
		})
	}
}

// once sees to it that servers have got what they get without an upgrade, and nothing unsafe twice.
func (r *rig) once(want map[string]int, may bool) {
	r.t.Helper()
	got := r.lines()
	for line, n := range want {
		if got[line] < n && !may || got[line] > 1 && strings.HasPrefix(line, "SET") && n == 1 {
			r.t.Errorf("servers got %q %d times, without an upgrade %d times", line, got[line], n)
		}
	}
	for line, n := range got {
		if n > want[line] && !may {
			r.t.Errorf("servers got %q %d times, without an upgrade %d times", line, n, want[line])
		}
	}
}

package session

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// What a server's close or reset means, by failover.on_server_close and by what is in flight. The server goes on listening.
func TestServerClose(t *testing.T) {
	const closed, cut, moved = "closed", "reset", "moved"
	for _, c := range []struct {
		what    string // the client says
		part    string // of the reply that has come
		reset   bool   // the server's end
		outcome [3]string
	}{ //                           auto, close, failover
		{"", "", false, [3]string{closed, closed, moved}},
		{"", "", true, [3]string{cut, cut, moved}},
		{"GET 1\n", "", false, [3]string{moved, closed, moved}},
		{"GET 1\n", "", true, [3]string{moved, cut, moved}},
		{"GET 1\n", "re G", false, [3]string{moved, closed, moved}},
		{"GET 1\n", "re GET 1\n", false, [3]string{closed, closed, moved}},
		{"GET 1\n", "re GET 1\n", true, [3]string{cut, cut, moved}},
		{"QUIT\n", "", false, [3]string{closed, closed, closed}},
		{"QUIT\n", "bye\n", false, [3]string{closed, closed, closed}},
		{"QUIT\n", "bye\n", true, [3]string{cut, cut, cut}},
		{"half a requ", "", false, [3]string{closed, closed, moved}},
	} {
		for policy, want := range c.outcome {
			t.Run(fmt.Sprintf("%q,%q,%v,%v", c.what, c.part, c.reset, ServerClose(policy)), func(t *testing.T) {
				r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.OnServerClose = ServerClose(policy) }),
					protocol: lineProtocol(t, protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}, Quit: []*regexp.Regexp{regexp.MustCompile("^QUIT")}})})
				s := r.stations[0]
				s.app = silent
				client := r.client()
				client.says(c.what, false)
				r.w.RunFor(2 * time.Second)
				server := s.server()
				server.says(c.part, false)
				client.sometime(c.part)
				r.pool.Failed(r.w.Now(), s.name) // the other one is next
				s.app = echo
				if c.reset {
					server.breaks()
				} else {
					server.says("", true)
				}
				r.w.RunFor(5 * time.Second)
				got := moved
				switch {
				case client.reset:
					got = cut
				case client.finished:
					got = closed
				}
				if got != want {
					t.Errorf("the client was %s, want %s", got, want)
				}
				if n := len(s.servers) + len(r.stations[1].servers); want == moved && n != 2 || want != moved && n != 1 {
					t.Errorf("%d connections", n)
				}
				if want == moved {
					client.says("\nGET 2\n", false)
					r.until("it is served", func() bool { return strings.HasSuffix(string(client.got), "re GET 2\n") })
				}
				r.close()
			})
		}
	}
}

// A client that has finished gets the end of a server that closes, whatever on_server_close says.
func TestServerCloseBehindClientEnd(t *testing.T) {
	for _, policy := range []ServerClose{CloseAuto, CloseIsClose, CloseIsFailed} {
		r := newRig(t, options{elements: 2, failover: with(quick, func(f *Failover) { f.OnServerClose = policy })})
		for _, s := range r.stations {
			s.app = func(e *end) { e.says("re GET 1\n", true) }
		}
		c := r.client()
		c.says("GET 1\n", true)
		r.until("it is closed", func() bool { return c.closed })
		if string(c.got) != "re GET 1\n" || len(r.records) > 0 {
			t.Errorf("%v: the client got %q, %v", policy, c.got, r.records)
		}
		r.close()
	}
}

// With on_server_close = "failover" a server that closes, or resets, quiet connections at once is not asked at full speed.
func TestServerClosesAgainAndAgain(t *testing.T) {
	for name, leave := range map[string]func(e *end){
		"closes": func(e *end) { e.says("", true) },
		"resets": func(e *end) { e.breaks() },
	} {
		r := newRig(t, options{failover: with(quick, func(f *Failover) { f.OnServerClose, f.Deadline = CloseIsFailed, time.Minute })})
		s := r.stations[0]
		c := r.client()
		seen := 0
		for range 1000 {
			r.w.RunFor(10 * time.Millisecond)
			if len(s.servers) > seen {
				seen = len(s.servers)
				leave(s.server())
			}
		}
		if seen < 5 || seen > 15 || c.reset || c.finished {
			t.Errorf("%s: %d connections in 10 s, reset %v", name, seen, c.reset)
		}
		c.says("GET 1\n", false)
		r.w.RunFor(2 * time.Second)
		c.sometime("re GET 1\n")
		r.close()
	}
}

// A reply that a second server ends before it has repeated what the client has is not a whole reply, also where a close is a close.
func TestServerCloseWithinAJoinedReply(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, protocol: web(), failover: with(quick, func(f *Failover) { f.OnServerClose = CloseIsClose })})
	s := r.stations[0]
	s.app = silent
	const head = "HTTP/1.1 200 OK\r\n\r\n"
	r.stations[1].app = func(e *end) { e.says(head+"01234", true) }
	c := r.client()
	c.says("GET / HTTP/1.0\r\n\r\n", false)
	s.has("\r\n\r\n").says(head+"0123456789", false)
	c.sometime(head + "0123456789")
	s.die(true)
	r.until("it is decided", func() bool { return c.finished || c.reset })
	if !c.reset {
		t.Error("the client takes what it has for all")
	}
	r.close()
}

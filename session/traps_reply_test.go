package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Traps about what the client is given.

// T4. The next server answers differently. The session ends at the first difference that is compared, long before the reply is over,
// and the client has not a byte of the second reply.
func trapMismatch(t *testing.T) {
	first := strings.Repeat("0123456789", 6000)
	for _, at := range []int{0, 10, 20_000, 59_999} {
		r, _ := trap(t, options{memory: 1 << 20, legs: 1 << 20})
		r.stations[0].app, r.stations[1].app = silent, silent
		c := r.client()
		c.says("GET 1\n", false)
		r.until("it has come", func() bool { s := r.stations[0].server(); return s != nil && len(s.got) > 0 })
		r.stations[0].server().says(first, false) // and no end
		r.until("the client has it", func() bool { return len(c.got) == len(first) })
		r.stations[0].kill()
		r.until("the other is asked", func() bool { s := r.stations[1].server(); return s != nil && len(s.got) > 0 })
		second := []byte(first)
		second[at] = 'x'
		const compared = 16 << 10 // bytes from one comparison to the next
		r.stations[1].server().says(string(second[:min(len(second), at+compared+1)]), false)
		r.ends(c, first, "differs")
		r.close()
	}
}

// T5. The client has n bytes of the reply, for every n: of the second reply it gets the rest, and with two servers dying, too.
func trapPrefix(t *testing.T) {
	const reply = "thirty bytes of a safe reply.\n"
	for n := range len(reply) {
		for more := n; more < len(reply); more += 1 + len(reply)/4 {
			r, _ := trap(t, options{elements: 3})
			for _, s := range r.stations {
				s.app = silent
			}
			c := r.client()
			c.says("GET 1\n", false)
			for i, end := range []int{n, more, len(reply)} {
				s := r.stations[i]
				r.until("it is asked", func() bool { return s.server() != nil && len(s.server().got) > 0 })
				s.server().says(reply[:end], false)
				r.until("the client has that", func() bool { return len(c.got) == end })
				r.w.RunFor(time.Millisecond)
				if i < 2 {
					s.kill()
				}
			}
			r.gets(c, reply)
			r.stays(c)
			r.close()
		}
	}
}

// T20. Whatever went wrong, what the error says is true: it says "was not carried out" only where no server can have done it, here
// after each way a request can be lost.
func trapLie(t *testing.T) {
	replay := with(quick, func(f *Failover) { f.Unsafe = UnsafeReplay })
	for _, c := range []struct {
		name     string
		failover Failover
		plug     stage
		nowhere  bool // no other server is found in time
		attempts int
		says     string
	}{
		{"refused", quick, whenDone, false, 5, "may have been"},
		{"refused, and nowhere to go", quick, whenDone, true, 5, "may have been"},
		{"to be repeated, and nowhere to go", replay, whenDone, true, 5, "may have been"},
		{"poison", replay, whenDone, false, 1, "may have been"},
		{"never sent", quick, never, true, 5, "was not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.failover.Attempts = c.attempts
			r, b := trap(t, options{protocol: protocol.NewHTTP(protocol.HTTPConfig{}), failover: c.failover})
			b.serve(r.stations[0], c.plug, "POST /1")
			r.stations[0].gone, r.stations[1].gone = c.plug == never, c.nowhere
			client := r.client()
			client.says(post("POST", "/1", ""), false)
			r.w.RunFor(10 * time.Second)
			b.times("POST /1", map[string]int{"may have been": 1, "was not": 0}[c.says])
			if n := strings.Count(string(client.got), "HTTP/1.1 "); n != 1 || !strings.Contains(string(client.got), "the request "+c.says+" carried out") {
				t.Errorf("the client got %q", client.got)
			}
			if strings.Contains(string(client.got), "retried") {
				t.Errorf("it promises: %q", client.got)
			}
			r.stays(client)
			r.close()
		})
	}
}

// T23. Replies go out before another server is known to give the same: output commit is not on. What the mode replay = "session" adds
// is that a session whose output cannot be reproduced ends, before anything new goes out; by default it goes on.
func trapOutput(t *testing.T) {
	for _, whole := range []bool{false, true} {
		for _, same := range []bool{true, false} {
			r, b := trap(t, options{failover: with(quick, func(f *Failover) {
				if whole {
					f.Replay = ReplaySession
				}
			})})
			b.reply = func(s *station, request string) string {
				if same {
					return "re " + request + "\n"
				}
				return fmt.Sprintf("%s: %s\n", s.name, request)
			}
			c := r.client()
			c.says("GET 1\n", false)
			one := b.reply(r.stations[0], "GET 1")
			r.gets(c, one)
			r.stations[0].kill()
			r.w.RunFor(100 * time.Millisecond)
			c.says("GET 2\n", false)
			if whole && !same {
				r.ends(c, one, "differs")
			} else {
				r.gets(c, one+b.reply(r.stations[1], "GET 2"))
				r.stays(c)
			}
			if n := b.at(r.stations[1], "GET 1"); whole != (n == 1) {
				t.Errorf("whole %v: the other server has seen it %d times", whole, n)
			}
			r.close()
		}
	}
}

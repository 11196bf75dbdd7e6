package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Traps about what is sent again.

// T1. The server dies with COMMIT in its hands. That is in doubt, and so is what it commits: neither reaches another server, not even
// with unsafe = "replay", and what follows goes on.
func trapCommit(t *testing.T) {
	for _, unsafe := range []Unsafe{UnsafeRefuse, UnsafeReplay} {
		for plug := whenRead; plug <= whenDone; plug++ {
			r, b := trap(t, options{failover: with(quick, func(f *Failover) { f.Unsafe = unsafe })})
			b.serve(r.stations[0], plug, "COMMIT")
			c := r.client()
			c.says("BEGIN\n", false)
			r.gets(c, "re BEGIN\n")
			c.says("PAY 1\nCOMMIT\n", false)
			r.gets(c, "re BEGIN\nre PAY 1\nERR lost\n")
			c.says("GET balance\n", false)
			r.gets(c, "re BEGIN\nre PAY 1\nERR lost\nre GET balance\n")
			b.times("PAY 1", 1)
			if b.at(r.stations[1], "COMMIT")+b.at(r.stations[1], "BEGIN") != 0 || len(b.done) != 3+int(plug-whenRead) {
				t.Errorf("unsafe %v, killed when %v: %q", unsafe, plug, b.done)
			}
			r.stays(c)
			r.close()
		}
	}
}

// T2. The server has the request, and dies. By default that is the end of it; each of the settings that loosen this has a row in
// switches.
func trapWritten(t *testing.T) {
	for plug := whenRead; plug <= whenHalf; plug++ {
		r, b := trap(t, options{})
		b.serve(r.stations[0], plug, "PAY 1")
		c := r.client()
		c.says("PAY 1\n", false)
		if plug == whenHalf { // the client has a part of the reply: no error can stand in its place
			r.ends(c, "re P", "an unsafe request is in flight")
		} else {
			r.gets(c, "ERR lost\n")
			r.stays(c)
		}
		if server := r.stations[1].server(); server != nil && len(server.got) > 0 {
			t.Errorf("killed when %v: another server got %q", plug, server.got)
		}
		r.close()
	}
}

// T3. The server dies in the middle of a transaction, with a statement in flight that is safe by itself. It is not sent elsewhere, nor
// is what the client still sends of the transaction; what comes behind it is.
func trapUnit(t *testing.T) {
	r, b := trap(t, options{})
	b.serve(r.stations[0], whenRead, "GET 1")
	c := r.client()
	c.says("BEGIN\n", false)
	r.gets(c, "re BEGIN\n")
	c.says("GET 1\n", false)
	r.gets(c, "re BEGIN\nERR lost\n")
	c.says("PAY 2\nCOMMIT\nGET 3\n", false)
	r.gets(c, "re BEGIN\nERR lost\nERR lost\nERR lost\nre GET 3\n")
	if got := string(r.stations[1].server().got); got != "GET 3\n" {
		t.Errorf("the other server got %q", got)
	}
	r.close()

	r, b = trap(t, options{protocol: protocol.NewRedis(protocol.RedisConfig{Safe: func(name string) (bool, bool) { return name == "get", true }})})
	b.end = "\r\n"
	b.reply = func(*station, string) string { return "+OK\r\n" }
	b.serve(r.stations[0], whenRead, "GET k")
	c = r.client()
	c.says("MULTI\r\n", false)
	r.gets(c, "+OK\r\n")
	c.says("GET k\r\n", false)
	r.w.RunFor(time.Second)
	c.says("SET k 1\r\nEXEC\r\nGET k\r\n", false)
	r.w.RunFor(time.Second)
	lines := strings.Split(string(c.got), "\r\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[1], "-ERR ") || !strings.HasPrefix(lines[2], "-ERR ") ||
		!strings.HasPrefix(lines[3], "-EXECABORT ") || lines[4] != "+OK" {
		t.Errorf("redis: the client got %q", lines)
	}
	if got := string(r.stations[1].server().got); got != "GET k\r\n" {
		t.Errorf("redis: the other server got %q", got)
	}
	r.close()
}

// T8. What a server does to the world outside the pool is in the book, and nothing can take it back. So nothing is carried out twice
// that was not declared harmless, whenever its server dies; and what was declared so, may be.
func trapSideEffects(t *testing.T) {
	for _, harmless := range []bool{false, true} {
		for plug := whenUnread; plug <= whenAnswered; plug++ {
			p := shop(t, func(c *protocol.LineConfig) {
				if harmless {
					c.Safe = words(t, "^MAIL")
				}
			})
			r, b := trap(t, options{protocol: p})
			b.serve(r.stations[0], plug, "MAIL 1")
			c := r.client()
			c.says("MAIL 1\n", false)
			r.w.RunFor(5 * time.Second)
			n := b.count("MAIL 1")
			if !harmless && n > 1 || harmless && (n < 1 || string(c.got) != "re MAIL 1\n") {
				t.Errorf("harmless %v, killed when %v: carried out %d times, the client got %q", harmless, plug, n, c.got)
			}
			if twice := harmless && (plug == whenDone || plug == whenHalf); twice != (n == 2) {
				t.Errorf("harmless %v, killed when %v: carried out %d times", harmless, plug, n)
			}
			r.close()
		}
	}
}

// T9. An operator ends the connection at a server that goes on living. With on_server_close = "close" that is the end, whatever was
// in flight, and however it was ended; by default it is where nothing was.
func trapKilled(t *testing.T) {
	for _, c := range []struct {
		close    ServerClose
		inFlight bool
		reset    bool
		again    bool // the request is carried to another server
	}{
		{CloseIsClose, true, true, false},
		{CloseIsClose, true, false, false},
		{CloseIsClose, false, true, false},
		{CloseAuto, false, true, false},
		{CloseAuto, false, false, false},
		{CloseAuto, true, true, true}, // a safe one
		{CloseAuto, true, false, true},
	} {
		r, b := trap(t, options{failover: with(quick, func(f *Failover) { f.OnServerClose = c.close })})
		client := r.client()
		request := ""
		if c.inFlight {
			request = "GET 1\n"
		}
		server := r.heard(client, request)
		if c.reset {
			server.breaks()
		} else {
			server.says("", true)
		}
		r.w.RunFor(5 * time.Second)
		if again := b.count("GET 1") > 0; again != c.again || (client.reset || client.finished) == c.again || !c.again && client.reset != c.reset {
			t.Errorf("%+v: carried to another server: %v; reset %v, finished %v", c, again, client.reset, client.finished)
		}
		r.close()
	}
}

// T11. A request that brings down each server it meets is carried to failover.attempts of them, and no further. Its session and all
// others go on.
func trapPoison(t *testing.T) {
	for _, attempts := range []int{1, 3, 6} {
		r, b := trap(t, options{elements: 8, failover: with(quick, func(f *Failover) { f.Attempts = attempts })})
		for i, s := range r.stations {
			b.serve(s, whenDone, "GET poison")
			if i == 7 {
				b.serve(s, never, "")
			}
		}
		c, other := r.client(), r.client()
		other.says("GET 1\n", false)
		r.gets(other, "re GET 1\n")
		c.says("GET poison\n", false)
		r.gets(c, "ERR lost\n")
		b.times("GET poison", attempts)
		if !r.logged("poison", "GET") && !r.logged("poison", "line of") {
			t.Error("the log says nothing of poison")
		}
		c.says("GET 2\n", false)
		other.says("GET 3\n", false)
		r.gets(c, "ERR lost\nre GET 2\n")
		r.gets(other, "re GET 1\nre GET 3\n")
		r.close()
	}
}

// T24. Whenever the server dies there are three outcomes, and the client is told the right one: a reply where the request was carried
// out once, "may have been" where nobody knows, "was not" where no server can have carried it out.
func trapTiming(t *testing.T) {
	for _, nowhere := range []bool{false, true} { // no other server is found in time
		for plug := whenUnread; plug <= whenAnswered; plug++ {
			r, b := trap(t, options{protocol: protocol.NewHTTP(protocol.HTTPConfig{}), failover: with(quick, func(f *Failover) { f.Ack = AckRead })})
			b.serve(r.stations[0], plug, "POST /1")
			r.stations[1].gone = nowhere
			c := r.client()
			c.says(post("POST", "/1", ""), false)
			r.w.RunFor(10 * time.Second)
			n := b.count("POST /1")
			want, least, most := "HTTP/1.1 200", 1, 1 // done
			switch {
			case plug == whenUnread && nowhere: // not done
				want, least, most = "HTTP/1.1 503", 0, 0
			case plug == whenRead || plug == whenDone || plug == whenHalf: // unknown; of half a head the client has nothing
				want, least = "HTTP/1.1 502", 0
			}
			if !strings.HasPrefix(string(c.got), want) || n < least || n > most {
				t.Errorf("killed when %v, nowhere %v: carried out %d times, the client got %q", plug, nowhere, n, c.got)
			}
			said := map[bool]string{true: "the request was not carried out", false: "may have been carried out"}
			for not, text := range said {
				if strings.Contains(string(c.got), text) != (want == "HTTP/1.1 503" && not || want == "HTTP/1.1 502" && !not) {
					t.Errorf("killed when %v, nowhere %v: the client got %q", plug, nowhere, c.got)
				}
			}
			r.close()
		}
	}
}

package session

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Found by a sceptical user who had nothing but the README.

// A server that acts on a POST before its end has come: the request is in doubt from its head on, whatever its last byte.
func TestActsBeforeTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		says string
		ack  Ack
	}{
		"half a body":           {"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nPAY 1\nPAY 2\n", AckReply},
		"a chunk":               {"POST /pay HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nPAY 7\n\r\n", AckReply},
		"all, its end not read": {"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nPAY", AckRead},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{elements: 2, priority: true, protocol: protocol.NewHTTP(protocol.HTTPConfig{}), failover: with(quick, func(f *Failover) { f.Ack = c.ack })})
			unread := 0
			r.stations[0].reader(&unread)
			r.stations[0].app, r.stations[1].app = silent, silent
			client := r.client()
			client.says(c.says, false)
			r.until("it has come", func() bool { return r.serving() != nil && len(r.serving().got) == len(c.says) })
			unread = 1
			r.w.RunFor(time.Second)
			if i := client.session.Info(); i.Protection == Protected {
				t.Error("shown as protected")
			}
			r.stations[0].die(true)
			r.w.RunFor(5 * time.Second)
			for _, s := range r.stations[1].servers {
				if len(s.got) > 0 {
					t.Errorf("another server got %q", s.got)
				}
			}
			if got := string(client.got); !strings.HasPrefix(got, "HTTP/1.1 502 ") || strings.Contains(got, "was not carried out") {
				t.Errorf("the client got %q", got)
			}
			r.close()
		})
	}
}

// A client that logs in again behind its settings: where the server wants the login first it gets it first.
func TestLoginAgain(t *testing.T) {
	state := func(name, match string) protocol.StateRule {
		return protocol.StateRule{Name: name, Match: regexp.MustCompile(match), Expect: regexp.MustCompile("^re ")}
	}
	p := lineProtocol(t, protocol.LineConfig{Safe: []*regexp.Regexp{re("^GET")}, States: []protocol.StateRule{state("login", "^USER"), state("mode", "^MODE")}})
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: p})
	strict := func(e *end) { // nothing before the login
		for _, line := range strings.SplitAfter(string(e.got[e.answered:]), "\n") {
			if !strings.HasSuffix(line, "\n") {
				return
			}
			e.answered += len(line)
			if answer := "re " + line; strings.HasPrefix(line, "USER") || strings.Contains(string(e.got[:e.answered]), "USER") {
				e.says(answer, false)
			} else {
				e.says("NOAUTH\n", false)
			}
		}
	}
	r.stations[0].app, r.stations[1].app = strict, strict
	c := r.client()
	c.says("USER 1\nMODE b\nUSER 2\n", false)
	r.until("set", func() bool { return strings.HasSuffix(string(c.got), "re USER 2\n") })
	r.stations[0].die(true)
	c.says("GET 1\n", false)
	r.until("goes on", func() bool { return strings.HasSuffix(string(c.got), "re GET 1\n") })
	if got := string(r.stations[1].server().got); got != "USER 2\nMODE b\nGET 1\n" {
		t.Errorf("the server got %q", got)
	}
	r.close()
}

// A client that has left while its server says no greeting does not stay for ever.
func TestGreetingNeverComes(t *testing.T) {
	r := newRig(t, options{protocol: greeter(t), failover: quick})
	r.stations[0].app = silent
	c := r.client()
	c.says("QUIT\n", true)
	r.w.RunFor(time.Minute)
	if !c.closed && !c.reset || r.user.Count() != 0 {
		t.Errorf("closed %v, reset %v, %d sessions", c.closed, c.reset, r.user.Count())
	}
	r.close()
}

// A pool user that stood still finds the answer in its socket: its server is not given up for that.
func TestOverslept(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: with(quick, func(f *Failover) { f.ReplyTimeout = 2 * time.Second })})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says("SET 1\n", false)
	r.until("it has come", func() bool { return s.server() != nil && len(s.server().got) > 0 })
	r.w.RunFor(400 * time.Millisecond)
	r.host.Freeze()
	s.server().says("re SET 1\n", false)
	r.w.RunFor(3 * time.Second)
	r.host.Thaw()
	r.w.RunFor(5 * time.Second)
	if got := string(c.got); got != "re SET 1\n" || len(r.records) > 0 {
		t.Errorf("the client got %q; %+v", got, r.records)
	}
	r.close()
}

// Each leg that carried the session and failed has a record of its own.
func TestRecordOfEachMove(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true, failover: quick})
	for _, s := range r.stations[:2] {
		s.app = silent
	}
	c := r.client()
	c.says("GET 1\n", false)
	for i := range 2 {
		r.until("it has come", func() bool { e := r.stations[i].server(); return e != nil && len(e.got) > 0 && c.session.leg.open })
		r.w.RunFor(time.Second)
		r.stations[i].die(true)
	}
	r.until("answered", func() bool { return len(c.got) > 0 })
	if len(r.records) != 2 || r.records[0].To != "element2" || r.records[1].From != "element2" {
		t.Errorf("%+v", r.records)
	}
	r.close()
}

// A request that is found to be none while its reply is due already gets the protocol's word for that.
func TestBrokenChunk(t *testing.T) {
	r := newRig(t, options{protocol: protocol.NewHTTP(protocol.HTTPConfig{}), failover: quick})
	r.stations[0].app = silent
	c := r.client()
	c.says("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false)
	r.w.RunFor(time.Second)
	if got := string(c.got); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

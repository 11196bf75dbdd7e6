package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// command is a redis command in RESP.
func command(words ...string) string {
	var b strings.Builder
	b.WriteString("*" + string(rune('0'+len(words))) + "\r\n")
	for _, w := range words {
		b.WriteString("$" + string(rune('0'+len(w))) + "\r\n" + w + "\r\n")
	}
	return b.String()
}

// CLIENT REPLY SKIP concerns the next command: that does not reach another server without it, where it would get a reply.
func TestSkippedReply(t *testing.T) {
	for _, sent := range []bool{true, false} {
		testSkippedReply(t, sent)
	}
}

func testSkippedReply(t *testing.T, sent bool) {
	safe := func(name string) (bool, bool) { return name == "get", true }
	r := newRig(t, options{elements: 2, priority: true, failover: quick, protocol: protocol.NewRedis(protocol.RedisConfig{Safe: safe})})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	skip := command("CLIENT", "REPLY", "SKIP")
	c.says(skip, false)
	r.until("it has come", func() bool { s := r.serving(); return s != nil && string(s.got) == skip })
	r.w.RunFor(time.Second)
	if sent {
		r.stations[0].server().room = 0
		c.says(command("SET", "a", "1")+command("GET", "a"), false)
		r.w.RunFor(time.Second)
	}
	r.stations[0].die(true)
	r.w.RunFor(time.Second)
	if !sent {
		c.says(command("SET", "a", "1")+command("GET", "a"), false)
		r.w.RunFor(time.Second)
	}
	if s := r.stations[1].server(); s != nil && len(s.got) > 0 || !c.reset && !c.finished {
		t.Errorf("the client got %q, reset %v, closed %v", c.got, c.reset, c.closed)
		if s != nil {
			t.Errorf("the next server got %q", s.got)
		}
	}
	r.close()
}

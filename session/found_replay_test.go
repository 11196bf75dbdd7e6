package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// What the simulation has found in replay (proxy, TestSimulation), one test each.

const getRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func web() protocol.Protocol { return protocol.NewHTTP(protocol.HTTPConfig{}) }

// A safe request that a server has executed before it died was answered with "was not carried out" at the deadline.
func TestFoundExecutedDenied(t *testing.T) {
	r := newRig(t, options{protocol: web(), failover: quick})
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says(getRequest, false)
	r.until("come", func() bool { return s.server() != nil && string(s.server().got) == getRequest })
	s.die(false)
	r.until("answered", func() bool { return len(c.got) > 0 })
	if got := string(c.got); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "may have been carried out") {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// With replay = "session" the error at the first deadline became part of what the next server had to say, and the session hung.
func TestFoundErrorInHistory(t *testing.T) {
	r := newRig(t, options{protocol: web(), failover: with(quick, func(f *Failover) { f.Replay = ReplaySession })})
	s := r.stations[0]
	s.gone = true
	c := r.client()
	c.says(getRequest, false)
	r.until("answered", func() bool { return len(c.got) > 0 })
	if got := string(c.got); !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("the session goes on behind %q", got)
	}
	c.says("", true)
	r.w.RunFor(time.Minute)
	if !c.finished {
		t.Error("the connection is not closed")
	}
	r.close()
}

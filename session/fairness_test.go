package session

import (
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// Many sessions have more to send than an association's queue should hold, and the peer is frozen for a while, or the
// association cut: behind a piece each they wait their turn, and nothing is lost.
func TestManySessionsWaitForTheQueue(t *testing.T) {
	for name, cut := range map[string]bool{"frozen": false, "cut": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{memory: 64 << 10, legs: 64 << 10, beat: mapping.Heartbeat{Interval: 10 * time.Second, Misses: 3},
				protocol: lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream})})
			s := r.stations[0]
			s.app = silent
			const sessions = 20
			const most = maxQueued + sessions*(maxPiece+1000) // each may queue one piece before it waits
			for range sessions {
				r.client()
			}
			r.until("all are open", func() bool { return len(s.servers) == sessions })
			r.w.RunFor(100 * time.Millisecond)
			up, down := numbered("TELL", 1000), numbered("news", 1000)
			l := r.user.links["element1"][0]
			wait := func() {
				r.w.RunFor(100 * time.Millisecond)
				if cut {
					r.cut(s)
				}
			}
			s.host.Freeze()
			for _, c := range r.clients {
				c.says(up, false)
			}
			r.w.RunFor(100 * time.Millisecond)
			if n := len(l.waiting); n < sessions/2 {
				t.Errorf("%d of %d sessions wait", n, sessions)
			}
			if n := l.a.Queued(); n > most {
				t.Errorf("%d bytes are queued", n)
			}
			s.host.Thaw()
			wait()
			r.host.Freeze()
			for _, server := range s.servers {
				server.says(down, false)
			}
			r.w.RunFor(100 * time.Millisecond)
			for far := range s.e.links {
				if n := far.a.Queued(); n > most {
					t.Errorf("%d bytes are queued at the element", n)
				}
			}
			r.host.Thaw()
			wait()
			done := 0
			r.until("all has come", func() bool {
				for done < sessions && len(r.clients[done].got) >= len(down) && len(s.servers[done].got) >= len(up) {
					done++
				}
				return done == sessions
			})
			for i, c := range r.clients {
				if string(c.got) != down || string(s.servers[i].got) != up {
					t.Errorf("session %d got other bytes", i)
				}
			}
			r.close()
		})
	}
}

// What servers say unasked is passed on message by message; when a server dies the session moves without a word to the client.
func TestUnaskedNewsMoves(t *testing.T) {
	r := newRig(t, options{elements: 2, priority: true, failover: quick,
		protocol: lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream})})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	r.until("it is open", func() bool { return r.serving() != nil && c.session.leg.open })
	r.serving().says("one\ntwo\nthr", false) // the third is never told in full
	r.until("two have come", func() bool { return strings.HasSuffix(string(c.got), "two\n") })
	r.stations[0].die(true)
	r.until("another serves", func() bool { return len(r.stations[1].servers) == 1 })
	r.serving().says("four\n", false)
	r.until("it goes on", func() bool { return string(c.got) == "one\ntwo\nfour\n" })
	r.close()
}

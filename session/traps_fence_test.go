package session

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Traps about servers that are not dead, or not for ever.

// T10. The path to the server falls silent; the server lives. A safe request is moved at once; an unsafe one that is to be repeated
// waits until the old server's connection has been reset by its sidecar. The other ways of being sure: a newer leg ends an older one;
// what a frozen server does when it wakes reaches nobody, and is not done elsewhere.
func trapFence(t *testing.T) {
	t.Run("partition", trapPartition)
	t.Run("newer leg", trapNewerLeg)
	t.Run("frozen", trapFrozen)
}

// fenced repeats what is unsafe. With heartbeats of a second it takes 4 s until a silence is noticed, at either side.
var fenced = Failover{Replay: ReplayUnacked, Unsafe: UnsafeReplay, Resume: time.Second, Fence: 3 * time.Second, Deadline: 30 * time.Second, Attempts: 5}

func trapPartition(t *testing.T) {
	stream := protocol.NewStream(protocol.StreamConfig{NoJoin: true})
	whole := with(fenced, func(f *Failover) { f.Replay, f.Unsafe = ReplaySession, UnsafeRefuse })
	for _, c := range []struct {
		name, request string
		o             options
		waits         bool
		cut           bool // the pool user's end is cut as well: it knows at once, the other side only when the silence has lasted
	}{
		{"safe", "GET 1", options{failover: fenced}, false, false},
		{"unsafe", "PAY 1", options{failover: fenced}, true, false},
		{"unsafe, cut", "PAY 1", options{failover: fenced}, true, true},
		{"of which nothing is known", "PAY 1", options{failover: whole, protocol: stream}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := trap(t, c.o)
			old, next := r.stations[0], r.stations[1]
			client := r.client()
			server := r.heard(client, c.request+"\n")
			old.host.Drift(-18_000) // as slow a clock as is reckoned with, nearly: 2%
			r.w.Stall(r.host, old.host)
			if c.cut {
				r.user.links[old.name][0].violate("cut at this end")
			}
			began := r.w.Now()
			r.until("it is repeated", func() bool { return b.at(next, c.request) > 0 })
			took := r.w.Now().Sub(began)
			if c.waits && !server.reset || c.waits != (took > 7*time.Second) {
				t.Errorf("repeated after %v, the old server's connection is reset: %v", took, server.reset)
			}
			r.gets(client, "re "+c.request+"\n")
			r.until("the old server's connection is reset", func() bool { return server.reset })
			if x := r.records[len(r.records)-1]; c.waits != (x.Fence > 0) {
				t.Errorf("record %+v", x)
			}
			r.w.Heal(r.host, old.host)
			r.w.RunFor(10 * time.Second)
			r.stays(client)
			r.close()
		})
	}
}

func trapNewerLeg(t *testing.T) {
	r, b := trap(t, options{failover: with(quick, func(f *Failover) { f.Resume, f.Fence = 0, time.Minute })})
	r.stations[1].host.Kill() // there is only one to go to
	s := r.stations[0]
	s.app = silent
	c := r.client()
	c.says("GET 1\n", false)
	r.until("it has come", func() bool { return s.server() != nil && len(s.server().got) > 0 })
	b.serve(s, never, "")
	r.cut(s)
	r.gets(c, "re GET 1\n")
	if len(s.servers) != 2 || !s.servers[0].reset {
		t.Errorf("%d connections, the first one reset: %v", len(s.servers), s.servers[0].reset)
	}
	r.close()
}

func trapFrozen(t *testing.T) {
	for _, c := range []struct {
		name        string
		command     bool          // fence_exec
		wakes       time.Duration // before the command has killed it
		first, done string        // what the client gets of the first request, and who carries it out
	}{
		{"it wakes later", false, 0, "ERR lost\n", "element1"}, // in its queue, and nobody can take it from there
		{"fence_exec", true, 0, "re PAY 1\n", "element2"},
		{"it wakes while fence_exec runs", true, 10 * time.Millisecond, "ERR lost\n", "element1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := trap(t, options{failover: with(patient, func(f *Failover) { f.Ack = AckRead })})
			s := r.stations[0]
			client := r.client()
			client.says("GET 0\n", false)
			r.gets(client, "re GET 0\n")
			frozen := s.server()
			frozen.frozen = true
			if c.command {
				s.e.c.Fence = func(_ *Leg, answer func(error)) {
					r.w.After(50*time.Millisecond, func() { s.kill(); answer(nil) })
					if c.wakes > 0 {
						r.w.After(c.wakes, frozen.thaw)
					}
				}
			}
			client.says("PAY 1\nPAY 2\nPAY 3\n", false)
			want := "re GET 0\n" + c.first + "re PAY 2\nre PAY 3\n"
			r.gets(client, want)
			if !c.command {
				if !frozen.reset {
					t.Error("the connection of the frozen server was not reset")
				}
				frozen.thaw()
			}
			r.gets(client, want)
			for _, request := range []string{"PAY 1", "PAY 2", "PAY 3"} {
				b.times(request, 1)
			}
			if !slices.Contains(b.done, c.done+": PAY 1") {
				t.Errorf("%q", b.done)
			}
			r.stays(client)
			r.close()
		})
	}
}

// T14. An end of file or a reset, from a server that has died or lives, with a request in flight or none, or behind a goodbye.
func trapEndOfFile(t *testing.T) {
	for _, c := range []struct {
		name, request string
		dead, reset   bool
		moves         bool
	}{
		{"death, idle", "", true, false, true},
		{"death by reset, idle", "", true, true, true},
		{"death, in flight", "GET 1\n", true, false, true},
		{"close, idle", "", false, false, false},
		{"reset of a server that lives, idle", "", false, true, false},
		{"close, in flight", "GET 1\n", false, false, true},
		{"close behind a goodbye", "QUIT\n", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := trap(t, options{})
			client := r.client()
			server := r.heard(client, c.request)
			r.stations[0].gone = c.dead
			if c.reset {
				server.breaks()
			} else {
				server.says("", true)
			}
			r.w.RunFor(5 * time.Second)
			if c.moves {
				r.stays(client)
				client.says("GET 2\n", false)
				r.until("it goes on", func() bool { return strings.HasSuffix(string(client.got), "re GET 2\n") })
			} else if client.reset != c.reset || client.finished == c.reset || len(client.got) > 0 || len(r.stations[1].servers) > 0 {
				t.Errorf("reset %v, finished %v, %q, %q", client.reset, client.finished, client.got, b.done)
			}
			r.close()
		})
	}
}

// T17. The association breaks, or the server dies, before anything has happened in the session, at every moment of its beginning. Nothing
// is lost, and an unsafe request that was under way is carried out once.
func trapFirstEvent(t *testing.T) {
	const step = 50 * time.Microsecond
	for _, how := range []string{"association cut", "sidecar killed", "server killed"} {
		for at := range 60 {
			r, b := trap(t, options{})
			for _, s := range r.stations {
				s.slow = time.Millisecond
			}
			c := r.client()
			request := ""
			if at%2 == 1 {
				request = "PAY 1\n" // the first event comes with the OPEN
			}
			c.says(request, false)
			r.w.RunFor(time.Duration(at) * step)
			executed := b.count("PAY 1") > 0
			switch how {
			case "association cut":
				r.cut(r.stations[0])
			case "sidecar killed":
				r.stations[0].host.Kill()
			default:
				r.stations[0].kill()
			}
			r.w.RunFor(3 * time.Second)
			c.says("GET 2\n", false)
			r.until("it goes on", func() bool { return strings.HasSuffix(string(c.got), "re GET 2\n") })
			n := b.count("PAY 1")
			if n > 1 || how != "sidecar killed" && request != "" && !executed && n != 1 {
				t.Errorf("%s at step %d: carried out %d times, %q", how, at, n, c.got)
			}
			r.stays(c)
			r.close()
			if t.Failed() {
				return
			}
		}
	}
}

// T19. The only server is away for a while, and tried in vain all the time. When it is back a session is served within the longest
// pause, 250 ms, however often it has failed.
func trapCachedFailure(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 10 * time.Second, 25 * time.Second} {
		r, _ := trap(t, options{failover: with(quick, func(f *Failover) { f.Deadline = 30 * time.Second })})
		for _, s := range r.stations {
			s.gone = true
		}
		c := r.client()
		c.says("GET 1\n", false)
		r.w.RunFor(away)
		r.stations[0].gone = false
		began := r.w.Now()
		r.until("it is answered", func() bool { return string(c.got) == "re GET 1\n" })
		if took := r.w.Now().Sub(began); took > 300*time.Millisecond {
			t.Errorf("away for %v: served %v after it was back", away, took)
		}
		r.close()
	}
}

// T22. The preferred server comes back. A session that has left it stays where it is, with its connection; new ones go to it.
func trapFailBack(t *testing.T) {
	for _, sidecar := range []bool{false, true} { // what dies and comes back: the server alone, or its host with the sidecar
		r, b := trap(t, options{})
		c := r.client()
		c.says("PAY 1\n", false)
		r.gets(c, "re PAY 1\n")
		s := r.stations[0]
		if s.kill(); sidecar {
			s.host.Kill()
			r.w.RunFor(time.Second)
			s.host.Restart()
			s.start(0xd0)
		}
		r.w.RunFor(time.Second)
		s.gone = false
		for range 5 { // the first one that looks at it may be served by the other, still
			r.client()
			r.w.RunFor(time.Second)
		}
		r.w.RunFor(time.Minute)
		other := r.client()
		other.says("GET 1\n", false)
		r.gets(other, "re GET 1\n")
		if b.at(s, "GET 1") != 1 {
			t.Error("a new session is not served by it")
		}
		c.says("PAY 2\n", false)
		r.gets(c, "re PAY 1\nre PAY 2\n")
		if r.stations[1].servers[0].reset || b.at(r.stations[1], "PAY 2") != 1 || c.session.Info().Leg != 2 {
			t.Errorf("%q, leg %d", b.done, c.session.Info().Leg)
		}
		r.close()
	}
}

package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/protocol"
)

// numbered is lines that begin with the word, n of them, of different lengths.
func numbered(word string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %d %s\n", word, i, strings.Repeat("x", i*7%300))
	}
	return b.String()
}

// bounded runs the world and complains when a sidecar holds more than it may: both directions, with what is lost to blocks.
func (r *rig) bounded(d time.Duration) {
	r.t.Helper()
	for range int(d / (10 * time.Millisecond)) {
		r.w.RunFor(10 * time.Millisecond)
		if n, most := stored(r.host), 2*(2*r.o.memory+2*loop.LargeBuffer); n > most {
			r.t.Fatalf("the user holds %d bytes, more than %d", n, most)
		}
		for _, s := range r.stations {
			if n, most := stored(s.host), 2*(2*r.o.legs+2*loop.LargeBuffer); n > most {
				r.t.Fatalf("%s holds %d bytes, more than %d", s.name, n, most)
			}
		}
	}
}

// A server that does not read stops its client, and nothing is lost.
func TestSlowServer(t *testing.T) {
	for _, memory := range []int{16 << 10, 200 << 10} {
		r := newRig(t, options{memory: memory, legs: 16 << 10})
		r.stations[0].room, r.stations[0].app = 0, nil
		c := r.client()
		text := numbered("TELL", 6000)
		c.says(text, true)
		r.bounded(3 * time.Second)
		server := r.stations[0].server()
		if most := memory + 16<<10 + 1; c.taken > most || c.taken < memory/16 { // short lines cost more than their bytes
			t.Errorf("%d bytes were read of the client, %d may be kept", c.taken, most)
		}
		for len(server.got) < len(text)/2 {
			server.reads(5000)
			r.bounded(20 * time.Millisecond)
		}
		server.reads(-1)
		r.until("all bytes have come", func() bool { return len(server.got) == len(text) && server.finished })
		if string(server.got) != text {
			t.Error("the server got other bytes")
		}
		r.close()
	}
}

// A client that does not read stops its server, and nothing is lost; its neighbour on the association is not held up.
func TestSlowClient(t *testing.T) {
	r := newRig(t, options{memory: 20 << 10, legs: 24 << 10,
		protocol: lineProtocol(t, protocol.LineConfig{Reply: protocol.ReplyStream})})
	r.stations[0].app = nil
	slow, quick := r.client(), r.client()
	slow.room = 0
	r.until("both are served", func() bool { return len(r.stations[0].servers) == 2 })
	text := numbered("news", 6000)
	for _, server := range r.stations[0].servers {
		server.says(text, false)
	}
	r.until("the neighbour has all", func() bool { return string(quick.got) == text })
	r.bounded(time.Second)
	if len(slow.got) > 0 {
		t.Errorf("%d bytes", len(slow.got))
	}
	taken := r.stations[0].servers[0].taken
	if most := 20<<10 + 24<<10; taken > most {
		t.Errorf("%d bytes were read of the server for a client that reads nothing, %d may be", taken, most)
	}
	for len(slow.got) < len(text)/2 {
		slow.reads(3000)
		r.bounded(20 * time.Millisecond)
	}
	slow.reads(-1)
	r.until("all has come", func() bool { return len(slow.got) == len(text) })
	if string(slow.got) != text {
		t.Error("the client got other bytes")
	}
	r.close()
}

// A window that is a crumb, or closed for the moment, is never a deadlock: both sides have more to say than all buffers hold.
func TestBothWaysAtOnce(t *testing.T) {
	r := newRig(t, options{memory: 16 << 10, legs: 16 << 10})
	c := r.client()
	text := numbered("GET", 5000)
	c.says(text, true)
	want := "re " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nre ") + "\n"
	r.until("all is answered", func() bool { return len(c.got) == len(want) })
	if string(c.got) != want {
		t.Error("other replies")
	}
	r.close()
}

// A request that is larger than retrieval.memory goes through; it cannot be sent again, and that is said.
func TestRequestLargerThanMemory(t *testing.T) {
	r := newRig(t, options{memory: 16 << 10, elements: 2})
	r.stations[0].app, r.stations[1].app = silent, silent
	c := r.client()
	request := "GET " + strings.Repeat("y", 300<<10) + "\n"
	c.says(request, false)
	var server *end
	r.until("the request has come", func() bool {
		server = r.serving()
		return server != nil && len(server.got) == len(request)
	})
	if !r.logged("request unprotected", "retrieval.memory") {
		t.Error("it was not said that the request cannot be repeated")
	}
	r.stationOf(server).die(true)
	r.until("the session has ended", func() bool { return c.reset || c.finished })
	if got := string(c.got); got != "ERR sorry\n" || !r.logged("session ended", "passed retrieval.memory") {
		t.Errorf("the client got %q", got)
	}
	r.close()
}

// After such a request the session is protected again.
func TestProtectedAgain(t *testing.T) {
	r := newRig(t, options{memory: 16 << 10, elements: 2})
	c := r.client()
	c.says("GET "+strings.Repeat("y", 300<<10)+"\n", false)
	r.until("it is answered", func() bool { return strings.HasSuffix(string(c.got), "\n") })
	had := len(c.got)
	r.stationOf(r.serving()).die(true)
	c.says("GET 2\n", false)
	r.until("the next one is answered", func() bool { return string(c.got[had:]) == "re GET 2\n" })
	r.close()
}

// With replay = "session" history passes retrieval.memory: the session goes on, unprotected.
func TestHistoryPassesMemory(t *testing.T) {
	r := newRig(t, options{memory: 16 << 10, elements: 2,
		failover: Failover{Replay: ReplaySession, Resume: time.Second, Deadline: 10 * time.Second, Attempts: 3}})
	c := r.client()
	c.says(numbered("GET", 500), false)
	r.until("all is answered", func() bool { return strings.Count(string(c.got), "\n") == 500 })
	if !r.logged("session unprotected", "retrieval.memory") {
		t.Error("it was not said that the session is unprotected")
	}
	if n := stored(r.host); n != 0 {
		t.Errorf("%d bytes are kept that cannot be of use", n)
	}
	r.stationOf(r.serving()).die(true)
	c.says("GET on\n", false)
	r.until("the session has ended", func() bool { return c.reset || c.finished })
	if !r.logged("session ended", "passed retrieval.memory") {
		t.Error("no reason was given")
	}
	r.close()
}

// Nothing is retained and no timer runs when nothing goes on; what is one-way is kept until an ACK that does not wait long.
func TestIdle(t *testing.T) {
	r := newRig(t, options{})
	c := r.client()
	c.says(numbered("GET", 50), false)
	r.w.RunFor(time.Second)
	s := r.stations[0]
	if n, m := stored(r.host), stored(s.host); n != 0 || m != 0 {
		t.Errorf("idle, and %d and %d bytes are held", n, m)
	}
	if n, m := r.host.Timers(), s.host.Timers(); n != 1 || m != 1 { // the heartbeats
		t.Errorf("idle, and %d and %d timers are armed", n, m)
	}
	c.says("TELL one\n", false)
	r.until("it has come", func() bool { return strings.HasSuffix(string(s.server().got), "TELL one\n") })
	if n := c.session.Info().Retained; n != 9 {
		t.Errorf("%d bytes retained before the ACK", n)
	}
	r.w.RunFor(ackEvery + 5*time.Millisecond)
	if n := c.session.Info().Retained; n != 0 {
		t.Errorf("%d bytes retained", n)
	}
	r.close()
}

// With ack = "delivered" a request is forgotten as soon as it is written to the server; with "reply" when its reply is there.
func TestAckSetting(t *testing.T) {
	for ack, want := range map[Ack]int64{AckDelivered: 0, AckReply: 6} {
		r := newRig(t, options{elements: 2,
			failover: Failover{Replay: ReplayUnacked, Ack: ack, Resume: time.Second, Deadline: time.Second, Attempts: 3}})
		r.stations[0].app, r.stations[1].app = silent, silent
		c := r.client()
		c.says("GET 1\n", false)
		r.w.RunFor(time.Second)
		if n := c.session.Info().Retained; n != want {
			t.Errorf("ack = %v: %d bytes retained", ack, n)
		}
		r.stationOf(r.serving()).die(false)
		r.w.RunFor(500 * time.Millisecond)
		if ended := r.logged("session ended", `failover { ack = "reply" }`); ended != (ack == AckDelivered) {
			t.Errorf("ack = %v: ended is %v", ack, ended)
		}
		r.close()
	}
}

// serving is the server that has a connection; nil if none has.
func (r *rig) serving() *end {
	for _, s := range r.stations {
		for _, server := range s.servers {
			if !server.closed && !server.reset && !server.broken && !s.gone {
				return server
			}
		}
	}
	return nil
}

func (r *rig) stationOf(server *end) *station {
	for _, s := range r.stations {
		for _, other := range s.servers {
			if other == server {
				return s
			}
		}
	}
	r.t.Fatal("no station has that server")
	return nil
}

// A session has a small credit until it uses it. Who does not need more is not granted it; who does has it within a round trip, as long as there
// is memory; and what clients do not take is bounded by what there is, and not by what one of them might have.
func TestFirstCredit(t *testing.T) {
	const first, memory = 4 << 10, 64 << 10
	room := memory
	r := newRig(t, options{legs: memory, memory: memory})
	r.user.c.First, r.user.c.Window = first, func() int { return room }
	small, large := r.client(), r.client()
	r.stations[0].app = func(e *end) {
		if strings.HasSuffix(string(e.got), "\n") {
			size := 100
			if strings.HasPrefix(string(e.got), "GET large") {
				size = 400 << 10
			}
			e.got = nil
			e.says(strings.Repeat("x", size)+"\n", false)
		}
	}
	for range 20 {
		before := len(small.got)
		small.says("GET small\n", false)
		r.until("a small reply", func() bool { return len(small.got) == before+101 })
		r.w.RunFor(200 * time.Millisecond)
		if g := small.session.leg; g.granted-g.received > first {
			t.Fatalf("it may be sent %d bytes, and has had %d", g.granted-g.received, g.received)
		}
	}
	begun, widest := r.w.Now(), int64(0)
	large.says("GET large\n", false)
	r.until("a large reply", func() bool {
		widest = max(widest, large.session.leg.granted-large.session.leg.received)
		return len(large.got) == 400<<10+1
	})
	if took := r.w.Now().Sub(begun); widest < memory*3/4 || took > 100*time.Millisecond {
		t.Errorf("it was granted %d bytes at most, and took %v: it has waited for the next round of ACKs", widest, took)
	}
	room = 0 // the limit is reached
	var deaf []*end
	for range 20 {
		c := r.client()
		c.room = 0
		c.says("GET large\n", false)
		deaf = append(deaf, c)
	}
	r.w.RunFor(5 * time.Second)
	for _, c := range deaf {
		if n := c.session.out.spill.Len(); n == 0 || n > first {
			t.Errorf("%d bytes are kept for a client that takes none", n)
		}
	}
	room = memory
	for _, c := range deaf {
		c.reads(-1)
	}
	r.until("all have their replies", func() bool {
		for _, c := range deaf {
			if len(c.got) != 400<<10+1 {
				return false
			}
		}
		return true
	})
	r.close()
}

// So it is towards servers: who sends little has the first credit, who sends much has what there is, and what servers do not read is bounded by
// that.
func TestFirstCreditOfElement(t *testing.T) {
	const first, memory = 4 << 10, 64 << 10
	room := memory
	r := newRig(t, options{legs: memory, memory: memory})
	s := r.stations[0]
	s.e.c.First, s.e.c.Window = first, func() int { return room }
	s.app = silent
	small, large := r.client(), r.client()
	for range 20 {
		small.says("TELL "+strings.Repeat("x", 100)+"\n", false)
		r.w.RunFor(200 * time.Millisecond)
		if g := s.legs[0]; g.granted-g.out.written() > first {
			t.Fatalf("it may send %d bytes, and has sent %d", g.granted, g.out.written())
		}
	}
	text := numbered("TELL", 4000)
	begun, widest := r.w.Now(), int64(0)
	large.says(text, false)
	r.until("all has come", func() bool {
		g := s.legs[1]
		widest = max(widest, g.granted-g.out.written())
		return len(s.servers[1].got) == len(text)
	})
	if took := r.w.Now().Sub(begun); widest < memory*3/4 || took > 2*time.Second {
		t.Errorf("it was granted %d bytes at most, and took %v", widest, took)
	}
	room, s.room = 0, 0 // the limit is reached, and servers do not read
	var senders []*end
	for range 20 {
		c := r.client()
		c.says(text, true)
		senders = append(senders, c)
	}
	r.w.RunFor(5 * time.Second)
	for _, g := range s.legs[2:] {
		if n := g.out.spill.Len(); n == 0 || n > first {
			t.Errorf("%d bytes are kept for a server that reads none", n)
		}
	}
	for _, server := range s.servers[2:] {
		server.reads(-1)
	}
	r.until("all have got all", func() bool {
		for _, server := range s.servers[2:] {
			if string(server.got) != text || !server.finished {
				return false
			}
		}
		return len(s.servers) == 2+len(senders)
	})
	r.close()
}

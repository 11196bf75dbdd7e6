package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// Traps about what is kept.

// T12. Everybody pushes and nobody reads: what is kept stays within retrieval.memory at both sides, of messages, of what is known of them,
// of replies, and of states.
func trapBuffers(t *testing.T) {
	const memory = 16 << 10
	r, _ := trap(t, options{memory: memory, legs: memory})
	r.stations[0].app, r.stations[0].room = silent, 1000
	c := r.client()
	c.room = 0
	c.says(numbered("GET", 20_000)+strings.Repeat("x", 1<<20), false)
	r.until("a server is there", func() bool { return r.serving() != nil })
	r.serving().says(strings.Repeat("y", 1<<20), false)
	for range 20 {
		r.w.RunFor(time.Second)
		if i := c.session.Info(); i.Retained > memory || c.session.retained() > memory+messageBytes*memory/6 {
			t.Fatalf("%d bytes are retained, with messages %d", i.Retained, c.session.retained())
		}
		if user, element := stored(r.host), stored(r.stations[0].host); user > 4*memory+2*(64<<10) || element > 4*memory+2*(64<<10) {
			t.Fatalf("%d and %d bytes of buffers", user, element)
		}
	}
	if len(c.in) == 0 || c.session.Info().Leg != 1 {
		t.Errorf("%d bytes of the client are not read, leg %d: the limit was not met, or broken", len(c.in), c.session.Info().Leg)
	}
	r.close()

	keep := shop(t, func(l *protocol.LineConfig) { l.States[0].All = true })
	r, _ = trap(t, options{memory: memory, legs: memory, protocol: keep})
	c = r.client()
	for i := range 40 {
		c.says(fmt.Sprintf("USER %d %s\n", i, strings.Repeat("x", 1000)), false)
	}
	r.until("all is answered", func() bool { return strings.Count(string(c.got), "\n") == 40 })
	if i := c.session.Info(); c.session.states.bytes > memory || i.Protection != Unprotected || !strings.Contains(i.Reason, "passed retrieval.memory") {
		t.Errorf("%d bytes of states, %s: %s", c.session.states.bytes, i.Protection, i.Reason)
	}
	r.close()
}

// T13. Where more would have to be kept than may be: messages wait, and none is lost; a message that is larger by itself, or a history,
// cannot be kept, and from that byte on the session says so, and does not survive. With more memory it does.
func trapDropped(t *testing.T) {
	r, b := trap(t, options{})
	b.serve(r.stations[0], whenDone, "GET 1000")
	text := numbered("GET", 3000)
	c := r.client()
	c.says(text, false)
	r.until("all is answered", func() bool { return strings.Count(string(c.got), "\n") == 3000 })
	if want := "re " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\nre ") + "\n"; string(c.got) != want {
		t.Errorf("other replies: %d bytes", len(c.got))
	}
	r.close()

	large := "GET " + strings.Repeat("x", 40<<10)
	for _, memory := range []int{16 << 10, 1 << 20} {
		r, _ = trap(t, options{memory: memory, legs: 1 << 20, protocol: shop(t, func(l *protocol.LineConfig) { l.MaxLine = 1 << 20 })})
		r.stations[0].app = silent
		c = r.client()
		c.says(large[:8<<10], false)
		r.w.RunFor(time.Second)
		before := c.session.Info()
		c.says(large[8<<10:]+"\n", false)
		r.w.RunFor(time.Second)
		after := c.session.Info()
		r.stations[0].kill()
		kept := memory > len(large)
		if before.Protection != Protected || kept != (after.Protection == Protected) {
			t.Errorf("memory %d: first %s, then %s: %s", memory, before.Protection, after.Protection, after.Reason)
		}
		if kept {
			r.gets(c, "re "+large+"\n")
		} else {
			r.gets(c, "ERR lost\n")
			if !strings.Contains(after.Reason, "passed retrieval.memory") || !r.logged("request unprotected") {
				t.Errorf("not said: %s", after.Reason)
			}
		}
		r.close()
	}
	trapHistory(t)
}

// trapHistory is T13 for replay = "session".
func trapHistory(t *testing.T) {
	for _, memory := range []int{16 << 10, 1 << 20} {
		r, _ := trap(t, options{memory: memory, legs: 1 << 20, protocol: protocol.NewStream(protocol.StreamConfig{}),
			failover: with(quick, func(f *Failover) { f.Replay, f.Unsafe = ReplaySession, UnsafeReplay })})
		c := r.client()
		c.says("first\n", false)
		r.gets(c, "re first\n")
		before := c.session.Info()
		c.says(strings.Repeat("x", 20<<10)+"\n", false)
		r.until("it is answered", func() bool { return len(c.got) > 20<<10 })
		r.w.RunFor(time.Second)
		after, all := c.session.Info(), string(c.got)
		r.stations[0].kill()
		if memory > 20<<10 {
			r.w.RunFor(time.Second)
			r.stays(c)
		} else if r.ends(c, all, errHistory.Error()); before.Protection != Protected || after.Protection != Unprotected || after.Reason != errHistory.Error() {
			t.Errorf("first %s, then %s: %s", before.Protection, after.Protection, after.Reason)
		}
		r.close()
	}
}

// T15. A peer asks to be sent what it never had a right to: from before what is kept, from behind what was ever said, with a credit without
// end. It is refused, gets no byte, and no memory is taken; the leg goes on for its owner.
func trapOffsets(t *testing.T) {
	for name, m := range map[string]message{
		"behind what was said":     {received: 1 << 40, credit: 1 << 41},
		"one byte behind":          {received: 10, credit: 1000},
		"before what is kept":      {received: 3, credit: 1000},
		"credit without end":       {received: 9, credit: 1 << 60},
		"credit of a negative sum": {received: 9, credit: -1},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := trap(t, options{protocol: lines(t)})
			s := r.stations[0]
			owner := r.liar("owner", s, 0x66)
			openLeg(owner)
			owner.tell(1, &message{typ: typeAck, received: 4, credit: 1000}) // of the 9 bytes of "re SET 1\n"
			r.w.RunFor(time.Second)
			before := stored(s.host)

			again := r.liar("owner", s, 0x66)
			again.hello()
			m.typ, m.token, m.leg = typeResume, token16(0x40), 1
			again.tell(3, &m)
			r.w.RunFor(time.Second)
			if x := again.last(3, typeRefused); again.down == nil && (x == nil || x.code != CodeProtocol) || again.text(3) != "" {
				t.Errorf("answered by %+v, and %q", x, again.text(3))
			}
			if after := stored(s.host); after > before+(64<<10) {
				t.Errorf("%d bytes of buffers, before it was %d", after, before)
			}
			owner.data(1, "SET 2\n")
			r.until("it goes on", func() bool { return owner.text(1) == "re SET 1\nre SET 2\n" })
			r.close()
		})
	}
}

// T18. No server is found within deadline. The requests that waited are answered by an error, and reach no server later, however soon
// one comes; what the client sends then does.
func trapStale(t *testing.T) {
	r, b := trap(t, options{})
	for _, s := range r.stations {
		s.gone = true
	}
	c := r.client()
	c.says("PAY 1\nGET 2\n", false)
	r.gets(c, "ERR lost\nERR lost\n")
	r.stations[1].gone = false
	c.says("PAY 3\n", false)
	r.gets(c, "ERR lost\nERR lost\nre PAY 3\n")
	if len(b.done) != 1 || string(r.stations[1].server().got) != "PAY 3\n" {
		t.Errorf("%q", b.done)
	}
	r.stays(c)
	r.close()
}

package proxy

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

var anyLine = []*regexp.Regexp{regexp.MustCompile("")}

// A message of the client's is one message of SCTP, however its bytes come; of what the server says the bytes come.
func TestNativeMessages(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{}), session.Failover{})
	c := r.client()
	c.write("one\ntwo\nthr")
	w := r.last()
	w.heard("one\n", "two\n")
	c.write("e")
	w.heard()
	c.write("e\nfour\n")
	w.heard("three\n", "four\n")
	w.say("1\n", "2\n3", "\n4\n")
	r.run(time.Millisecond)
	c.has("1\n2\n3\n4\n")
}

// Bytes of a protocol without messages go as they come, in messages of a bounded size.
func TestNativeStream(t *testing.T) {
	r := newNativeRig(t, protocol.NewStream(protocol.StreamConfig{}), session.Failover{})
	c := r.client()
	c.write("ab")
	w := r.last()
	w.heard("ab")
	c.write("c")
	w.heard("c")
	w.say("x", "yz")
	c.has("xyz")
}

// The cookie of the element that died is the first message to the next one, and what was set last counts; before there was one, nothing
// is echoed.
func TestNativeCookie(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	c.write("one\n")
	first := r.last()
	first.heard("one\n")
	first.cookie("after nothing")
	first.say("1\n")
	first.cookie("after one")
	first.die(fmt.Errorf("it ended: %w", io.EOF))
	if len(r.wires) != 2 {
		t.Fatalf("%d associations\n%s", len(r.wires), r.log.String())
	}
	second := r.last()
	checkEcho(t, second, "after one")
	c.write("two\n")
	second.heard("two\n")
	delete(r.absent, first.to)
	second.die(fmt.Errorf("it broke: %w", loop.ErrReset)) // before it has set one
	third := r.last()
	checkEcho(t, third, "after one")
	third.heard("two\n")
	third.say("2\n")
	c.has("1\n2\n")
}

// checkEcho checks and takes the first message that an element got.
func checkEcho(t *testing.T, w *wire, cookie string) {
	t.Helper()
	if len(w.sent) == 0 || w.sent[0].PPID != asap.PPID {
		t.Fatalf("element %v got no ASAP message first: %v", w.to, w.sent)
	}
	m, _, err := asap.RSPLIB().Parse(w.sent[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if echo, ok := m.(asap.CookieEcho); !ok || string(echo.Cookie) != cookie {
		t.Errorf("element %v got %v %q first, want a COOKIE_ECHO with %q", w.to, m.Type(), echo.Cookie, cookie)
	}
	w.sent = w.sent[1:]
}

// What is not a cookie harms nothing: rubbish, messages for registrars, a cookie that is too long. The last good one is kept.
func TestNativeRubbish(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	c.write("one\n")
	w := r.last()
	w.cookie("good")
	for _, b := range [][]byte{nil, {0}, {0x0b, 0, 0, 4}, {0x0b, 0, 0xff, 0xff}, bytes.Repeat([]byte{0xff}, 70_000), {0x0a, 0, 0, 8, 0, 0, 0, 0},
		{0x0c, 0, 0, 12, 0, 0xd, 0, 8, 'e', 'v', 'i', 'l'}} {
		w.tell(asap.PPID, b)
	}
	for range 100 {
		w.cookie(strings.Repeat("x", session.MaxCookie+1))
	}
	w.say("1\n")
	c.has("1\n")
	if n := strings.Count(r.log.String(), "[WARN]"); n != 1 {
		t.Errorf("%d warnings, want one for the association", n)
	}
	w.die(io.EOF)
	checkEcho(t, r.last(), "good")
}

// A message of another application is not passed over: the client would wait for what it has lost.
func TestNativePPID(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	c.write("one\n")
	first := r.last()
	first.tell(34, []byte("1\n"))
	first.say("2\n")
	r.run(time.Second)
	second := r.last()
	if first == second || first.ended != "aborted" {
		t.Fatalf("%d associations, the first is %q\n%s", len(r.wires), first.ended, r.log.String())
	}
	second.heard("one\n")
	second.say("1\n")
	c.has("1\n")
	if !strings.Contains(r.log.String(), "PPID 34 came") {
		t.Error(r.log.String())
	}
}

// A message that does not fit the kernel's buffer fails with a word for it, at every element.
func TestNativeLongMessage(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	w := r.last()
	w.longest = 1000
	c.write(strings.Repeat("x", 999) + "\n")
	w.heard(strings.Repeat("x", 999) + "\n")
	w.say("1\n")
	r.absent[r.user.Addr(2)] = true
	c.write(strings.Repeat("x", 500))
	c.write(strings.Repeat("x", 501))
	r.run(20 * time.Second)
	w.heard()
	if !strings.Contains(r.log.String(), "a message is too long for SCTP to this element: it has more than 1000 bytes") {
		t.Error(r.log.String())
	}
	if w.ended != "aborted" {
		t.Errorf("the association is %q", w.ended)
	}
}

// The kernel takes no more: the rest waits, and nothing grows.
func TestNativeFullQueue(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	c := r.client()
	w := r.last()
	w.queued = mapping.LowWater
	c.write("one\ntwo\n")
	w.heard()
	r.do(func() {
		w.queued = 0
		w.handler.Drained()
	})
	w.heard("one\n", "two\n")
}

// A client that does not read has the association paused with one message in hand; nothing is lost, and nothing grows.
func TestNativeSlowClient(t *testing.T) {
	r := newNativeRig(t, protocol.NewStream(protocol.StreamConfig{}), session.Failover{})
	c := r.client()
	c.write("x")
	c.slow = true
	w := r.last()
	var said bytes.Buffer
	message := bytes.Repeat([]byte("0123456789abcdef"), 6000)
	for i := range 40 {
		message[0] = byte(i)
		said.Write(message)
		w.tell(nativePPID, bytes.Clone(message))
	}
	r.run(time.Second)
	if !w.paused || len(w.waiting) < 20 {
		t.Errorf("paused %t, %d of 40 messages wait outside", w.paused, len(w.waiting))
	}
	if n := r.user.Buffers().Out(); n > 1<<20 {
		t.Errorf("%d bytes of buffers are out", n)
	}
	r.home.Post(func() {
		c.slow = false
		c.read()
	})
	r.run(10 * time.Second)
	if !bytes.Equal(c.got, said.Bytes()) || w.paused || len(w.waiting) > 0 {
		t.Errorf("the client has %d bytes of %d; paused %t, %d wait", len(c.got), said.Len(), w.paused, len(w.waiting))
	}
}

// What a client says goes on as soon as the server's kernel has acknowledged what fills the memory of its session.
func TestNativeUpload(t *testing.T) {
	r := newNativeRig(t, protocol.NewStream(protocol.StreamConfig{}), session.Failover{Replay: session.ReplayUnacked})
	c := r.client()
	w := r.last()
	w.acks = time.Millisecond
	c.write(strings.Repeat("x", 4<<20))
	r.run(500 * time.Millisecond) // 16 times as much as the memory, and each full one waited for 100 ms
	n := 0
	for _, m := range w.sent {
		n += len(m.Data)
	}
	if n != 4<<20 {
		t.Errorf("the server has %d bytes", n)
	}
}

// Whatever comes with ASAP's PPID, the session goes on.
func FuzzNativeASAP(f *testing.F) {
	f.Add([]byte{0x0b, 0, 0, 8, 0, 0xd, 0, 4})
	f.Add([]byte{0x0b, 0, 0, 12, 0, 0xd, 0, 6, 'a', 'b', 0, 0})
	f.Add([]byte{0x0d, 0, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newNativeRig(t, nativeLines(t, protocol.LineConfig{}), session.Failover{})
		c := r.client()
		c.write("one\n")
		w := r.last()
		w.tell(asap.PPID, b)
		w.say("1\n")
		if c.has("1\n"); w.ended != "" {
			t.Errorf("the association is %s", w.ended)
		}
	})
}

// The status has the associations with the elements, of which each session has one, and not what is between the two sides in this process.
func TestNativeStatus(t *testing.T) {
	r := newNativeRig(t, nativeLines(t, protocol.LineConfig{Safe: anyLine}), session.Failover{})
	r.absent[r.user.Addr(1)] = true
	for range 2 {
		r.client().write("one\n")
	}
	r.run(time.Second)
	var s Status
	r.shard.status(&s)
	if len(s.Associations) != 2 {
		t.Fatalf("%+v", s.Associations)
	}
	for _, a := range s.Associations {
		if a.Remote != r.user.Addr(2).String() || !a.Up || a.Sessions != 1 || a.Mapping != "sctp" || a.Side != "pool_user" {
			t.Errorf("%+v", a)
		}
	}
	r.last().die(io.EOF)
	r.absent[r.user.Addr(2)] = true
	s = Status{}
	r.shard.status(&s)
	if len(s.Associations) != 1 {
		t.Errorf("after the end of one: %+v", s.Associations)
	}
}

package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
)

// A server that does not read slows its pool user down: what waits in the sidecar is bounded, and nothing is lost.
func TestNativeElementSlowServer(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u, other := r.user(), r.user()
	u.say(testPPID, frame("hello"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	r.conns[0].deaf, r.conns[0].echo = true, false
	s, want := r.first(), r.conns[0].got
	for i := range 300 {
		f := frame(strings.Repeat(string(rune('a'+i%26)), 10_000))
		u.say(testPPID, f)
		want = append(want, f...)
		r.RunFor(time.Millisecond)
		if n := s.spill.Len(); n > r.side.rules.(*nativeElement).memory+len(f) {
			t.Fatalf("%d bytes wait after %d messages", n, i)
		}
	}
	if !s.paused || u.Queued() == 0 {
		t.Fatalf("the association is read on: paused %v, %d bytes wait at the pool user", s.paused, u.Queued())
	}
	other.say(testPPID, frame("not slow"))
	r.until("another session goes on", func() bool { return len(other.texts()) == 1 })
	r.conns[0].hear()
	r.until("the server has all", func() bool { return bytes.Equal(r.conns[0].got, want) })
	if s.paused || u.down != nil {
		t.Errorf("paused %v, down: %v", s.paused, u.down)
	}
}

// first is the session of the pool user that came first.
func (r *nativeElementRig) first() *nativeSession { return r.side.rules.(*nativeElement).inOrder()[0] }

// A pool user that does not read slows its server down.
func TestNativeElementSlowUser(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	u.say(testPPID, frame("hello"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	u.Association.(mapping.Pauser).Pause()
	want, s := frames("hello"), r.only()
	for i := range 200 {
		f := frame(strings.Repeat(string(rune('a'+i%26)), 10_000))
		want = append(want, string(f))
		r.conns[0].say(f)
		r.RunFor(time.Millisecond)
		if n := s.association.Queued(); n > nativeWindow+len(f) {
			t.Fatalf("%d bytes wait after %d messages", n, i)
		}
	}
	if len(r.conns[0].unsent) == 0 {
		t.Fatal("the server was not slowed down")
	}
	u.Association.(mapping.Pauser).Resume()
	r.until("all has come", func() bool { return len(u.texts()) == len(want) })
	if !slices.Equal(u.texts(), want) {
		t.Error("not what was said")
	}
}

// A message that no association could carry ends its session, and takes no memory before that.
func TestNativeElementMessageTooLong(t *testing.T) {
	p, err := protocol.NewLength(protocol.LengthConfig{Width: 4})
	if err != nil {
		t.Fatal(err)
	}
	r := newNativeElementRig(t, 1, Limits{}, p)
	u := r.user()
	u.say(testPPID, []byte{0, 0, 0, 1, 'x'})
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	r.conns[0].say(append([]byte{0, 0xf0, 0, 0}, make([]byte, 4<<20)...))
	most := 0
	r.until("it is aborted", func() bool {
		most = max(most, r.here.Buffers().Out())
		return u.down != nil
	})
	if isEOF(u.down) || most > 1<<20 || !strings.Contains(r.log.String(), "which is the most that goes over this association") {
		t.Errorf("down: %v, %d bytes held", u.down, most)
	}
}

// limits.sessions and the health check refuse new sessions, and stopping does.
func TestNativeElementRefusals(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{Sessions: 2}, framed(t))
	a, b, c := r.user(), r.user(), r.user()
	a.say(testPPID, frame("hello"))
	r.until("the third is refused", func() bool { return c.down != nil && len(a.texts()) == 1 })
	if a.down != nil || b.down != nil || !strings.Contains(r.log.String(), errNativeFull.Error()) {
		t.Errorf("a %v, b %v", a.down, b.down)
	}
	b.Abort()
	r.RunFor(time.Second)
	r.side.rules.SetHealth(errors.New("it is ill"))
	r.until("the one that there was has to go", func() bool { return a.down != nil })
	d := r.user()
	r.until("a new one is refused", func() bool { return d.down != nil })
	r.side.rules.SetHealth(nil)
	e := r.user()
	e.say(testPPID, frame("hello"))
	r.until("a healthy one serves", func() bool { return len(e.texts()) == 1 })
	r.side.rules.Refuse()
	f := r.user()
	r.until("when stopping, a new one is refused", func() bool { return f.down != nil })
	e.say(testPPID, frame("again"))
	r.until("and the one that there is goes on", func() bool { return len(e.texts()) == 2 })
	if !r.shard.Busy() {
		t.Error("not busy")
	}
}

// At limits.memory sessions wait, each keeps its share, and all goes on when servers read again.
func TestNativeElementLimitOfMemory(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{Sessions: 8, Memory: 1 << 20}, framed(t))
	var users []*nativeUser
	for range 8 {
		u := r.user()
		u.say(testPPID, frame("hello"))
		users = append(users, u)
	}
	r.until("all serve", func() bool {
		return len(r.conns) == 8 && !slices.ContainsFunc(users, func(u *nativeUser) bool { return len(u.texts()) == 0 })
	})
	for _, c := range r.conns {
		c.deaf = true
	}
	// The pool users' own queues are of the same host, and so of the same memory.
	for range 20 {
		for _, u := range users {
			u.say(testPPID, frame(strings.Repeat("x", 10_000)))
		}
		r.RunFor(time.Millisecond)
	}
	waiting := 0
	for _, s := range r.side.rules.(*nativeElement).inOrder() {
		waiting += s.spill.Len()
	}
	if waiting > 1<<20 {
		t.Errorf("%d bytes wait for servers", waiting)
	}
	for _, c := range r.conns {
		c.hear()
	}
	r.until("all is answered", func() bool {
		return !slices.ContainsFunc(users, func(u *nativeUser) bool { return len(u.texts()) != 21 })
	})
}

// pauseless is an association that cannot be paused.
type pauseless struct{ mapping.Association }

// What a pool user sends must be bounded: an association that cannot be paused is refused.
func TestNativeElementPauseless(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	if h := r.side.rules.Accept(pauseless{u.Association}); h != nil {
		t.Errorf("accepted: %v", h)
	}
}

// heedless is an association that takes no notice of being paused.
type heedless struct{ mapping.Association }

func (heedless) Pause()  {}
func (heedless) Resume() {}

// What comes in spite of Pause is bounded, too.
func TestNativeElementFlood(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	r.there.Freeze()
	h := r.side.rules.Accept(heedless{r.user().Association})
	f := frame(strings.Repeat("x", 50_000))
	for range 10 << 20 / len(f) {
		h.Receive(mapping.Message{PPID: testPPID, Data: f})
	}
	if s := h.(*nativeSession); !s.ended || r.here.Buffers().Out() > 1<<20 {
		t.Errorf("ended is %v, %d bytes held", s.ended, r.here.Buffers().Out())
	}
}

// Half a million requests in one message are a number, not half a million structs.
func TestNativeElementManyRequests(t *testing.T) {
	p, err := protocol.NewLine(protocol.LineConfig{Delimiter: []byte("\n"), MaxLine: 1000})
	if err != nil {
		t.Fatal(err)
	}
	r := newNativeElementRig(t, 1, Limits{}, p)
	u := r.user()
	u.say(testPPID, []byte("first\n"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	r.conns[0].echo = false
	many := bytes.Repeat([]byte("\n"), 30_000)
	u.say(testPPID, many)
	r.until("the server has them", func() bool { return len(r.conns[0].got) == len("first\n")+len(many) })
	s := r.only()
	if len(s.due) != 1 || s.due[0].count != len(many) {
		t.Fatalf("%d entries, %d requests", len(s.due), s.due[0].count)
	}
	r.conns[0].say(many[1:])
	r.until("all but one are answered", func() bool { return len(u.texts()) == len(many) })
	r.conns[0].Close()
	r.until("the server ends", func() bool { return u.down != nil })
	if isEOF(u.down) {
		t.Error("with a request in flight that was in order")
	}
}

// Whatever is said when, in pieces of any size, and whoever stops reading for a while: both get all of it, in order, in whole messages.
func TestNativeElementAnyOrder(t *testing.T) {
	for seed := range uint64(30) {
		r := newNativeElementRig(t, seed, Limits{}, framed(t))
		rand := rand.New(rand.NewPCG(seed, 1))
		users := []*nativeUser{r.user(), r.user(), r.user()}
		want := make([][]string, len(users))
		for i, u := range users {
			hello := fmt.Sprint("user ", i)
			u.say(testPPID, frame(hello))
			want[i] = frames(hello)
			r.until("it is connected", func() bool { return len(r.conns) == i+1 })
		}
		for range 300 {
			i := rand.IntN(len(users))
			u, c := users[i], r.conns[i]
			switch rand.IntN(8) {
			case 0:
				c.deaf = !c.deaf
				c.Ready(loop.Readable)
			case 1:
				u.Association.(mapping.Pauser).Pause()
			case 2:
				u.Association.(mapping.Pauser).Resume()
			case 3:
				r.RunFor(time.Duration(rand.IntN(1000)) * time.Microsecond)
			default:
				text := strings.Repeat(string(rune('a'+rand.IntN(26))), rand.IntN(1<<rand.IntN(16)))
				want[i] = append(want[i], string(frame(text)))
				f := frame(text)
				for cut := rand.IntN(len(f) + 1); len(f) > 0; cut = len(f) {
					if cut > 0 {
						u.say(testPPID, f[:cut])
					}
					f = f[cut:]
				}
			}
		}
		for i, u := range users {
			r.conns[i].hear()
			u.Association.(mapping.Pauser).Resume()
			r.until("all came back", func() bool { return len(u.texts()) >= len(want[i]) })
			if !slices.Equal(u.texts(), want[i]) || u.down != nil {
				t.Fatalf("seed %d, user %d: %d messages of %d, down: %v", seed, i, len(u.texts()), len(want[i]), u.down)
			}
		}
	}
}

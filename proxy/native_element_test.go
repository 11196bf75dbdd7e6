package proxy

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

const testPPID = 33

// nativeElementRig is a pool_element for native pool users, in virtual time: the associations of its pool users are those of mapping.Direct, and
// the server is a host of its own.
type nativeElementRig struct {
	*looptest.World
	t           *testing.T
	here, there *looptest.Host
	shard       *Shard
	side        *elementSide
	direct      *mapping.Direct
	log         bytes.Buffer
	listener    loop.Listener // of the server
	conns       []*nativeConn // of the server, in the order they came
}

// framed is protocol length as the tests' server speaks it: two bytes of length, which count the whole message.
func framed(t *testing.T) protocol.Protocol {
	p, err := protocol.NewLength(protocol.LengthConfig{Width: 2, Counts: protocol.CountsMessage})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newNativeElementRig(t *testing.T, seed uint64, limits Limits, p protocol.Protocol) *nativeElementRig {
	w := looptest.NewWorld(seed)
	r := &nativeElementRig{World: w, t: t, here: w.Host("sidecar"), there: w.Host("server"), direct: mapping.NewDirect()}
	c := Element{Name: "e", Listen: r.here.Addr(7001), Server: r.there.Addr(80), Mapping: mapping.SCTP, Native: true, PPID: testPPID,
		Protocol: p, Memory: 64 << 10}
	shard, err := NewVirtualShard(r.here, Config{Limits: limits}, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug}), nil,
		func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	r.shard, shard.config.Elements = shard, []Element{c}
	r.side = &elementSide{shard: shard, block: &elementBlock{config: c}, name: c.Name, mapping: c.Mapping, server: c.Server, counts: &elementCounts{}}
	r.side.makeRules(c, session.CookieRule{})
	if r.side.listener, err = r.direct.Listen(r.here, c.Listen, mapping.Config{}, r.side.accept); err != nil {
		t.Fatal(err)
	}
	shard.elements = append(shard.elements, r.side)
	r.serve()
	t.Cleanup(r.end)
	return r
}

// end closes the sidecar and looks at what is left.
func (r *nativeElementRig) end() {
	r.shard.Close()
	r.shard.Close() // harmless
	r.RunFor(time.Minute)
	if n := r.side.counts.legs.Load(); n != 0 || r.here.Timers() > 0 || r.here.Conns() > 0 || r.here.Buffers().Out() != 0 {
		r.t.Errorf("left: %d connections counted, %d timers, %d connections, %d bytes", n, r.here.Timers(), r.here.Conns(), r.here.Buffers().Out())
	}
	if r.t.Failed() {
		r.t.Logf("log:\n%s", r.log.String())
	}
}

// serve has the server listen.
func (r *nativeElementRig) serve() {
	l, err := r.there.Listen(r.there.Addr(80), func(c loop.Conn) loop.Handler {
		x := &nativeConn{Conn: c, r: r, echo: true}
		r.conns = append(r.conns, x)
		return x
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.listener = l
}

// nativeConn is a connection at the server.
type nativeConn struct {
	loop.Conn
	r      *nativeElementRig
	got    []byte
	unsent []byte
	echo   bool // what comes is sent back
	deaf   bool // nothing is read
	ended  error
}

func (c *nativeConn) Ready(ev loop.Event) {
	for p := make([]byte, 1000); !c.deaf && c.ended == nil; {
		n, err := c.Read(p)
		c.got = append(c.got, p[:n]...)
		if c.echo {
			c.unsent = append(c.unsent, p[:n]...)
		}
		if err == loop.ErrAgain {
			break
		}
		c.ended = err
	}
	c.say(nil)
}

func (c *nativeConn) say(p []byte) {
	c.unsent = append(c.unsent, p...)
	n, _ := c.Write(c.unsent)
	c.unsent = c.unsent[n:]
}

// hear has a deaf connection read.
func (c *nativeConn) hear() {
	c.deaf = false
	c.Ready(loop.Readable)
}

// nativeUser is a pool user.
type nativeUser struct {
	mapping.Association
	got  []mapping.Message
	down error
}

func (r *nativeElementRig) user() *nativeUser {
	u := &nativeUser{}
	u.Association = r.direct.Dial(r.here, r.here.Addr(7001), mapping.Config{}, u)
	return u
}

func (u *nativeUser) Up()            {}
func (u *nativeUser) Drained()       {}
func (u *nativeUser) Down(err error) { u.down = err }
func (u *nativeUser) Receive(m mapping.Message) {
	m.Data = bytes.Clone(m.Data)
	u.got = append(u.got, m)
}

func (u *nativeUser) say(ppid uint32, p []byte) {
	if err := u.Send(mapping.Message{PPID: ppid, Data: p}, nil); err != nil {
		panic(err)
	}
}

// texts are the application's messages that the pool user has.
func (u *nativeUser) texts() (all []string) {
	for _, m := range u.got {
		if m.PPID == testPPID {
			all = append(all, string(m.Data))
		}
	}
	return all
}

// frame is a message of framed.
func frame(text string) []byte {
	return append([]byte{byte((len(text) + 2) >> 8), byte(len(text) + 2)}, text...)
}

func frames(texts ...string) (all []string) {
	for _, text := range texts {
		all = append(all, string(frame(text)))
	}
	return all
}

func (r *nativeElementRig) until(what string, done func() bool) {
	r.t.Helper()
	if !r.RunUntil(done, time.Minute) {
		r.t.Fatalf("never: %s\nlog:\n%s", what, r.log.String())
	}
}

// Messages become bytes, and bytes messages: whole ones, however they come.
func TestNativeElementMessages(t *testing.T) {
	for seed := range uint64(50) {
		r := newNativeElementRig(t, seed, Limits{}, framed(t))
		u := r.user()
		r.RunFor(time.Second)
		if len(r.conns) != 0 {
			t.Fatal("the server is connected to before anything was said")
		}
		u.say(testPPID, frame("one"))
		u.say(testPPID, frame("two"))
		u.say(testPPID, append(frame("three"), frame("four")...))
		five := frame(strings.Repeat("5", 50_000))
		u.say(testPPID, five[:1])
		u.say(testPPID, five[1:30_000])
		u.say(testPPID, five[30_000:])
		want := frames("one", "two", "three", "four", string(five[2:]))
		r.until("all came back", func() bool { return len(u.texts()) >= len(want) })
		if !slices.Equal(u.texts(), want) {
			t.Fatalf("seed %d: %.200q", seed, u.texts())
		}
		if got := string(r.conns[0].got); got != strings.Join(want, "") {
			t.Fatalf("seed %d: the server got %.200q", seed, got)
		}
		if u.got[0].Stream != 0 || len(u.got) != len(want) || u.down != nil {
			t.Errorf("seed %d: stream %d, %d messages, down: %v", seed, u.got[0].Stream, len(u.got), u.down)
		}
	}
}

// With protocol stream the server's bytes go on as they come.
func TestNativeElementStream(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, protocol.NewStream(protocol.StreamConfig{NoJoin: true}))
	u := r.user()
	u.say(testPPID, []byte("no frame"))
	r.until("it came back", func() bool { return strings.Join(u.texts(), "") == "no frame" })
	r.conns[0].Close()
	r.until("its end is in order", func() bool { return u.down != nil })
	if !isEOF(u.down) {
		t.Errorf("down: %v", u.down)
	}
}

func isEOF(err error) bool { return err != nil && strings.Contains(err.Error(), io.EOF.Error()) }

// A server that closes as its protocol says is not dead, whether or not it listens on.
func TestNativeElementGoodbye(t *testing.T) {
	p, err := protocol.NewLine(protocol.LineConfig{Delimiter: []byte("\n"), MaxLine: 1000, Quit: []*regexp.Regexp{regexp.MustCompile("^quit$")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, quit := range []bool{true, false} {
		r := newNativeElementRig(t, 1, Limits{}, p)
		u, word := r.user(), "word\n"
		if quit {
			word = "quit\n"
		}
		u.say(testPPID, []byte(word))
		r.until("it is answered", func() bool { return len(u.texts()) == 1 })
		r.listener.Close()
		r.conns[0].Close()
		r.until("the pool user hears of it", func() bool { return u.down != nil })
		if isEOF(u.down) != quit {
			t.Errorf("quit is %v, down: %v", quit, u.down)
		}
	}
}

// A session stands in the status, by the address of the connection to its server.
func TestNativeElementStatus(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	states := func() []NativeSession {
		var st Status
		r.shard.status(&st)
		for _, x := range st.Natives {
			if x.State != "closing" && len(st.Associations) == 0 {
				t.Fatalf("%+v", st)
			}
		}
		if st.Elements[0].Legs != len(st.Natives) {
			t.Fatalf("%+v", st)
		}
		return st.Natives
	}
	r.RunFor(time.Second)
	if all := states(); len(all) != 1 || all[0].State != "waiting" || all[0].Connection != "" {
		t.Errorf("%+v", all)
	}
	r.there.Freeze()
	u.say(testPPID, frame("hello"))
	r.until("it is open", func() bool { return states()[0].State == "open" })
	if x := states()[0]; x.Outstanding != 1 || x.FromUser != 7 || x.ToUser != 0 || x.Connection != r.only().server.Local().String() {
		t.Errorf("%+v", x)
	}
	r.there.Thaw()
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	if x := states()[0]; x.Outstanding != 0 || x.ToUser != 7 || x.Element != "e" || !x.Since.Equal(r.only().since) {
		t.Errorf("%+v", x)
	}
	r.there.Freeze()
	u.Close()
	r.until("it is closing", func() bool { return states()[0].State == "closing" })
	r.there.Thaw()
	r.until("it is gone", func() bool { return len(states()) == 0 })
}

// A server that speaks first is connected to at once.
func TestNativeElementGreeting(t *testing.T) {
	p, err := protocol.NewLength(protocol.LengthConfig{Width: 2, Counts: protocol.CountsMessage, Greeting: true})
	if err != nil {
		t.Fatal(err)
	}
	r := newNativeElementRig(t, 1, Limits{}, p)
	u := r.user()
	r.until("the server is connected to", func() bool { return len(r.conns) == 1 })
	u.say(mapping.PPIDASAP, cookieEcho("state"))
	r.conns[0].say(frame("welcome"))
	r.until("the greeting came", func() bool { return len(u.texts()) == 1 })
	if s := r.only(); string(s.Cookie()) != "state" || len(s.due) != 0 {
		t.Errorf("cookie %q, %d due", s.Cookie(), len(s.due))
	}
}

// only is the one session.
func (r *nativeElementRig) only() *nativeSession {
	all := r.side.rules.(*nativeElement).inOrder()
	if len(all) != 1 {
		r.t.Fatalf("%d sessions", len(all))
	}
	return all[0]
}

// What the end of a server's connection means to its pool user: an abort has it go elsewhere at once.
func TestNativeElementServerEnds(t *testing.T) {
	silent := func(r *nativeElementRig) { r.conns[0].echo = false }
	for _, c := range []struct {
		name    string
		do      func(r *nativeElementRig, u *nativeUser)
		inOrder bool
	}{
		{"killed, nothing in flight", func(r *nativeElementRig, _ *nativeUser) { r.there.Kill() }, false},
		{"killed, a request in flight", func(r *nativeElementRig, u *nativeUser) {
			silent(r)
			u.say(testPPID, frame("?"))
			r.RunFor(time.Second)
			r.there.Kill()
		}, false},
		{"reset", func(r *nativeElementRig, _ *nativeUser) { r.conns[0].Reset() }, false},
		{"closed", func(r *nativeElementRig, _ *nativeUser) { r.conns[0].Close() }, true},
		{"closed, a request in flight", func(r *nativeElementRig, u *nativeUser) {
			silent(r)
			u.say(testPPID, frame("?"))
			r.RunFor(time.Second)
			r.conns[0].Close()
		}, false},
		{"closed in the middle of a message", func(r *nativeElementRig, _ *nativeUser) {
			r.conns[0].say(frame("unasked")[:4])
			r.conns[0].Close()
		}, false},
		{"closed, and nobody listens any more", func(r *nativeElementRig, _ *nativeUser) {
			r.listener.Close()
			r.conns[0].Close()
		}, false},
		{"closed while the pool user speaks", func(r *nativeElementRig, u *nativeUser) {
			r.conns[0].Close()
			u.say(testPPID, frame("?"))
		}, false},
		{"closed behind half of what was asked", func(r *nativeElementRig, u *nativeUser) {
			silent(r)
			u.say(testPPID, append(frame("?"), frame("?")...))
			r.until("both have come", func() bool { return len(r.conns[0].got) == 7+6 })
			r.conns[0].say(frame("!"))
			r.conns[0].Close()
		}, false},
		{"another PPID", func(_ *nativeElementRig, u *nativeUser) { u.say(99, []byte("not for this server")) }, false},
		{"no message", func(r *nativeElementRig, _ *nativeUser) { r.conns[0].say([]byte{0, 0}) }, false},
		{"the health check fails", func(r *nativeElementRig, _ *nativeUser) { r.side.rules.SetHealth(io.ErrNoProgress) }, false},
		{"the sidecar stops", func(r *nativeElementRig, _ *nativeUser) { r.shard.Close() }, false},
	} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%s/%d", c.name, seed), func(t *testing.T) {
				r := newNativeElementRig(t, seed, Limits{}, framed(t))
				u := r.user()
				u.say(testPPID, frame("hello"))
				r.until("it is answered", func() bool { return len(u.texts()) == 1 })
				c.do(r, u)
				r.until("the pool user hears of it", func() bool { return u.down != nil })
				if isEOF(u.down) != c.inOrder {
					t.Errorf("down: %v", u.down)
				}
				if live, _ := r.side.rules.Legs(); live != 0 {
					t.Errorf("%d sessions", live)
				}
			})
		}
	}
}

// A server that cannot be connected to, or does not answer, has the pool user go elsewhere.
func TestNativeElementServerUnreachable(t *testing.T) {
	for name, fault := range map[string]func(r *nativeElementRig){
		"refused": func(r *nativeElementRig) { r.listener.Close() },
		"silent":  func(r *nativeElementRig) { r.Stall(r.here, r.there) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newNativeElementRig(t, 1, Limits{}, framed(t))
			fault(r)
			u := r.user()
			u.say(testPPID, frame("hello"))
			r.until("it is aborted", func() bool { return u.down != nil })
			if isEOF(u.down) {
				t.Errorf("down: %v", u.down)
			}
			r.Heal(r.here, r.there)
		})
	}
}

// A pool user that goes: what it said reaches the server, if it went in order.
func TestNativeElementUserGoes(t *testing.T) {
	for seed := range uint64(20) {
		r := newNativeElementRig(t, seed, Limits{}, framed(t))
		said := []byte{}
		a, b := r.user(), r.user()
		for range 100 {
			f := frame(strings.Repeat("x", 1000))
			a.say(testPPID, f)
			said = append(said, f...)
		}
		b.say(testPPID, frame("aborted"))
		a.Close()
		r.until("both are connected", func() bool { return len(r.conns) == 2 })
		b.Abort()
		r.until("both have ended", func() bool { return r.conns[0].ended != nil && r.conns[1].ended != nil })
		for _, c := range r.conns {
			switch {
			case len(c.got) > 100 && (!bytes.Equal(c.got, said) || c.ended != io.EOF):
				t.Errorf("seed %d: %d bytes of %d, then %v", seed, len(c.got), len(said), c.ended)
			case len(c.got) <= 100 && c.ended == io.EOF:
				t.Errorf("seed %d: the aborted one ended in order", seed)
			}
		}
	}
}

// A server that takes nothing does not hold a session for ever whose pool user has gone.
func TestNativeElementUserGoesServerDeaf(t *testing.T) {
	r := newNativeElementRig(t, 1, Limits{}, framed(t))
	u := r.user()
	u.say(testPPID, frame("hello"))
	r.until("it is answered", func() bool { return len(u.texts()) == 1 })
	r.there.Freeze()
	for s := r.only(); s.spill.Len() == 0; r.RunFor(time.Millisecond) {
		u.say(testPPID, frame(strings.Repeat("x", 20_000)))
	}
	u.Close()
	r.RunFor(time.Second)
	if live, _ := r.side.rules.Legs(); live != 1 {
		t.Errorf("%d sessions at first", live)
	}
	r.RunFor(nativeLinger + time.Second)
	if live, _ := r.side.rules.Legs(); live != 0 {
		t.Errorf("%d sessions in the end", live)
	}
}

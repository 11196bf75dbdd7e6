package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// nativeRig is a pool_user of native elements in virtual time. The tests are the elements: an association is a wire that they hold the
// other end of.
type nativeRig struct {
	t      *testing.T
	world  *looptest.World
	user   *looptest.Host
	home   *looptest.Host
	shard  *Shard
	log    bytes.Buffer
	wires  []*wire
	absent map[netip.AddrPort]bool // nobody listens there
	dying  map[netip.AddrPort]bool // associations are made, and end soon
}

const nativePPID = 33

// newNativeRig has two elements, of which the first is preferred.
func newNativeRig(t *testing.T, p protocol.Protocol, f session.Failover) *nativeRig {
	r := &nativeRig{t: t, world: looptest.NewWorld(1), absent: map[netip.AddrPort]bool{}}
	r.user, r.home = r.world.Host("user"), r.world.Host("home")
	f.Deadline, f.Attempts = 5*time.Second, 3
	if f.Replay == session.ReplayNone && !p.Opaque() {
		f.Replay = session.ReplayUnacked
	}
	var err error
	r.shard, err = NewVirtualShard(r.user, Config{
		Pools: []Pool{{Handle: "apps", Policy: pool.Priority, Mapping: mapping.SCTP, Native: true, PPID: nativePPID, dialer: r,
			Elements: []pool.Element{{Name: "a", Address: r.user.Addr(1), Priority: 2}, {Name: "b", Address: r.user.Addr(2), Priority: 1}}}},
		Users: []User{{Name: "apps", Listen: r.user.Addr(clientPort), Pool: "apps", Protocol: p, Memory: 256 << 10, Failover: f}},
	}, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug}), nil, random)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.shard.Close()
		r.run(time.Second)
		if n := r.user.Buffers().Out(); n != 0 {
			t.Errorf("%d bytes of buffers are left", n)
		}
		if n := len(r.shard.users[0].native.sockets); n != 0 {
			t.Errorf("%d associations are kept that have ended", n)
		}
	})
	return r
}

// Dial makes a wire, which is up or refused in the next turn (mapping.Dialer).
func (r *nativeRig) Dial(_ loop.Loop, to netip.AddrPort, _ mapping.Config, h mapping.Handler) mapping.Association {
	w := &wire{rig: r, to: to, handler: h, longest: 1 << 20}
	if _, looks := h.(*nativeLook); !looks {
		r.wires = append(r.wires, w)
	}
	r.user.Post(func() {
		switch {
		case w.ended != "":
		case r.absent[to]:
			w.fail(loop.ErrRefused)
		default:
			w.handler.Up()
		}
		if r.dying[to] {
			r.world.After(50*time.Millisecond, func() { r.user.Post(func() { w.fail(loop.ErrReset) }) })
		}
	})
	return w
}

func (r *nativeRig) run(d time.Duration) { r.world.RunFor(d) }

// do runs f on the proxy's host, and what follows from it.
func (r *nativeRig) do(f func()) {
	r.user.Post(f)
	r.run(time.Millisecond)
}

// last is the association that was begun last.
func (r *nativeRig) last() *wire {
	r.t.Helper()
	if len(r.wires) == 0 {
		r.t.Fatal("no association was begun")
	}
	return r.wires[len(r.wires)-1]
}

// wire is an association whose other end is the test.
type wire struct {
	rig     *nativeRig
	to      netip.AddrPort
	handler mapping.Handler
	longest int
	sent    []mapping.Message
	queued  int
	left    mapping.Retrieved
	acks    time.Duration // when nothing was sent for so long the kernel says that all is acknowledged; 0: left says
	paused  bool
	waiting []mapping.Message // that came while it was paused
	ended   string            // "closed", "aborted", "down"
}

func (w *wire) Send(m mapping.Message, _ *loop.Buffer) error {
	if w.ended != "" {
		return mapping.ErrDown
	}
	m.Data = bytes.Clone(m.Data)
	w.sent = append(w.sent, m)
	if w.acks > 0 {
		w.left.Unacknowledged = append(w.left.Unacknowledged, m.Context)
		n := len(w.sent)
		w.rig.world.After(w.acks, func() {
			if n == len(w.sent) {
				w.left.Unacknowledged = nil
				w.rig.user.Post(w.handler.(mapping.DryHandler).Dry)
			}
		})
	}
	return nil
}

func (w *wire) Queued() int                 { return w.queued }
func (w *wire) Retrieve() mapping.Retrieved { return w.left }
func (w *wire) Capabilities() mapping.Capabilities {
	return mapping.Capabilities{Streams: 1, MaxMessage: w.longest}
}
func (w *wire) Status() (mapping.Status, error) { return mapping.Status{}, mapping.ErrStatus }
func (w *wire) Remote() netip.AddrPort          { return w.to }
func (w *wire) Local() netip.AddrPort           { return netip.AddrPort{} }
func (w *wire) Close()                          { w.end("closed") }
func (w *wire) Abort()                          { w.end("aborted") }
func (w *wire) Pause()                          { w.paused = true }

func (w *wire) Resume() {
	w.paused = false
	w.rig.user.Post(w.deliver)
}

func (w *wire) deliver() {
	for len(w.waiting) > 0 && !w.paused && w.ended == "" {
		m := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.handler.Receive(m)
	}
}

func (w *wire) end(how string) {
	if w.ended == "" {
		w.ended = how
	}
}

// fail ends it as the server, or the network, does.
func (w *wire) fail(err error) {
	if w.ended == "" {
		w.ended = "down"
		w.handler.Down(err)
	}
}

// say has the server say messages of the application.
func (w *wire) say(all ...string) {
	for _, s := range all {
		w.tell(nativePPID, []byte(s))
	}
}

// tell has a message come.
func (w *wire) tell(ppid uint32, data []byte) {
	w.rig.do(func() {
		w.waiting = append(w.waiting, mapping.Message{PPID: ppid, Data: data})
		w.deliver()
	})
}

func (w *wire) cookie(s string) {
	b, err := asap.RSPLIB().Append(nil, asap.CookieMessage{Cookie: asap.Cookie(s)})
	if err != nil {
		w.rig.t.Fatal(err)
	}
	w.tell(asap.PPID, b)
}

// die has the server's process die: in order as far as can be seen, or with a reset.
func (w *wire) die(err error) {
	w.rig.absent[w.to] = true
	w.rig.do(func() { w.fail(err) })
	w.rig.run(time.Second)
}

// heard checks what the server has got since it was asked last: messages of the application.
func (w *wire) heard(want ...string) {
	w.rig.t.Helper()
	var got []string
	for _, m := range w.sent {
		if m.PPID != nativePPID || m.Stream != 0 || m.Unordered {
			w.rig.t.Errorf("a message with PPID %d on stream %d", m.PPID, m.Stream)
		}
		got = append(got, string(m.Data))
	}
	if !slices.Equal(got, want) {
		w.rig.t.Errorf("element %v got %q, want %q", w.to, got, want)
	}
	w.sent = nil
}

// nativeClient is a plain client.
type nativeClient struct {
	rig    *nativeRig
	conn   loop.Conn
	out    []byte // not written yet
	got    []byte
	slow   bool // it does not read
	closed bool // it saw the end
	reset  bool
}

func (r *nativeRig) client() *nativeClient {
	c := &nativeClient{rig: r}
	r.home.Post(func() { c.conn = r.home.Dial(r.user.Addr(clientPort), c) })
	r.run(10 * time.Millisecond)
	return c
}

func (c *nativeClient) Ready(ev loop.Event) {
	if ev&loop.Hangup != 0 {
		c.reset = true
	}
	if ev&loop.Writable != 0 {
		c.flush()
	}
	c.read()
}

func (c *nativeClient) flush() {
	n, _ := c.conn.Write(c.out)
	c.out = c.out[n:]
}

func (c *nativeClient) read() {
	for p := make([]byte, 64<<10); !c.slow && !c.closed; {
		n, err := c.conn.Read(p)
		c.got = append(c.got, p[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			c.closed = true
		case err != nil:
			return
		}
	}
}

// write has the client say something, all at once.
func (c *nativeClient) write(s string) {
	c.rig.home.Post(func() {
		c.out = append(c.out, s...)
		c.flush()
	})
	c.rig.run(10 * time.Millisecond)
}

func (c *nativeClient) finish() {
	c.rig.home.Post(func() { _ = c.conn.CloseWrite() })
	c.rig.run(10 * time.Millisecond)
}

func (c *nativeClient) has(want string) {
	c.rig.t.Helper()
	if got := string(c.got); got != want {
		c.rig.t.Errorf("the client has %q, want %q", got, want)
	}
	c.got = nil
}

func nativeLines(t *testing.T, c protocol.LineConfig) protocol.Protocol {
	p, err := protocol.NewLine(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

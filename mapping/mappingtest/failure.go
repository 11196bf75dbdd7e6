package mappingtest

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// quick are heartbeats for tests that wait for them.
var quick = mapping.Config{Heartbeat: mapping.Heartbeat{Interval: 50 * time.Millisecond, Misses: 2}, DialTimeout: patience}

// bound is when a dead peer must have been found, after it was last heard.
const bound = 150 * time.Millisecond

// quick is quick, or what the Env takes for it.
func (x *fixture) quick() mapping.Config {
	c := quick
	c.Heartbeat.Interval = max(c.Heartbeat.Interval, x.Beat)
	return c
}

// bound is that of quick.
func (x *fixture) bound() time.Duration { return max(bound, 3*x.Beat) }

func testPeerSilent(x *fixture) {
	x.need(x.Freeze != nil, "a frozen peer")
	user, _ := x.pair(x.quick())
	x.expectSilent(user, func() {})
}

// testSilentWhileSending: what we send ourselves must not hide that nothing comes.
func testSilentWhileSending(x *fixture) {
	x.need(x.Freeze != nil, "a frozen peer")
	user, _ := x.pair(x.quick())
	x.expectSilent(user, func() {
		if !user.down() && user.Association.Queued() < mapping.LowWater {
			x.send(user, mapping.Message{Data: pattern(100, 0)})
		}
	})
}

// expectSilent freezes the element and waits for the user to notice; meanwhile is called again and again.
func (x *fixture) expectSilent(user *Recorder, meanwhile func()) {
	var from time.Time
	x.Freeze()
	x.User.Do(func() { from = x.User.Loop.Now() })
	defer x.Thaw()
	x.await(x.User, "Down", func() bool {
		meanwhile()
		return user.down()
	})
	took := user.DownAt.Sub(from)
	// The last thing may have come a moment after the freeze: it was on the way.
	if !errors.Is(user.Err, mapping.ErrSilent) || took > x.bound()+5*time.Millisecond+x.Slack {
		x.Errorf("after %v: Down(%v)", took, user.Err)
	}
}

// idle makes a pair, and has it stand idle for many heartbeats. A machine may stand still for longer than quick heartbeats allow: where there
// is slack, a pair that has broken has others tried, with slower ones.
func (x *fixture) idle() (user, element *Recorder) {
	for c := x.quick(); ; c.Heartbeat.Interval *= 3 {
		user, element = x.pair(c)
		x.pass(x.User, 10*time.Duration(c.Heartbeat.Misses+1)*c.Heartbeat.Interval, nil)
		var broken bool
		x.User.Do(func() { broken = user.down() })
		if !broken || x.Slack == 0 || 3*c.Heartbeat.Interval > time.Second {
			return user, element
		}
		x.Logf("heartbeats of %v were too quick for this machine", c.Heartbeat.Interval)
		x.Element.Do(x.listener.Close)
		x.listener = nil
	}
}

func testIdleLives(x *fixture) {
	user, element := x.idle()
	x.User.Do(func() {
		status, _ := user.Association.Status()
		if user.down() || x.Bytes && status.HeartbeatRTO == 0 {
			x.Errorf("Down(%v), status %+v", user.Err, status)
		}
		x.send(user, mapping.Message{Data: []byte("still there")})
	})
	x.await(x.Element, "a message", func() bool { return len(element.Messages) == 1 })
}

func testCut(x *fixture) {
	x.need(x.Cut != nil, "a cut")
	user, element := x.pair(beats)
	x.User.Do(func() { x.send(user, mapping.Message{Data: pattern(30_000, 1)}) })
	x.Cut()
	x.await(x.User, "the user's Down", user.down)
	x.await(x.Element, "the element's Down", element.down)
	if !errors.Is(user.Err, loop.ErrReset) || !errors.Is(element.Err, loop.ErrReset) {
		x.Errorf("Down(%v) and Down(%v)", user.Err, element.Err)
	}
}

// raw is a peer that is no mapping: it writes some bytes and reads until the end.
type raw struct {
	conn  loop.Conn
	bytes []byte
	err   error
}

func (r *raw) Ready(ev loop.Event) {
	if ev&(loop.Connected|loop.Writable) != 0 {
		n, _ := r.conn.Write(r.bytes)
		r.bytes = r.bytes[n:]
	}
	for r.err == nil {
		_, err := r.conn.Read(make([]byte, 4096))
		if errors.Is(err, loop.ErrAgain) {
			return
		}
		r.err = err
	}
}

func testGarbage(x *fixture) {
	x.need(x.Bytes, "a stranger")
	user, element := x.pair(beats)
	const hello = "\x01\x00\x00\x04"
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", hello + "\x02\x00\x00\x04", "\x00\x00\x00\x10aaaabbbbcccc", hello + hello} {
		before := 0
		x.Element.Do(func() { before = len(x.accepted) })
		r := &raw{bytes: []byte(garbage)}
		x.User.Do(func() { r.conn = x.User.Loop.Dial(x.at, r) })
		x.await(x.Element, "Down", func() bool { return len(x.accepted) > before && x.accepted[before].down() })
		if err := x.accepted[before].Err; !errors.Is(err, mapping.ErrProtocol) {
			x.Errorf("%q: Down(%v)", garbage, err)
		}
		x.await(x.User, "the reset", func() bool { return r.err != nil })
		if !errors.Is(r.err, loop.ErrReset) {
			x.Errorf("%q: the stranger saw %v", garbage, r.err)
		}
		x.User.Do(r.conn.Close)
	}
	x.User.Do(func() { x.send(user, mapping.Message{Data: []byte("unharmed")}) })
	x.await(x.Element, "a message", func() bool { return len(element.Messages) == 1 })
}

// testStranger: who connects and says nothing, or accepts and says nothing, is given up after DialTimeout; who ends, at once.
func testStranger(x *fixture) {
	x.need(x.Bytes, "a stranger")
	short := mapping.Config{Heartbeat: beats.Heartbeat, DialTimeout: 50 * time.Millisecond}
	x.listen(short, nil)
	dialler := &raw{}
	x.User.Do(func() { dialler.conn = x.User.Loop.Dial(x.at, dialler) })
	x.await(x.Element, "Down", func() bool { return len(x.accepted) == 1 && x.accepted[0].down() })
	if err := x.accepted[0].Err; !errors.Is(err, mapping.ErrSilent) {
		x.Errorf("a dialler that says nothing: Down(%v)", err)
	}
	x.User.Do(dialler.conn.Close)

	var mute, ends netip.AddrPort
	x.Element.Do(func() {
		mute = x.strange(func(loop.Conn) {})
		ends = x.strange(loop.Conn.Close)
	})
	for _, tt := range []struct {
		at   netip.AddrPort
		want error
	}{{mute, mapping.ErrSilent}, {ends, io.EOF}} {
		user := x.dial(tt.at, short)
		x.await(x.User, "Down", user.down)
		// A close before our INIT was read is a reset.
		if !errors.Is(user.Err, tt.want) && !(tt.want == io.EOF && errors.Is(user.Err, loop.ErrReset)) {
			x.Errorf("Down(%v), want %v", user.Err, tt.want)
		}
	}
}

// strange listens without a mapping.
func (x *fixture) strange(accepted func(loop.Conn)) netip.AddrPort {
	at := netip.AddrPortFrom(x.At.Addr(), 0)
	var conns []loop.Conn
	l, err := x.Element.Loop.Listen(at, func(c loop.Conn) loop.Handler {
		conns = append(conns, c)
		accepted(c)
		return &raw{conn: c}
	})
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() {
		x.Element.Do(func() {
			l.Close()
			for _, c := range conns {
				c.Close()
			}
		})
	})
	return l.Addr()
}

func testNobodyListens(x *fixture) {
	user := x.dial(x.Nobody, beats, mapping.Message{Context: 42})
	x.await(x.User, "Down", user.down)
	x.User.Do(func() {
		if rest := left(user); !errors.Is(user.Err, loop.ErrRefused) || len(rest) != 1 || rest[0] != 42 || user.Ups != 0 {
			x.Errorf("Down(%v), retrieved %v, %d Up", user.Err, rest, user.Ups)
		}
	})
}

func testNotAccepted(x *fixture) {
	var err error
	x.Element.Do(func() {
		x.listener, err = x.Acceptor.Listen(x.Element.Loop, x.At, beats, func(mapping.Association) mapping.Handler { return nil })
	})
	if err != nil {
		x.Fatal(err)
	}
	user := x.dial(x.listener.Addr(), beats)
	x.await(x.User, "Down", user.down)
	if !errors.Is(user.Err, loop.ErrReset) || user.Ups != 0 {
		x.Errorf("Down(%v), %d Up", user.Err, user.Ups)
	}
}

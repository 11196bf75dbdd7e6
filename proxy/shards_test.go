//go:build linux

package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// perShard counts something in each shard of a proxy.
func perShard(p *Proxy, count func(*Shard) int) (counts []int) {
	for _, r := range p.runners {
		r.do(func() { counts = append(counts, count(r.shard)) })
	}
	return counts
}

func sessionsOf(s *Shard) int { return s.users[0].rules.Count() }

func legsOf(s *Shard) int {
	live, _ := s.elements[0].rules.Legs()
	return live
}

// Each shard has its part of the sessions, and an association of its own, which a shard of its own serves at the element; the status
// tells the sums.
func TestShardsSpread(t *testing.T) {
	x := newSharded(t, 1, nil)
	x.clients(9)
	if got := perShard(x.user, sessionsOf); !slices.Equal(got, []int{3, 3, 3}) {
		t.Errorf("sessions of the shards: %v", got)
	}
	if got := perShard(x.elements[0], legsOf); !slices.Equal(got, []int{3, 3, 3}) {
		t.Errorf("legs of the shards: %v", got)
	}
	s, e := x.user.Status(), x.elements[0].Status()
	if s.Users[0].Sessions != 9 || len(s.Users) != 1 || len(s.Sessions) != 9 || s.Users[0].ProtectedMessages != 9 ||
		s.Pools[0].Elements[0].Sessions != 9 || len(s.Pools) != 1 || len(s.Associations) != threeShards {
		t.Errorf("the status of the user: %+v", s)
	}
	if len(e.Elements) != 1 || e.Elements[0].Legs != 9 || len(e.Associations) != threeShards {
		t.Errorf("the status of the element: %+v", e)
	}
	ids := map[uint64]bool{}
	for _, one := range s.Sessions {
		ids[one.ID] = true
	}
	if len(ids) != 9 {
		t.Errorf("numbers of sessions: %v", ids)
	}
}

// A server dies under the sessions of all shards: each of them moves.
func TestShardsMove(t *testing.T) {
	x := newSharded(t, 2, nil)
	clients := x.clients(12)
	dead := clients[0].ask()
	moving := x.user.Status().Pools[0].Elements[slices.IndexFunc(x.servers, func(s *peerServer) bool { return s.name == dead })].Sessions
	for _, s := range x.servers {
		if s.name == dead {
			s.kill()
		}
	}
	for _, c := range clients {
		c.send()
	}
	for _, c := range clients {
		if by := c.answer(); by == dead {
			t.Errorf("answered by %s, which is dead", by)
		}
	}
	var moved []Record
	eventually(t, "all records are there", func() bool { moved = x.user.Status().Failovers; return len(moved) == moving })
	for i, r := range moved {
		if r.Kind != session.KindMoved || i > 0 && r.Time.Before(moved[i-1].Time) {
			t.Errorf("record %d: %+v", i, r)
		}
	}
}

// Associations that were cut come back to the shard that has their legs: nothing is lost, and no server notices.
func TestShardsResume(t *testing.T) {
	x := newSharded(t, 1, nil)
	clients := x.clients(9)
	for range 3 {
		before := perShard(x.elements[0], legsOf)
		x.paths[0].cut()
		for _, c := range clients {
			c.send()
		}
		for _, c := range clients {
			c.answer()
		}
		if after := perShard(x.elements[0], legsOf); !slices.Equal(before, after) {
			t.Errorf("legs of the shards: %v, then %v", before, after)
		}
	}
	if n := x.servers[0].accepted.Load(); n != 9 {
		t.Errorf("the server has seen %d connections, not 9", n)
	}
	resumed := x.user.Status().Failovers
	if len(resumed) != 27 {
		t.Errorf("%d records, not 27", len(resumed))
	}
	for _, r := range resumed {
		if r.Kind != session.KindResumed {
			t.Errorf("%+v", r)
		}
	}
}

// limits.sessions counts what all shards have, at both sides.
func TestShardsLimit(t *testing.T) {
	x := newSharded(t, 1, func(c *Config) { c.Limits.Sessions = 4 })
	clients := x.clients(4)
	refused, err := net.Dial("tcp4", x.user.Status().Users[0].Listen)
	if err == nil { // the reset may come before Dial has returned
		_ = refused.SetDeadline(time.Now().Add(limitPatience))
		_, err = refused.Read(make([]byte, 1))
		_ = refused.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the fifth client: %v", err)
	}
	reset([]*net.TCPConn{clients[1].conn.(*net.TCPConn)})
	eventually(t, "there is room again", func() bool { return x.user.Status().Users[0].Sessions == 3 })
	x.clients(1)
	for _, p := range []*Proxy{x.user, x.elements[0]} {
		if s := p.runners[0].shard.common.sessions(); p == x.user && s != 4 {
			t.Errorf("%d sessions are counted", s)
		}
	}
	eventually(t, "the legs are counted", func() bool { return x.elements[0].runners[0].shard.layout.element("a").counts.legs.Load() == 4 })
}

// chunkOf is a chunk of the mapping (docs/protocol.md); the first three words of DATA are zero: TSN, stream, number.
func chunkOf(kind byte, body ...byte) []byte {
	p := binary.BigEndian.AppendUint16([]byte{kind, 0}, uint16(4+len(body)))
	return append(append(p, body...), make([]byte, -len(body)&3)...)
}

// helloOf is INIT and HELLO of a pool user.
func helloOf(instance byte) []byte {
	body := binary.BigEndian.AppendUint32(make([]byte, 8), mapping.PPIDSession)
	body = append(body, 1, session.Version, session.Version, 0)
	body = append(body, bytes.Repeat([]byte{instance}, 16)...)
	body = binary.BigEndian.AppendUint64(body, 1<<16)
	body = append(body, 0, 0, 0, 0, 'x')
	return append(chunkOf(1), chunkOf(0, body...)...)
}

// peer begins an association by hand.
func (x *sharded) peer() net.Conn {
	conn, err := net.Dial("tcp4", x.elements[0].Status().Elements[0].Listen)
	if err != nil {
		x.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(limitPatience))
	x.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A HELLO that comes byte by byte is understood, and answered by the shard that the instance belongs to.
func TestShardsHelloInPieces(t *testing.T) {
	x := newSharded(t, 1, nil)
	for instance := range byte(4) {
		conn := x.peer()
		got := make([]byte, 20)
		if _, err := io.ReadFull(conn, got[:4]); err != nil || !bytes.Equal(got[:4], chunkOf(1)) {
			t.Fatalf("before anything is said: %x, %v", got[:4], err)
		}
		for _, b := range helloOf(instance) {
			if _, err := conn.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			waitForAck(t, conn)
		}
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got[:2], []byte{0, 0}) {
			t.Fatalf("in place of HELLO: %x, %v", got, err)
		}
		want := make([]int, threeShards)
		want[session.Token(bytes.Repeat([]byte{instance}, 16)).Spread(threeShards)] = 1
		links := func(s *Shard) (n int) {
			s.elements[0].rules.Links(func(mapping.Association, bool, int) { n++ })
			return n
		}
		if got := perShard(x.elements[0], links); !slices.Equal(got, want) {
			t.Errorf("associations of the shards: %v, not %v", got, want)
		}
		reset([]*net.TCPConn{conn.(*net.TCPConn)})
		eventually(t, "it is gone", func() bool { return len(x.elements[0].Status().Associations) == 0 })
	}
}

// waitForAck returns when the other end's kernel has what was written, so that the next bytes come by themselves.
func waitForAck(t *testing.T, conn net.Conn) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is acknowledged", func() bool {
		n := 1
		_ = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return n == 0 || err != nil
	})
}

// What is no HELLO is answered as a single shard does: with a reset, and the same words in the log.
func TestShardsHostilePeers(t *testing.T) {
	for name, c := range map[string]struct {
		say    []byte
		finish bool
		logged string
	}{
		"no INIT":               {say: []byte("GET / HTTP/1.1\r\n\r\n"), logged: "chunk type 71 is not known"},
		"HEARTBEAT at first":    {say: chunkOf(4, 0, 1, 0, 8, 1, 2, 3, 4), logged: "HEARTBEAT before INIT"},
		"two INITs":             {say: append(chunkOf(1), chunkOf(1)...), logged: "second INIT"},
		"a lie about a length":  {say: append(chunkOf(1), 0, 0, 0, 5), logged: "DATA chunk of length 5"},
		"no message of ours":    {say: append(chunkOf(1), chunkOf(0, make([]byte, 12)...)...), logged: "unknown payload protocol"},
		"the end within":        {say: helloOf(7)[:30], finish: true, logged: "in the middle of a chunk"},
		"the end at once":       {finish: true, logged: ""},
		"nothing at all":        {logged: "it sent no INIT within 3s"},
		"a message too long":    {say: append(append(chunkOf(1), 0, 0, 0xff, 0xff), make([]byte, 600)...), finish: true, logged: "in the middle of a chunk"},
		"a HELLO of the future": {say: futureHello(), logged: "the peer speaks versions 9 to 9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newSharded(t, 1, nil)
			conn := x.peer()
			if _, err := conn.Write(c.say); err != nil {
				t.Fatal(err)
			}
			if c.finish {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the association lives")
			}
			eventually(t, "it is in the log: "+c.logged, func() bool { return strings.Contains(x.log.String(), c.logged) })
			eventually(t, "nothing is left of it", func() bool {
				left := perShard(x.elements[0], func(s *Shard) int { return len(s.elements[0].newcomers) })
				return len(x.elements[0].Status().Associations) == 0 && slices.Max(left) == 0
			})
			x.clients(3)
		})
	}
}

func futureHello() []byte {
	p := helloOf(1)
	p[4+16+1], p[4+16+2] = 9, 9
	return p
}

// An association whose HELLO comes to a shard that has not its legs is ended before anything is said of them.
func TestShardsTooLate(t *testing.T) {
	x := newSharded(t, 1, nil)
	wrong := byte(0)
	for session.Token(bytes.Repeat([]byte{wrong}, 16)).Spread(threeShards) == 0 {
		wrong++
	}
	conn := x.peer()
	hello := helloOf(wrong)
	if _, err := conn.Write(hello[:8]); err != nil {
		t.Fatal(err)
	}
	first := x.elements[0].runners[0]
	eventually(t, "it is looked at", func() bool {
		late := false
		first.do(func() {
			for n := range first.shard.elements[0].newcomers {
				if late = n.(*newcomer).heard; late {
					n.(*newcomer).move(0)
				}
			}
		})
		return late
	})
	if _, err := conn.Write(hello[8:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the association ended with %v", err)
	}
	eventually(t, "it is in the log", func() bool { return strings.Contains(x.log.String(), "another shard has it") })
}

// Nothing is left when a proxy of several shards has stopped: no goroutine, no descriptor; also of associations that had not said who
// they are.
func TestShardsLeaveNothing(t *testing.T) {
	descriptors := func() (open []string) {
		names, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if what, err := os.Readlink(name); err == nil && !strings.HasPrefix(what, "pipe:") { // io.Copy keeps pipes
				open = append(open, what)
			}
		}
		return open
	}
	t.Run("first", func(t *testing.T) { newSharded(t, 1, nil).clients(1) }) // what Go itself opens once is there behind it
	goroutines, before := runtime.NumGoroutine(), descriptors()
	t.Run("second", func(t *testing.T) {
		x := newSharded(t, 2, nil)
		x.clients(7)
		x.peer()
		x.elements[0].Stop(expired()) // with sessions on it
		x.elements[0].Stop(expired())
		if s := x.elements[0].Status(); len(s.Elements) != 0 {
			t.Errorf("%+v", s)
		}
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if after := descriptors(); len(after) > len(before) {
		t.Errorf("%d descriptors, before %d: %q", len(after), len(before), slices.DeleteFunc(after, func(x string) bool { return slices.Contains(before, x) }))
	}
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A second process at the same address is refused, whichever shards it has.
func TestShardsAddressInUse(t *testing.T) {
	x := newSharded(t, 1, nil)
	at := x.user.Status().Users[0].Listen
	c := x.user.runners[0].shard.config
	c.Users = slices.Clone(c.Users)
	c.Users[0].Listen = netip.MustParseAddrPort(at)
	if p, err := Start(c, x.user.runners[0].shard.log, nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", p, err)
	}
}

// The status is asked while a proxy stops, shard by shard, the first one first.
func TestShardsStatusWhileStopping(t *testing.T) {
	x := newSharded(t, 1, nil)
	for _, p := range []*Proxy{x.user, x.elements[0]} {
		first := p.runners[0]
		first.do(func() { first.shard.Close() })
		first.loop.Stop()
		if s := p.Status(); len(s.Users)+len(s.Elements) != 0 {
			t.Errorf("who makes the lists has stopped, and there are some: %+v", s)
		}
	}
}

// A client that no shard can take up does not count among the sessions for ever.
func TestShardsNotAdopted(t *testing.T) {
	x := newSharded(t, 1, nil)
	first := x.user.runners[0]
	taken := make(chan struct{})
	var l loop.Listener
	first.do(func() {
		var err error
		if l, err = first.loop.(loop.Adopter).ListenFor(anyPort, func(a loop.Accepted) {
			a.Drop() // its descriptor is none any more
			for range threeShards {
				first.shard.users[0].place(a, netip.AddrPort{})
			}
			close(taken)
		}); err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp4", l.Addr().String())
	if err == nil { // the reset may come before Dial has returned
		defer c.Close()
	}
	<-taken
	for _, r := range x.user.runners {
		r.do(func() {})
	}
	if n := first.shard.common.sessions(); n != 0 {
		t.Errorf("%d sessions are counted, and there are none", n)
	}
}

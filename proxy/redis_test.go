package proxy

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// redisRig is a shard with a pool_user for redis, in a world of its own.
type redisRig struct {
	t     *testing.T
	world *looptest.World
	host  *looptest.Host
	shard *Shard
	table *protocol.RedisTable
}

func newRedisRig(t *testing.T) *redisRig {
	w := looptest.NewWorld(1)
	r := &redisRig{t: t, world: w, host: w.Host("user"), table: protocol.NewRedisTable(nil)}
	server := w.Host("server")
	c := Config{
		Pools: []Pool{{Handle: "data", Mapping: mapping.None, Elements: []pool.Element{{Name: "a", Address: server.Addr(1)}}}},
		Users: []User{{Name: "data", Listen: netip.AddrPortFrom(r.host.Addr(0).Addr(), 6379), Pool: "data", Commands: r.table,
			Protocol: protocol.NewRedis(protocol.RedisConfig{Safe: r.table.Safe, Blocks: r.table.Blocks}), Memory: 64 << 10,
			Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3},
			Failover:  session.Failover{Replay: session.ReplayUnacked, Deadline: time.Minute, Attempts: 3}}},
	}
	random := func(p []byte) {
		for i := range p {
			p[i] = byte(w.Rand().Uint32())
		}
	}
	var err error
	if r.shard, err = NewVirtualShard(r.host, c, hclog.NewNullLogger(), nil, random); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask opens a leg in thought. It returns what the asker wants of the server, nil if nothing.
func (r *redisRig) ask(at session.Moment) (expect func(reply []byte) error) {
	r.t.Helper()
	answered := 0
	r.shard.users[0].asker.Call(at, func(reaction session.Reaction, err error) {
		answered++
		if expect = reaction.Expect; err != nil || (string(reaction.Send) == protocol.RedisCommandQuery) != (expect != nil) || reaction.Continue {
			r.t.Errorf("%+v, %v", reaction, err)
		}
	})
	if answered != 1 {
		r.t.Errorf("answered %d times", answered)
	}
	return expect
}

const (
	redisTable  = "*1\r\n*3\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n"
	redisNoAuth = "-NOAUTH Authentication required.\r\n"
)

// A server is asked when something may have changed, by one leg at a time, and no answer is a reason to leave it.
func TestAskerAsksInTime(t *testing.T) {
	r := newRedisRig(t)
	first, moved := session.Moment{Element: "a"}, session.Moment{Element: "a", Failover: true}
	step := func(what string, at session.Moment, want bool) func([]byte) error {
		t.Helper()
		expect := r.ask(at)
		if (expect != nil) != want {
			t.Errorf("%s: asked %v", what, !want)
		}
		return expect
	}
	reply := func(expect func([]byte) error, text string) {
		t.Helper()
		if err := expect([]byte(text)); err != nil {
			t.Errorf("%.20q ends the leg: %v", text, err)
		}
	}
	step("the first leg, which will end before the answer", first, true)
	step("another leg meanwhile", first, false)
	r.world.RunFor(askPatience)
	e := step("no answer has come", first, true)
	step("another element", session.Moment{Element: "b"}, true)
	reply(e, redisNoAuth)
	step("it wants a login", first, false)
	r.world.RunFor(askRefused)
	reply(step("a while later", first, true), "+OK\r\n")
	if safe, known := r.table.Safe("get"); safe || known {
		t.Error("get is known")
	}
	reply(step("a leg that has its login again", moved, true), redisTable)
	if safe, _ := r.table.Safe("get"); !safe {
		t.Error("get is not safe")
	}
	step("it has told", moved, false)
	r.shard.layout.pools["data"].pool.Failed(r.world.Now(), "a")
	reply(step("it has failed since", first, true), redisTable)
	step("it has told again", first, false)
	r.world.RunFor(askAgain)
	reply(step("that was long ago", first, true), redisNoAuth)
	if safe, _ := r.table.Safe("get"); !safe {
		t.Error("get is not safe any more because the server does not tell any more")
	}
}

// What was learned of elements that have left the pool is forgotten, and does not speak for those that have come: in a pool whose
// elements are called by their addresses there are ever new ones.
func TestAskerForgets(t *testing.T) {
	r := newRedisRig(t)
	elements := r.shard.layout.pools["data"].pool
	for i := range 100 {
		name := string(rune('b' + i))
		elements.Update([]pool.Element{{Name: name, Address: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(i+1))}})
		r.shard.updated(elements)
		if err := r.ask(session.Moment{Element: name})([]byte("*1\r\n*3\r\n$3\r\nge" + string(rune('a'+i%26)) + "\r\n:2\r\n*1\r\n+readonly\r\n")); err != nil {
			t.Fatal(err)
		}
		if safe, _ := r.table.Safe("ge" + string(rune('a'+i%26))); !safe {
			t.Errorf("what server %d says does not count", i)
		}
	}
	if n := len(r.shard.users[0].asker.asked); n != 1 {
		t.Errorf("%d elements are remembered", n)
	}
	r.shard.Close()
}

// silentServer accepts, and says nothing.
type silentServer struct{ loop.Conn }

func (silentServer) Ready(loop.Event) {}

// The session that asks before any client comes ends when the answer is there; when none comes; when the proxy stops. It is
// never what the proxy waits for.
func TestAskerEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		server bool
		end    func(*redisRig)
		within time.Duration
	}{
		{name: "answer", server: true, end: func(r *redisRig) {
			if err := r.ask(session.Moment{Element: "b"})([]byte(redisTable)); err != nil {
				r.t.Error(err)
			}
		}, within: time.Second},
		{name: "refusal", server: true, end: func(r *redisRig) {
			if err := r.ask(session.Moment{Element: "b"})([]byte(redisNoAuth)); err != nil {
				r.t.Error(err)
			}
		}, within: time.Second},
		{name: "no answer", server: true, within: askPatience},
		{name: "no server", within: askPatience},
		{name: "stop", end: func(r *redisRig) { r.shard.StopAccepting() }},
		{name: "close", end: func(r *redisRig) { r.shard.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRedisRig(t)
			accepted := 0
			if c.server {
				server := r.world.Host("server")
				if _, err := server.Listen(server.Addr(1), func(conn loop.Conn) loop.Handler {
					accepted++
					return silentServer{conn}
				}); err != nil {
					t.Fatal(err)
				}
			}
			r.world.RunFor(time.Second / 2)
			if n := r.shard.users[0].rules.Count(); n != 1 || (accepted == 1) != c.server {
				t.Fatalf("%d sessions, the server has accepted %d", n, accepted)
			}
			if c.end != nil {
				c.end(r)
			}
			r.world.RunFor(c.within)
			if n := r.shard.users[0].rules.Count(); n != 0 || r.shard.Busy() && c.within == 0 {
				t.Errorf("%d sessions are left", n)
			}
			r.world.RunFor(time.Minute)
			if n := r.shard.users[0].rules.Count(); n != 0 {
				t.Errorf("%d sessions have come", n)
			}
			if len(r.shard.records) != 0 {
				t.Errorf("records %+v", r.shard.records)
			}
		})
	}
}

// The socket of that session swallows what servers say unasked, and ends with them.
func TestAskerSocket(t *testing.T) {
	r := newRedisRig(t)
	f := &r.shard.users[0].asker.first
	if n, err := f.Write([]byte("ab"), []byte("c")); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	f.ReadOn()
	if err := errors.Join(f.CloseWrite(), f.CloseWrite()); err != nil {
		t.Error(err)
	}
	r.world.RunFor(time.Millisecond)
	if n := r.shard.users[0].rules.Count(); n != 0 || f.session != nil || f.limit.Armed() {
		t.Errorf("%d sessions, %v, the timer is armed: %v", n, f.session, f.limit.Armed())
	}
}

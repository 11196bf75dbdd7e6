package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/secure/securetest"
	"github.com/poolproxy/poolproxy/session"
)

// chaosRig is a pool of two elements and its user in virtual time, which may all be disturbed.
type chaosRig struct {
	*testing.T
	world    *looptest.World
	home     *looptest.Host // of the clients
	user     *looptest.Host
	shard    *Shard // of the pool_user
	sidecars []*looptest.Host
	elements []*Shard // of the pool_elements; none with mapping none
	log      logged
}

// newChaosRig starts everything; change may change the configurations.
func newChaosRig(t *testing.T, id mapping.ID, inTLS bool, change func(*Config)) *chaosRig {
	r := &chaosRig{T: t, world: looptest.NewWorld(7)}
	r.world.Calm = true // so that what is written in one piece goes in one
	r.home, r.user = r.world.Host("home"), r.world.Host("user")
	beat := mapping.Heartbeat{Interval: 100 * time.Millisecond, Misses: 3}
	p := Pool{Handle: "things", Mapping: id, Policy: pool.Priority, Chaos: true}
	if id == mapping.TCP && inTLS {
		a := securetest.NewAuthority(t)
		f := a.Issue("things.test", nil)
		p.TLS = &TLS{Cert: f.Cert, Key: f.Key, CA: a.File, Allow: []string{"things.test"}}
	}
	for i := range 2 {
		name := string(rune('a' + i))
		server := r.world.Host("server-" + name)
		if _, err := server.Listen(server.Addr(80), func(c loop.Conn) loop.Handler { return &echo{conn: c, name: name} }); err != nil {
			t.Fatal(err)
		}
		at := server.Addr(80)
		if id == mapping.TCP {
			h := r.world.Host("element-" + name)
			at = h.Addr(7001)
			r.sidecars = append(r.sidecars, h)
			r.elements = append(r.elements, r.start(h, Config{Elements: []Element{{Name: name, Listen: at, Server: server.Addr(80), Mapping: id, Memory: 64 << 10,
				Heartbeat: beat, Hold: time.Minute, Chaos: true, TLS: p.TLS}}}, change))
		}
		p.Elements = append(p.Elements, pool.Element{Name: name, Address: at, Priority: uint32(10 - i)})
	}
	lines, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}})
	if err != nil {
		t.Fatal(err)
	}
	r.shard = r.start(r.user, Config{Pools: []Pool{p}, Users: []User{{Name: "things", Listen: r.user.Addr(clientPort), Pool: "things", Protocol: lines, Memory: 64 << 10,
		Heartbeat: beat, Failover: session.Failover{Replay: session.ReplayUnacked, Resume: 5 * time.Second, Deadline: 20 * time.Second, Attempts: 5}}}}, change)
	t.Cleanup(r.end)
	return r
}

// start starts a sidecar.
func (r *chaosRig) start(h *looptest.Host, c Config, change func(*Config)) *Shard {
	r.Helper()
	if change != nil {
		change(&c)
	}
	random := func(p []byte) {
		for i := range p {
			p[i] = byte(r.world.Rand().Uint32())
		}
	}
	s, err := NewVirtualShard(h, c, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug}).Named(h.Name()), nil, random)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// end stops the sidecars, which must leave nothing behind, whatever goes on.
func (r *chaosRig) end() {
	r.user.Post(r.shard.Close)
	for i, s := range r.elements {
		r.sidecars[i].Post(s.Close)
	}
	r.world.RunFor(10 * time.Second)
	for _, h := range append(r.sidecars, r.user) {
		if n := h.Timers(); n != 0 {
			r.Errorf("%s: %d timers are left", h.Name(), n)
		}
	}
	if r.Failed() {
		r.Log(r.log.String())
	}
}

// side is the sidecar and host of a side.
func (r *chaosRig) side(of string) (*Shard, *looptest.Host) {
	if of == sideUser {
		return r.shard, r.user
	}
	return r.elements[0], r.sidecars[0]
}

// try attacks, and returns what became of it.
func (r *chaosRig) try(a Attack) (d Disturbance, err error) {
	r.Helper()
	if a.Name == "" {
		a.Name = map[string]string{sideUser: "things", sideElement: "a"}[a.Side]
	}
	s, h := r.side(a.Side)
	err = errors.New("it did not run")
	h.Post(func() { d, err = s.attack(a) })
	r.world.RunFor(0)
	return d, err
}

// attack attacks, which must hit something.
func (r *chaosRig) attack(a Attack) Disturbance {
	r.Helper()
	d, err := r.try(a)
	if err != nil || len(d.Hit) == 0 {
		r.Fatalf("%+v: %+v, %v", a, d, err)
	}
	return d
}

// quietAgain checks that nothing is disturbed any more, and nothing of it is left.
func (r *chaosRig) quietAgain() {
	r.Helper()
	for _, s := range append(r.elements, r.shard) {
		if active, _ := s.common.chaos.list(); len(active)+len(s.strikes) > 0 {
			r.Errorf("%v, %d strikes", active, len(s.strikes))
		}
	}
	gone := func(a mapping.Association, _ bool, _ int) {
		if x, can := a.(mapping.Gated); can && x.Disturbed() {
			r.Errorf("the association with %v has a gate", a.Remote())
		}
	}
	r.shard.users[0].links(gone)
	for _, s := range r.elements {
		s.elements[0].rules.Links(gone)
	}
}

// echo is a server that answers each line with its name and the line.
type echo struct {
	conn loop.Conn
	name string
	in   []byte
}

func (e *echo) Ready(loop.Event) {
	for {
		var p [1000]byte
		n, err := e.conn.Read(p[:])
		e.in = append(e.in, p[:n]...)
		for i := bytes.IndexByte(e.in, '\n'); i >= 0; i = bytes.IndexByte(e.in, '\n') {
			_, _ = e.conn.Write(append([]byte(e.name+" "), e.in[:i+1]...))
			e.in = e.in[i+1:]
		}
		if errors.Is(err, loop.ErrAgain) {
			return
		} else if err != nil {
			e.conn.Close()
			return
		}
	}
}

// chaosClient is a client: it asks for one thing after another.
type chaosClient struct {
	*chaosRig
	conn  loop.Conn
	got   []byte
	ended error
	n     int
}

func (r *chaosRig) client() *chaosClient {
	r.Helper()
	c := &chaosClient{chaosRig: r}
	r.home.Post(func() { c.conn = r.home.Dial(r.user.Addr(clientPort), c) })
	r.world.RunFor(5 * time.Millisecond)
	return c
}

func (c *chaosClient) Ready(ev loop.Event) {
	for ev&(loop.Readable|loop.Hangup) != 0 && c.ended == nil {
		var p [1000]byte
		n, err := c.conn.Read(p[:])
		c.got = append(c.got, p[:n]...)
		if errors.Is(err, loop.ErrAgain) {
			return
		}
		c.ended = err
	}
}

// send sends the next request.
func (c *chaosClient) send() {
	c.n++
	c.home.Post(func() { _, _ = fmt.Fprintf(writer{c.conn}, "GET %d\n", c.n) })
}

type writer struct{ loop.Conn }

func (w writer) Write(p []byte) (int, error) { return w.Conn.Write(p) }

// answer waits for the reply to it, and tells whose it is, and how long that took.
func (c *chaosClient) answer() (by string, took time.Duration) {
	c.Helper()
	since := c.world.Now()
	c.world.RunUntil(func() bool { return c.ended != nil || bytes.HasSuffix(c.got, []byte("\n")) }, time.Minute)
	by, rest, _ := strings.Cut(string(c.got), " ")
	if rest != fmt.Sprintf("GET %d\n", c.n) {
		c.Fatalf("request %d: %q, %v\n%s", c.n, c.got, c.ended, c.log.String())
	}
	c.got = nil
	return by, c.world.Now().Sub(since)
}

// ask is both.
func (c *chaosClient) ask() (by string, took time.Duration) {
	c.Helper()
	c.send()
	return c.answer()
}

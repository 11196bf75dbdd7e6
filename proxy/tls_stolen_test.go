//go:build linux

package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
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

// plainEnd is one end of a connection under virtual time; with echo it says what it hears.
type plainEnd struct {
	conn loop.Conn
	echo bool
	got  string
	gone bool
}

func (e *plainEnd) Ready(ev loop.Event) {
	var p [256]byte
	for ev&(loop.Readable|loop.Hangup) != 0 {
		n, err := e.conn.Read(p[:])
		e.got += string(p[:n])
		if e.echo && n > 0 {
			_, _ = e.conn.Write(p[:n]) // a few bytes
		}
		if err != nil {
			e.gone = e.gone || !errors.Is(err, loop.ErrAgain)
			return
		}
	}
}

// sequence makes the same bytes in the same order each time: who has it knows all tokens of a process.
func sequence(seed string) func([]byte) {
	n := uint64(0)
	return func(p []byte) {
		for len(p) > 0 {
			n++
			sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), n))
			p = p[copy(p, sum[:]):]
		}
	}
}

// theft is a pool_element and two pool_users that know the same secrets: a thief has all of the owner's but its key.
type theft struct {
	*testing.T
	world   *looptest.World
	element *looptest.Host
	server  *looptest.Host
	tls     *TLS
	lines   protocol.Protocol
	log     logged
}

func (x *theft) shard(h *looptest.Host, c Config, random string) *Shard {
	x.Helper()
	s, err := NewVirtualShard(h, c, hclog.New(&hclog.LoggerOptions{Output: &x.log, Level: hclog.Debug}), nil, sequence(random))
	if err != nil {
		x.Fatal(err)
	}
	return s
}

var theftBeat = mapping.Heartbeat{Interval: time.Second, Misses: 3}

func (x *theft) startElement() *Shard {
	return x.shard(x.element, Config{Elements: []Element{{Name: "a", Listen: x.element.Addr(1), Server: x.server.Addr(80), Mapping: mapping.TCP,
		Heartbeat: theftBeat, Memory: 1 << 20, Hold: time.Minute, TLS: x.tls}}}, "element")
}

// startUser starts a pool_user with the secrets of all, and one client.
func (x *theft) startUser(name string, t *TLS) (*looptest.Host, *Shard, *plainEnd) {
	h := x.world.Host(name)
	s := x.shard(h, Config{
		Pools: []Pool{{Handle: "things", Mapping: mapping.TCP, TLS: t, Elements: []pool.Element{{Name: "a", Address: x.element.Addr(1)}}}},
		Users: []User{{Name: "things", Listen: h.Addr(1), Pool: "things", Protocol: x.lines, Memory: 1 << 20, Heartbeat: theftBeat,
			Failover: session.Failover{Replay: session.ReplayUnacked, Resume: time.Minute, Deadline: 2 * time.Minute, Attempts: 3}}}}, "user")
	c := &plainEnd{}
	c.conn = h.Dial(h.Addr(1), c)
	return h, s, c
}

// ask sends a line and waits for the answer.
func (x *theft) ask(c *plainEnd, line string) {
	x.Helper()
	left := []byte(line + "\n")
	said := func() bool {
		n, _ := c.conn.Write(left) // it may take a part, or nothing yet
		left = left[n:]
		return len(left) == 0
	}
	if !x.world.RunUntil(said, time.Minute) || !x.world.RunUntil(func() bool { return strings.HasSuffix(c.got, line+"\n") }, time.Minute) {
		x.Fatalf("%q is not answered, but %q\n%s", line, c.got, x.log.String())
	}
}

// RESUME with the token and the instance of another is refused, unless both are the same by their certificates, and the owner is served on.
func TestStolenToken(t *testing.T) {
	for name, stolen := range map[string]bool{"spiffe://test/thief": true, tlsUser: false} {
		t.Run(name, func(t *testing.T) {
			a := securetest.NewAuthority(t)
			w := looptest.NewWorld(1)
			lines, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile(".")}})
			if err != nil {
				t.Fatal(err)
			}
			x := &theft{T: t, world: w, element: w.Host("element"), server: w.Host("server"), lines: lines,
				tls: tlsRules(a.Issue(tlsElement, nil), "spiffe://test/*")}
			if _, err := x.server.Listen(x.server.Addr(80), func(c loop.Conn) loop.Handler { return &plainEnd{conn: c, echo: true} }); err != nil {
				t.Fatal(err)
			}
			x.startElement()
			thief, _, theirs := x.startUser("thief", tlsRules(a.Issue(name, nil), tlsElement))
			x.ask(theirs, "mine")
			w.Stall(thief, x.element) // and meanwhile the element is another process, which believes to be the same
			x.element.Kill()
			x.element.Restart()
			x.startElement()
			_, owner, ours := x.startUser("owner", tlsRules(a.Issue(tlsUser, nil), tlsElement))
			x.ask(ours, "first")
			w.Heal(thief, x.element)
			refused := func() bool {
				return strings.Contains(x.log.String(), "resume refused") && strings.Contains(x.log.String(), "another pool user")
			}
			if got := w.RunUntil(refused, 30*time.Second); got != stolen {
				t.Fatalf("refused: %v\n%s", got, x.log.String())
			}
			if stolen {
				x.ask(ours, "second")
				if owner.users[0].rules.Sessions(func(s *session.Session) {
					if s.Info().Leg != 1 {
						t.Errorf("the owner's session was moved: %+v", s.Info())
					}
				}); ours.got != "first\nsecond\n" {
					t.Errorf("the owner got %q", ours.got)
				}
				if strings.Contains(theirs.got, "first") || strings.Contains(theirs.got, "second") {
					t.Errorf("the thief got %q", theirs.got)
				}
			}
		})
	}
}

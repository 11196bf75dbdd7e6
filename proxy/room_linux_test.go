package proxy

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// An element takes one session of this process. Many of one pool_user wait for that place, and one of another one of the same shard: that gets
// it before the others are through.
func TestRoomForOtherUsers(t *testing.T) {
	server := newPeerServer(t, "a")
	lines, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^GET")}})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Limits: Limits{Shards: 1}, Pools: []Pool{{Handle: "things", Mapping: mapping.None,
		Elements: []pool.Element{{Name: "a", Address: server.address(), MaxSessions: 1}}}}}
	for _, name := range []string{"many", "one"} {
		c.Users = append(c.Users, User{Name: name, Listen: anyPort, Pool: "things", Protocol: lines, Memory: 1 << 20,
			Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3},
			Failover:  session.Failover{Replay: session.ReplayUnacked, Deadline: limitPatience, Attempts: 3}})
	}
	p, err := Start(c, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(p) })
	order := make(chan string, 8)
	begin := func(user int) net.Conn {
		conn, err := net.Dial("tcp4", p.Status().Users[user].Listen)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(limitPatience))
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = fmt.Fprint(conn, "GET 1\n")
		return conn
	}
	served := func(conn net.Conn, user string) { // ends with the reply, or the connection
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "GET 1 by a\n" {
			user = fmt.Sprintf("%s: %q, %v", user, line, err)
		}
		order <- user
	}
	waiting := func() (n int) {
		for _, s := range p.Status().Sessions {
			if s.Element == "" && s.Outstanding == 1 {
				n++
			}
		}
		return n
	}
	first := begin(0)
	served(first, "first")
	<-order
	const many = 6
	for i := range many + 1 {
		user := []string{"many", "one"}[i/many]
		conn := begin(i / many)
		go func() {
			served(conn, user)
			_ = conn.Close()
		}()
	}
	eventually(t, "they wait", func() bool { return waiting() == many+1 })
	_ = first.Close()
	var got []string
	for range many + 1 {
		got = append(got, <-order)
	}
	if last := got[many]; last != "many" {
		t.Errorf("served were, in this order: %q", got)
	}
}

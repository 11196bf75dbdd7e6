//go:build linux

package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// handFed is a source that says what the test gives it, from the test's goroutine.
type handFed struct{ told func(pool.News) }

// Follow keeps told (pool.Source).
func (h *handFed) Follow(_ string, told func(pool.News)) (stop func()) {
	h.told = told
	return func() {}
}

// A source's news come to every shard: sessions that wait are served, and associations with who is gone are ended.
func TestFeedShards(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	listen := netip.MustParseAddrPort("127.0.0.1:0")
	source := &handFed{}
	p, err := Start(Config{Limits: Limits{Shards: threeShards}, Pools: []Pool{{Handle: "data", Mapping: mapping.None, Source: source, SourceName: "hand"}},
		Users: []User{{Name: "data", Listen: listen, Pool: "data", Protocol: protocol.NewStream(protocol.StreamConfig{}), Memory: 64 << 10,
			Failover: session.Failover{Deadline: time.Minute, Attempts: 3}}}}, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	defer p.Stop(now)
	at := p.Status().Users[0].Listen
	const clients = 3 * threeShards
	var users, servers []net.Conn
	for range clients {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		users = append(users, c)
	}
	eventually(t, "all sessions are there", func() bool { return p.Status().Users[0].Sessions == clients })
	source.told(pool.News{Elements: []pool.Element{{Name: "s", Address: server.Addr().(*net.TCPAddr).AddrPort()}}})
	_ = server.(*net.TCPListener).SetDeadline(time.Now().Add(limitPatience))
	for range clients {
		c, err := server.Accept()
		if err != nil {
			t.Fatal("not all sessions have found the new element: ", err)
		}
		defer c.Close()
		servers = append(servers, c)
	}
	source.told(pool.News{Err: io.ErrUnexpectedEOF})
	eventually(t, "the failure is shown", func() bool { return p.Status().Pools[0].Source.Error != "" })
	if s := p.Status().Pools[0]; len(s.Elements) != 1 || s.Elements[0].Sessions != clients || s.Source.Told == nil {
		t.Errorf("%+v", s)
	}
	for _, c := range append(users, servers...) {
		c.Close()
	}
	eventually(t, "all sessions have ended", func() bool { return p.Status().Users[0].Sessions == 0 })
	if n := len(p.Status().Associations); n < threeShards {
		t.Errorf("%d associations: not every shard had sessions", n)
	}
	source.told(pool.News{Elements: []pool.Element{{Name: "other", Address: netip.MustParseAddrPort("127.0.0.1:1")}}})
	eventually(t, "no shard has an association with who is gone", func() bool { return len(p.Status().Associations) == 0 })
}

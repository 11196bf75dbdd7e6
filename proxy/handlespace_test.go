package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// shelf is a registry of what is registered, by name.
type shelf struct {
	mu  sync.Mutex
	has map[string]bool
}

func (s *shelf) Follow(_ string, told func(pool.News)) (stop func()) {
	told(pool.News{})
	return func() {}
}

func (s *shelf) Register(r pool.Registration, told func(error)) (pool.Registered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[r.Element.Name] = true
	told(nil)
	return onShelf{s, r.Element.Name}, nil
}

type onShelf struct {
	shelf *shelf
	name  string
}

func (onShelf) Revalue(pool.Element) {}

func (o onShelf) Deregister(ctx context.Context) error {
	o.shelf.mu.Lock()
	defer o.shelf.mu.Unlock()
	delete(o.shelf.has, o.name)
	return ctx.Err()
}

// accepted is a server's next connection.
func accepted(t *testing.T, server net.Listener) {
	t.Helper()
	if err := server.(*net.TCPListener).SetDeadline(time.Now().Add(limitPatience)); err != nil {
		t.Fatal(err)
	}
	c, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

// What is registered with a running proxy is in its pools, static or not, when Register returns: sessions go there, those too that have
// waited. When it stops it has taken them out, also where its sessions are given no time.
func TestRegistrations(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	far := &shelf{has: make(map[string]bool)}
	c := Config{Limits: Limits{Shards: 3}, Pools: []Pool{
		{Handle: "data", Mapping: mapping.None},
		{Handle: "far", Mapping: mapping.None, Source: far, SourceName: "shelf.far"},
	}, Users: []User{{Name: "data", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Pool: "data", Protocol: protocol.NewStream(protocol.StreamConfig{}),
		Memory: 64 << 10, Failover: session.Failover{Deadline: time.Minute, Attempts: 3}}}}
	p, err := Start(c, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	defer p.Stop(now)
	if c.Pools[0].Source != nil {
		t.Error("the configuration was changed")
	}
	client, err := net.Dial("tcp", p.Status().Users[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := p.Handlespace()
	if _, err := h.PrimaryServer(t.Context(), "data"); !errors.Is(err, pool.ErrEmptyPool) {
		t.Error(err)
	}
	e := pool.Element{Name: "s", Address: server.Addr().(*net.TCPAddr).AddrPort()}
	id, err := h.Register(t.Context(), pool.Registration{Handle: "data", Element: e})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.PrimaryServer(t.Context(), "data"); err != nil || s.Name != "s" || s.Mapping != "none" {
		t.Error(s, err)
	}
	accepted(t, server)
	if s := p.Status().Pools[0]; s.Source != nil || len(s.Elements) != 1 || s.Elements[0].Address != e.Address.String() {
		t.Errorf("%+v", s)
	}
	if _, err := h.Deregister(t.Context(), id); err != nil {
		t.Error(err)
	}
	if _, err := h.NextServer(t.Context(), "data", "s", true); !errors.Is(err, pool.ErrEmptyPool) {
		t.Error(err)
	}
	if _, err := h.Register(t.Context(), pool.Registration{Handle: "far", Element: e}); err != nil || !far.has["s"] {
		t.Error(err)
	}
	p.Stop(now)
	if len(far.has) > 0 {
		t.Error("it is still registered")
	}
	if _, err := h.Register(t.Context(), pool.Registration{Handle: "far", Element: e}); !errors.Is(err, handlespace.ErrClosed) {
		t.Error(err)
	}
}

// Who asks for the next server tells the pool that the sessions use, too, which one has failed.
func TestNextServerOfProxy(t *testing.T) {
	e := []pool.Element{{Name: "a", Address: netip.MustParseAddrPort("127.0.0.1:1")}, {Name: "b", Address: netip.MustParseAddrPort("127.0.0.1:2")}}
	p, err := Start(Config{Pools: []Pool{{Handle: "data", Mapping: mapping.None, Elements: e}}}, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	defer p.Stop(now)
	s, err := p.Handlespace().NextServer(t.Context(), "data", "127.0.0.1:1", false)
	if err != nil || s.Name != "b" || p.Status().Pools[0].Elements[0].Alive {
		t.Error(s, err)
	}
}

// The address of a pool_user is no server of its pool: it would connect to itself. A pool_element's may be the same, in another pool.
func TestRegisterUser(t *testing.T) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr).AddrPort()
	free.Close()
	user := User{Name: "data", Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port()), Pool: "data", Protocol: protocol.NewStream(protocol.StreamConfig{}),
		Memory: 64 << 10, Failover: session.Failover{Deadline: time.Minute, Attempts: 3}}
	p, err := Start(Config{Pools: []Pool{{Handle: "data", Mapping: mapping.None}, {Handle: "other", Mapping: mapping.None}}, Users: []User{user}}, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	defer p.Stop(now)
	e := pool.Element{Name: "s", Address: at}
	if _, err := p.Handlespace().Register(t.Context(), pool.Registration{Handle: "data", Element: e}); !errors.Is(err, handlespace.ErrInvalid) {
		t.Error("it was registered:", err)
	}
	if _, err := p.Handlespace().Register(t.Context(), pool.Registration{Handle: "other", Element: e}); err != nil {
		t.Error(err)
	}
}

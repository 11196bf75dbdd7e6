package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// reloadRig is a pool_user with a static pool, and servers that answer each line with their names.
type reloadRig struct {
	*testing.T
	proxy  *Proxy
	config Config
	log    logged
}

// newReloadRig starts a proxy whose pool has these elements.
func newReloadRig(t *testing.T, id mapping.ID, elements ...pool.Element) *reloadRig {
	r := &reloadRig{T: t}
	beat := mapping.Heartbeat{Interval: time.Second, Misses: 3}
	r.config = Config{Limits: Limits{Shards: 2}, Pools: []Pool{{Handle: "data", Mapping: id, Elements: elements}},
		Users: []User{{Name: "data", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Pool: "data", Protocol: protocol.NewStream(protocol.StreamConfig{}),
			Memory: 64 << 10, Heartbeat: beat, Failover: session.Failover{Deadline: time.Minute, Attempts: 3}}}}
	r.proxy = started(t, r.config, hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Info}))
	return r
}

// started runs a proxy until the test ends.
func started(t *testing.T, c Config, log hclog.Logger) *Proxy {
	t.Helper()
	p, err := Start(c, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		p.Stop(now)
	})
	return p
}

// with is the configuration with other elements.
func (r *reloadRig) with(elements ...pool.Element) Config {
	c := r.config
	c.Pools = slices.Clone(c.Pools)
	c.Pools[0].Elements = elements
	return c
}

func (r *reloadRig) reload(c Config, changed int) {
	r.Helper()
	if changes, err := r.proxy.Reload(c); len(changes) != changed || err != nil {
		r.Fatalf("%q changed, not %d; %v", changes, changed, err)
	}
}

// talker is a session.
type talker struct {
	net.Conn
	in *bufio.Reader
}

func (r *reloadRig) session() talker {
	r.Helper()
	c, err := net.Dial("tcp", r.proxy.Status().Users[0].Listen)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(limitPatience))
	return talker{c, bufio.NewReader(c)}
}

// served checks which server answers.
func (r *reloadRig) served(c talker, by string) {
	r.Helper()
	if _, err := io.WriteString(c, "who\n"); err != nil {
		r.Fatal(err)
	}
	if line, err := c.in.ReadString('\n'); err != nil || strings.TrimSpace(line) != by {
		r.Fatalf("%q serves the session, not %s: %v", line, by, err)
	}
}

// named runs a server, with a sidecar before it if the pool's mapping wants one, and returns the element.
func named(t *testing.T, name string, id mapping.ID) pool.Element {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go tellNames(l, name)
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if id == mapping.TCP {
		side := started(t, Config{Limits: Limits{Shards: 1}, Elements: []Element{{Name: name, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Server: at,
			Mapping: id, Memory: 64 << 10, Hold: time.Second, Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}}}}, hclog.NewNullLogger())
		at = netip.MustParseAddrPort(side.Status().Elements[0].Listen)
	}
	return pool.Element{Name: name, Address: at}
}

// tellNames ends with its listener; each of its connections is served until the client ends it.
func tellNames(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go tellName(c, name)
	}
}

// tellName ends with its connection.
func tellName(c net.Conn, name string) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		fmt.Fprintln(c, name)
	}
}

// The elements of a static pool follow the configuration; sessions stay where they are. When they have ended there, all that led to an
// element that is gone ends by itself.
func TestReload(t *testing.T) {
	for _, id := range []mapping.ID{mapping.None, mapping.TCP} {
		t.Run(id.String(), func(t *testing.T) {
			a, b, moved := named(t, "a", id), named(t, "b", id), named(t, "a again", id)
			r := newReloadRig(t, id, a)
			at := func() (all []string) {
				for _, x := range r.proxy.Status().Associations {
					if !slices.Contains(all, x.Remote) {
						all = append(all, x.Remote)
					}
				}
				return all
			}
			first, second := r.session(), r.session()
			r.served(first, "a")
			r.served(second, "a")
			r.reload(r.with(a), 0)
			r.reload(r.with(b), 1)
			for range 4 {
				r.served(r.session(), "b")
			}
			r.served(first, "a")
			if s := r.proxy.Status().Pools[0]; len(s.Elements) != 1 || s.Elements[0].Name != "b" || s.Elements[0].Sessions != 4 {
				t.Errorf("%+v", s)
			}
			moved.Name = "a" // another place: another element
			r.reload(r.with(moved), 1)
			third := r.session()
			r.served(third, "a again")
			r.served(first, "a")
			for _, c := range []talker{first, second} {
				c.Close()
			}
			eventually(t, "nothing leads to the first place", func() bool { return !slices.Contains(at(), a.Address.String()) })
			if !slices.Contains(at(), b.Address.String()) {
				t.Error("of sessions that go on the association has ended")
			}
			r.served(third, "a again")
			b.Weight = 9
			r.reload(r.with(moved, b), 1)
			b.Weight = 7
			r.reload(r.with(b, moved), 1)
			for _, want := range []string{`a pool has changed: pool=data source="the configuration, and registrations here" elements=1 added=b gone=a moved="" other_values=""`,
				`elements=2 added=b gone="" moved="" other_values=""`, `elements=2 added="" gone="" moved="" other_values=b`} {
				if n := strings.Count(r.log.String(), want); n != 1 {
					t.Errorf("%q is logged %d times:\n%s", want, n, r.log.String())
				}
			}
		})
	}
}

// Elements that were registered in this process stay, whatever the configuration says; unless it has one of their name.
func TestReloadRegistered(t *testing.T) {
	a, b, c := named(t, "a", mapping.None), named(t, "b", mapping.None), named(t, "c", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	told := make(chan error, 9)
	if _, err := r.proxy.local.Register(pool.Registration{Handle: "data", Element: b}, func(err error) { told <- err }); err != nil || <-told != nil {
		t.Fatal(err)
	}
	in := func() (names []string) {
		for _, e := range r.proxy.Status().Pools[0].Elements {
			names = append(names, e.Name+" "+e.Address)
		}
		slices.Sort(names)
		return names
	}
	at := func(e pool.Element) string { return e.Name + " " + e.Address.String() }
	r.reload(r.with(c), 1)
	if got := in(); !slices.Equal(got, []string{at(b), at(c)}) {
		t.Error(got)
	}
	c.Name = "b"
	r.reload(r.with(c), 1)
	if got := in(); !slices.Equal(got, []string{at(c)}) || !errors.Is(<-told, pool.ErrDuplicate) {
		t.Error(got)
	}
	r.reload(r.with(), 1)
	if got := in(); !slices.Equal(got, []string{at(b)}) || <-told != nil {
		t.Error(got)
	}
	r.served(r.session(), "b")
}

// What needs a restart is refused whole, and named.
func TestReloadRefused(t *testing.T) {
	a, b := named(t, "a", mapping.None), named(t, "b", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	c := r.with(b)
	c.Limits.Shards, c.Log.JSON = 3, true
	_, err := r.proxy.Reload(c)
	var restart *RestartError
	if !errors.As(err, &restart) || len(restart.Differences) != 2 ||
		err.Error() != `needs a restart: log.format changed from text to json (poolproxy upgrade does that) (and 1 more)` {
		t.Fatal(err)
	}
	r.served(r.session(), "a")
	c = r.with(b)
	c.Limits.Memory = 1
	if _, err := r.proxy.Reload(c); !errors.As(err, &restart) || !strings.Contains(err.Error(), "too little for the 2 shards") {
		t.Fatal(err)
	}
	r.reload(r.with(b), 1)
	r.served(r.session(), "b")
}

// Who asks a proxy that has stopped, or while it stops, hears that.
func TestReloadStopped(t *testing.T) {
	r := newReloadRig(t, mapping.None, named(t, "a", mapping.None))
	now, cancel := context.WithCancel(context.Background())
	cancel()
	r.proxy.Stop(now)
	if _, err := r.proxy.Reload(r.with()); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

// Many that ask at once, with sessions that come and go, do no harm: the last one counts.
func TestReloadStorm(t *testing.T) {
	a, b := named(t, "a", mapping.None), named(t, "b", mapping.None)
	r := newReloadRig(t, mapping.None, a, b)
	stays := r.session()
	r.served(stays, "a")
	var all sync.WaitGroup
	for i := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := range 25 {
				if _, err := r.proxy.Reload([]Config{r.with(a), r.with(b), r.with(a, b), r.with(b, a)}[(i+j)%4]); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range 20 {
		c := r.session()
		if _, err := io.WriteString(c, "who\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	all.Wait()
	if _, err := r.proxy.Reload(r.with(b)); err != nil {
		t.Fatal(err)
	}
	r.served(stays, "a")
	r.served(r.session(), "b")
	stays.Close()
	eventually(t, "nothing leads to who is gone", func() bool {
		return !slices.ContainsFunc(r.proxy.Status().Associations, func(x AssociationStatus) bool { return x.Remote == a.Address.String() })
	})
}

package proxy

import (
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

	"github.com/poolproxy/poolproxy/internal/porttest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// change is the configuration that there is now, with something else in its first pool_user, pool and pool_element.
func (r *reloadRig) change(do func(*Config)) Config {
	c := r.config
	c.Pools, c.Users, c.Elements = slices.Clone(c.Pools), slices.Clone(c.Users), slices.Clone(c.Elements)
	do(&c)
	r.config = c
	return c
}

// A pool_user that is configured otherwise has another side for new sessions, behind the same socket; those that there are stay with what
// they began with, which ends behind the last of them. What was counted stays counted.
func TestReloadUser(t *testing.T) {
	a := named(t, "a", mapping.TCP)
	r := newReloadRig(t, mapping.TCP, a)
	old := r.session()
	r.served(old, "a")
	listens := r.proxy.Status().Users[0].Listen
	changes, err := r.proxy.Reload(r.change(func(c *Config) {
		c.Users[0].Memory, c.Users[0].Heartbeat.Misses, c.Users[0].Failover.Deadline = 128<<10, 5, 2*time.Minute
	}))
	if want := []string{`pool_user "data" heartbeat.misses changed from 3 to 5`, `pool_user "data" retrieval.memory changed from 65536 to 131072`,
		`pool_user "data" failover.deadline changed from 1m0s to 2m0s`}; err != nil || !slices.Equal(changes, want) {
		t.Fatalf("%q, %v", changes, err)
	}
	later := r.session()
	r.served(later, "a")
	r.served(old, "a")
	s := r.proxy.Status()
	if len(s.Users) != 1 || s.Users[0].Sessions != 2 || s.Users[0].Listen != listens || s.Users[0].Leaving {
		t.Errorf("%+v", s.Users)
	}
	memories := func() (all []int) {
		for _, x := range r.proxy.runners {
			x.do(func() {
				for _, u := range x.shard.users {
					all = append(all, u.config.Memory)
				}
			})
		}
		return all
	}
	if got := memories(); !slices.Equal(got, []int{128 << 10, 64 << 10, 128 << 10, 64 << 10}) {
		t.Errorf("the sides have %v", got)
	}
	said := s.Users[0].UnprotectedBytes + s.Users[0].ProtectedBytes
	old.Close()
	eventually(t, "the side of the session that has ended ends", func() bool { return slices.Equal(memories(), []int{128 << 10, 128 << 10}) })
	if s := r.proxy.Status().Users[0]; s.UnprotectedBytes+s.ProtectedBytes != said || s.Sessions != 1 {
		t.Errorf("%d bytes have become %+v", said, s)
	}
	r.served(later, "a")
}

// A pool_user may listen elsewhere, be one of two that swap their addresses, or not be there any more: its sessions go on.
func TestReloadListen(t *testing.T) {
	a, b := named(t, "a", mapping.None), named(t, "b", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	stays := r.session()
	r.served(stays, "a")
	first := r.proxy.Status().Users[0].Listen
	two, three := porttest.Free(t), porttest.Free(t)
	r.reload(r.change(func(c *Config) { c.Users[0].Listen = two }), 1)
	if got := r.proxy.Status().Users[0].Listen; got != two.String() {
		t.Errorf("it listens on %s", got)
	}
	if c, err := net.Dial("tcp", first); err == nil {
		c.Close()
		t.Error("it still listens where it did")
	}
	second := r.session()
	r.served(second, "a")
	second.Close()
	r.reload(r.change(func(c *Config) { // b stands behind another one
		c.Pools = append(c.Pools, Pool{Handle: "other", Elements: []pool.Element{b}})
		u := c.Users[0]
		u.Name, u.Pool, u.Listen = "other", "other", three
		c.Users = append(c.Users, u)
	}), 2)
	at := func(x netip.AddrPort, by string) {
		t.Helper()
		c, err := net.Dial("tcp", x.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "who\n"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != by+"\n" {
			t.Errorf("at %s %q answers, not %s: %v", x, got, by, err)
		}
	}
	at(two, "a")
	at(three, "b")
	r.reload(r.change(func(c *Config) { c.Users[0].Listen, c.Users[1].Listen = three, two }), 2)
	at(two, "b")
	at(three, "a")
	r.reload(r.change(func(c *Config) { c.Users, c.Pools = c.Users[1:], c.Pools[1:] }), 2)
	at(two, "b")
	r.served(stays, "a")
	if c, err := net.Dial("tcp", three.String()); err == nil {
		c.Close()
		t.Error("who is gone still listens")
	}
	eventually(t, "the other sessions end", func() bool {
		s := r.proxy.Status()
		i := slices.IndexFunc(s.Users, func(u UserStatus) bool { return u.Name == "data" })
		return i >= 0 && s.Users[i].Leaving && s.Users[i].Sessions == 1 && s.Users[i].Listen == ""
	})
	r.served(stays, "a")
	stays.Close()
	eventually(t, "nothing is left of who is gone", func() bool { return len(r.proxy.Status().Users) == 1 })
}

// What cannot be had leaves everything as it was, also what could have been.
func TestReloadAllOrNothing(t *testing.T) {
	a, b := named(t, "a", mapping.None), named(t, "b", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	stays := r.session()
	r.served(stays, "a")
	free, taken := porttest.Free(t), netip.MustParseAddrPort(r.proxy.Status().Users[0].Listen)
	for what, c := range map[string]struct {
		do  func(*Config)
		why string
	}{
		"an address of somebody else": {func(c *Config) { c.Elements[1].Listen = b.Address }, `pool_element "y": listen ` + b.Address.String()},
		"an address of our own":       {func(c *Config) { c.Users[1].Listen = netip.AddrPortFrom(netip.IPv4Unspecified(), taken.Port()) }, "Take another port"},
		"no certificate":              {func(c *Config) { c.Elements[1].TLS = &TLS{Cert: "/nowhere"} }, `pool_element "y": tls: open /nowhere`},
	} {
		before := r.config
		next := r.change(func(x *Config) {
			x.Pools[0].Elements, x.Pools[0].Policy, x.Users[0].Memory, x.Log.Level = []pool.Element{b}, pool.Random, 1<<20, "trace"
			x.Pools = append(x.Pools, Pool{Handle: "new", Elements: []pool.Element{b}})
			u := x.Users[0]
			u.Name, u.Listen, u.Pool = "new", free, "new"
			x.Users = append(x.Users, u)
			for _, name := range []string{"x", "y"} {
				x.Elements = append(x.Elements, Element{Name: name, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Server: b.Address, Mapping: mapping.TCP, Memory: 1 << 20})
			}
			c.do(x)
		})
		r.config = before
		was := r.proxy.Status()
		if _, err := r.proxy.Reload(next); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Fatalf("%s: %v", what, err)
		}
		r.served(stays, "a")
		r.served(r.session(), "a")
		now := r.proxy.Status()
		if len(now.Users) != 1 || len(now.Elements) != 0 || len(now.Pools) != 1 || now.Pools[0].Policy != was.Pools[0].Policy || now.Users[0].Listen != was.Users[0].Listen {
			t.Errorf("%s: %+v", what, now)
		}
		if c, err := net.Dial("tcp", free.String()); err == nil {
			c.Close()
			t.Errorf("%s: it listens where it should not", what)
		}
		for _, x := range r.proxy.runners {
			x.do(func() {
				if n := len(x.shard.users) + len(x.shard.elements) + len(x.shard.former) + len(x.shard.leaving); n != 1 || x.shard.shift != nil {
					t.Errorf("%s: %d sides", what, n)
				}
			})
		}
		if r.proxy.local.Has("new") || len(r.proxy.Pools()) != 1 {
			t.Errorf("%s: there is a new pool", what)
		}
	}
	r.reload(r.with(a, b), 1)
}

// A pool_element may get another server, and other settings: over the same association, sessions that begin go by these, and those that there
// are by those before, also when the new server is found to be ill.
func TestReloadElement(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			a, b := named(t, "a", mapping.None), named(t, "b", mapping.None)
			c := Config{Limits: Limits{Shards: shards}, Elements: []Element{{Name: "e", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Server: a.Address,
				Mapping: mapping.TCP, Memory: 1 << 20, Hold: time.Minute, Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}}}}
			var log logged
			side := started(t, c, hclog.New(&hclog.LoggerOptions{Output: &log}))
			r := newReloadRig(t, mapping.TCP, pool.Element{Name: "e", Address: netip.MustParseAddrPort(side.Status().Elements[0].Listen)})
			reload := func(want int, do func(*Element)) {
				t.Helper()
				c.Elements = slices.Clone(c.Elements)
				do(&c.Elements[0])
				if changes, err := side.Reload(c); err != nil || len(changes) != want {
					t.Fatalf("%q, %v", changes, err)
				}
			}
			first := r.session()
			r.served(first, "a")
			reload(4, func(e *Element) { e.Server, e.Memory, e.Hold, e.Heartbeat.Misses = b.Address, 64<<10, time.Second, 9 })
			for range 2 * shards { // all shards of the pool_user
				r.served(r.session(), "b")
			}
			r.served(first, "a")
			reload(1, func(e *Element) {
				e.Health = &HealthCheck{Kind: HealthConnect, Address: porttest.Free(t), Interval: 20 * time.Millisecond, Timeout: 10 * time.Millisecond, Rise: 1, Fall: 1}
			})
			eventually(t, "the new server is found to be ill", func() bool { return side.Status().Elements[0].Health != "healthy" })
			r.served(first, "a")
			reload(1, func(e *Element) { e.Health = nil })
			r.served(r.session(), "b")
			r.served(first, "a")
			if s := side.Status().Elements[0]; s.Server != b.Address.String() || s.Health != "" || s.Leaving {
				t.Errorf("%+v", s)
			}
			reload(1, func(e *Element) { e.Listen = porttest.Free(t) }) // its pool users stay: they have their associations
			r.served(first, "a")
			r.served(r.session(), "b")
			first.Close()
			eventually(t, "of the first server nothing is left", func() bool {
				n := 0
				for _, x := range side.runners {
					x.do(func() {
						for _, e := range x.shard.former {
							if e.server == a.Address {
								n++
							}
						}
					})
				}
				return n == 0
			})
		})
	}
}

// Everything is changed again and again while sessions talk, come and go; then the proxy stops in the middle of it.
func TestReloadStormOfAll(t *testing.T) {
	a, b := named(t, "a", mapping.TCP), named(t, "b", mapping.TCP)
	r := newReloadRig(t, mapping.TCP, a, b)
	ports := []netip.AddrPort{porttest.Free(t), porttest.Free(t), porttest.Free(t)}
	variant := func(i int) Config {
		c := r.config
		c.Pools, c.Users = slices.Clone(c.Pools), slices.Clone(c.Users)
		c.Users[0].Memory = 64<<10 + 1024*(i%3)
		c.Users[0].Failover.Attempts = 3 + i%2
		c.Pools[0].Policy = []pool.Policy{pool.RoundRobin, pool.Random, pool.LeastUsed}[i%3]
		c.Pools[0].Elements = [][]pool.Element{{a, b}, {b, a}, {a}}[i%3]
		c.Limits.Sessions = 1000 + i
		if i%2 == 0 {
			c.Pools = append(c.Pools, Pool{Handle: "more", Elements: []pool.Element{b}})
			u := c.Users[0]
			u.Name, u.Pool, u.Listen = "more", "more", ports[i%3]
			c.Users = append(c.Users, u)
			c.Elements = []Element{{Name: "x", Listen: ports[(i+1)%3], Server: ports[2-(i+1)%3], Mapping: mapping.TCP, Memory: 64<<10 + i%5, Hold: time.Second,
				Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}}}
		}
		return c
	}
	var all sync.WaitGroup
	var talkers []talker
	for range 8 {
		talkers = append(talkers, r.session())
	}
	stop := make(chan struct{})
	for _, c := range talkers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := io.WriteString(c, "who\n"); err != nil {
					t.Error(err)
					return
				}
				if _, err := c.in.ReadString('\n'); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 60 {
		if _, err := r.proxy.Reload(variant(i)); err != nil {
			t.Error(err)
		}
		r.session().Close()
		if i%8 == 0 {
			r.proxy.Status()
		}
	}
	close(stop)
	all.Wait()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			if _, err := r.proxy.Reload(variant(i)); err != nil {
				return
			}
		}
	}()
	r.proxy.runners[0].do(func() { r.proxy.runners[0].shard.StopAccepting() })
	<-ended
}

// A pool_element that is gone from the configuration, and named again while sessions have not left it, has these, and takes new ones: also
// where its pool users still have the association with the one before.
func TestReloadElementComesBack(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			a, at := named(t, "a", mapping.None), porttest.Free(t)
			c := Config{Limits: Limits{Shards: shards}, Elements: []Element{{Name: "e", Listen: at, Server: a.Address,
				Mapping: mapping.TCP, Memory: 1 << 20, Hold: time.Minute, Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}}}}
			side := started(t, c, hclog.NewNullLogger())
			r := newReloadRig(t, mapping.TCP, pool.Element{Name: "e", Address: at})
			first := r.session()
			r.served(first, "a")
			for range 3 {
				without := c
				without.Elements = nil
				reloaded(t, side, without)
				eventually(t, "its pool user hears that it is gone", func() bool {
					d, err := r.proxy.Draining("e")
					return err == nil && d.Draining
				})
				r.served(first, "a")
				reloaded(t, side, c)
				for range 2 * shards {
					x := r.session()
					r.served(x, "a")
					x.Close()
				}
				r.served(first, "a")
			}
			without := c
			without.Elements = nil
			reloaded(t, side, without)
			first.Close()
			eventually(t, "nothing is left of it", func() bool {
				n := 0
				for _, x := range side.runners {
					x.do(func() { n += len(x.shard.elements) + len(x.shard.former) + len(x.shard.leaving) })
				}
				return n == 0
			})
			reloaded(t, side, c)
			r.served(r.session(), "a")
		})
	}
}

// reloaded has a proxy go over to a configuration.
func reloaded(t *testing.T, p *Proxy, c Config) {
	t.Helper()
	if _, err := p.Reload(c); err != nil {
		t.Fatal(err)
	}
}

// A side that is left is one however often the configuration is read again meanwhile: what its sessions have said is counted once.
func TestReloadCountsOnce(t *testing.T) {
	a := named(t, "a", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	first := r.session()
	r.served(first, "a")
	c := r.config
	for i := range 3 {
		c.Users = slices.Clone(c.Users)
		c.Users[0].Memory += 1024 * (i + 1)
		reloaded(t, r.proxy, c)
	}
	left := func() (sides int, said uint64) {
		for _, x := range r.proxy.runners {
			x.do(func() {
				sides += len(x.shard.leaving)
				said += x.shard.past["data"].UnprotectedBytes + x.shard.past["data"].ProtectedBytes
			})
		}
		return sides, said
	}
	first.Close()
	eventually(t, "no side is left", func() bool { n, _ := left(); return n == 0 })
	if _, said := left(); said != uint64(len("who\n")) {
		t.Errorf("%d bytes were said, not %d", said, len("who\n"))
	}
}

// The sessions that should leave an element are those of the side that is left and of the one in its place.
func TestReloadSessionsLeaving(t *testing.T) {
	a := named(t, "a", mapping.None)
	r := newReloadRig(t, mapping.None, a)
	begin := func() {
		for range 4 {
			r.served(r.session(), "a")
		}
	}
	begin()
	c := r.config
	c.Users = slices.Clone(c.Users)
	c.Users[0].Memory += 1024
	reloaded(t, r.proxy, c)
	begin()
	if err := r.proxy.Drain("a"); err != nil {
		t.Fatal(err)
	}
	stay := 0
	for _, x := range r.proxy.runners {
		x.do(func() { stay += x.shard.measured()[sessionsStay.of("data", "data")] })
	}
	if stay != 8 {
		t.Errorf("%d sessions should leave, not 8", stay)
	}
}

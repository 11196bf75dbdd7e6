package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/protocol"
	"github.com/poolproxy/poolproxy/session"
)

// registeringProxy is a process on real loops: a pool_element that registers itself, and a pool_user of it.
type registeringProxy struct {
	*testing.T
	p        *Proxy
	server   net.Listener
	accepted atomic.Int32 // connections of the server
	registry *playedRegistry
}

// serve takes connections and reads them to their end. It ends with the listener.
func (r *registeringProxy) serve() {
	for {
		c, err := r.server.Accept()
		if err != nil {
			return
		}
		r.accepted.Add(1)
		go discard(c)
	}
}

// discard reads a connection to its end, and closes it.
func discard(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(io.Discard, c)
}

func newRegisteringProxy(t *testing.T, shards int, change func(*Element)) *registeringProxy {
	r := &registeringProxy{T: t, registry: newPlayedRegistry()}
	var err error
	if r.server, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.server.Close() })
	go r.serve()
	reserved, err := net.Listen("tcp4", "127.0.0.1:0") // a port for the element that is free
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(reserved.Addr().String())
	reserved.Close()
	beat := mapping.Heartbeat{Interval: time.Second, Misses: 3}
	e := Element{Name: "a", Listen: at, Server: netip.MustParseAddrPort(r.server.Addr().String()), Mapping: mapping.TCP, Memory: 64 << 10, Heartbeat: beat,
		Register: []Register{{Handle: "orders", Registry: r.registry, SourceName: "test.r", Name: "a", Mapping: mapping.TCP, Every: 10 * time.Millisecond}}}
	if change != nil {
		change(&e)
	}
	r.p, err = Start(Config{Limits: Limits{Shards: shards}, Elements: []Element{e},
		Pools: []Pool{{Handle: "orders", Mapping: mapping.TCP, Elements: []pool.Element{{Name: "a", Address: at}}}},
		Users: []User{{Name: "orders", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Pool: "orders", Protocol: protocol.NewStream(protocol.StreamConfig{}), Memory: 64 << 10,
			Heartbeat: beat, Failover: session.Failover{Deadline: time.Minute, Attempts: 3}}}}, hclog.NewNullLogger(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.stop(0) })
	return r
}

// stop stops the proxy, whose sessions may go on for so long, and says how long that took.
func (r *registeringProxy) stop(grace time.Duration) time.Duration {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	r.p.Stop(ctx)
	return time.Since(began)
}

func (r *registeringProxy) is(s registrationState) {
	r.Helper()
	eventually(r.T, "it is "+string(s), func() bool { return r.p.Status().Registrations[0].State == string(s) })
}

// The kernel is asked whether somebody listens: the server hears nothing of that.
func TestRegisterAsksTheKernel(t *testing.T) {
	r := newRegisteringProxy(t, 1, nil)
	r.is(regRegistered)
	r.server.Close()
	r.is(regWaiting)
	if n := r.accepted.Load(); n > 0 {
		t.Errorf("the server was connected to %d times", n)
	}
	if got := r.registry.took(); got != "register a in orders, deregister a" {
		t.Error(got)
	}
}

// So it is for a server that begins after the sidecar.
func TestRegisterAsksTheKernelLater(t *testing.T) {
	var at string
	r := newRegisteringProxy(t, 1, func(e *Element) { at = e.Server.String() })
	r.is(regRegistered)
	r.server.Close()
	r.is(regWaiting)
	r.p.runners[0].do(func() { r.p.runners[0].shard.elements[0].probe.local = false }) // as it is before a server was seen
	var err error
	if r.server, err = net.Listen("tcp4", at); err != nil {
		t.Fatal(err)
	}
	go r.serve()
	r.is(regRegistered)
	if n := r.accepted.Load(); n > 0 {
		t.Errorf("the server was connected to %d times", n)
	}
}

// The load is that of all shards.
func TestRegisterLoadOfShards(t *testing.T) {
	r := newRegisteringProxy(t, threeShards, func(e *Element) {
		e.Register[0].Policy, e.Register[0].LoadFrom, e.Register[0].MaxSessions = pool.LeastUsed, LoadSessions, 10
	})
	for range 2 * threeShards {
		c, err := net.Dial("tcp4", r.p.Status().Users[0].Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, "the load is told", func() bool { return r.registry.loadOf("a") == "60%" })
	serving := 0
	for _, runner := range r.p.runners {
		runner.do(func() {
			if live, _ := runner.shard.elements[0].rules.Legs(); live > 0 {
				serving++
			}
		})
	}
	if serving < 2 {
		t.Errorf("%d shards have sessions", serving)
	}
}

// A registry that hangs stops nothing else: not the sessions, and not for long the end. What it registers when nobody wants that any more
// is deregistered.
func TestRegisterHangs(t *testing.T) {
	gate := make(chan struct{})
	r := newRegisteringProxy(t, 1, func(e *Element) { e.Register[0].Registry.(*playedRegistry).set(gate, nil) })
	r.is(regRegistering)
	eventually(t, "the registry hangs", r.registry.waits)
	c, err := net.Dial("tcp4", r.p.Status().Users[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "the session is served", func() bool { return r.accepted.Load() > 0 })
	c.Close()
	if took := r.stop(time.Minute); took < deregisterTime || took > deregisterTime+killDelay+limitPatience {
		t.Errorf("the stop took %v", took)
	}
	close(gate)
	var got string
	eventually(t, "what came too late is gone again", func() bool {
		got += r.registry.took() + " "
		return strings.Contains(got, "deregister")
	})
}

// A stop deregisters before anything else, and waits for that, but not for ever.
func TestRegisterStop(t *testing.T) {
	for try := 1; !stoppedWhenAnswered(t); try++ { // all of it has to be over before the proxy loses patience
		if try == 10 {
			t.Fatalf("the stop takes %v each time, though there was an answer", deregisterTime)
		}
	}

	r := newRegisteringProxy(t, 1, nil)
	r.is(regRegistered)
	if r.stop(0); len(r.registry.live) > 0 {
		t.Error("a stop at once leaves the element in its pool")
	}

	r = newRegisteringProxy(t, 1, nil)
	r.is(regRegistered)
	r.registry.set(nil, make(chan struct{}))
	if took := r.stop(time.Minute); took < deregisterTime || took > deregisterTime+limitPatience {
		t.Errorf("with a registry that does not answer the stop took %v", took)
	}
}

// stoppedWhenAnswered has a registry answer to a deregistration when a session was served meanwhile, and reports whether the stop took no
// longer than that.
func stoppedWhenAnswered(t *testing.T) bool {
	r := newRegisteringProxy(t, 1, nil)
	r.is(regRegistered)
	answer := make(chan struct{})
	r.registry.set(nil, answer)
	stopped := make(chan time.Duration)
	at, began := r.p.Status().Users[0].Listen, time.Now()
	late := func() bool { return time.Since(began) > deregisterTime }
	go func() { stopped <- r.stop(time.Minute) }() // ends with the stop, which is awaited
	eventually(t, "the registry is asked", func() bool { return r.registry.waits() || late() })
	eventually(t, "it is deregistering", func() bool { return late() || r.p.Status().Registrations[0].State == string(regDeregistering) })
	c, err := net.Dial("tcp4", at) // still
	if err != nil && !late() {
		t.Fatal(err)
	}
	eventually(t, "the session is served", func() bool { return r.accepted.Load() > 0 || late() })
	if err == nil {
		c.Close()
	}
	eventually(t, "the session has ended", func() bool { return late() || r.p.Status().Users[0].Sessions == 0 })
	close(answer)
	if took := <-stopped; took > deregisterTime {
		return false
	}
	if got := r.registry.took(); got != "register a in orders, deregister a" {
		t.Error(got)
	}
	return true
}

// The server dies while the registry is at work: what it has registered is taken back at once.
func TestRegisterTooLate(t *testing.T) {
	gate := make(chan struct{})
	r := newRegisteringProxy(t, 1, func(e *Element) {
		e.Health = &HealthCheck{Kind: HealthConnect, Address: e.Server, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1} // the load shall not fail it
		e.Register[0].Registry.(*playedRegistry).set(gate, nil)
	})
	r.is(regRegistering)
	r.server.Close()
	eventually(t, "the server is unhealthy", func() bool { return r.p.Status().Elements[0].Health != "healthy" })
	close(gate)
	r.is(regWaiting)
	if got := r.registry.took(); got != "register a in orders, deregister a" {
		t.Error(got)
	}
}

// A program tells the load. Until it has, the element is not registered; when it cannot, the load known last stays, and that is shown.
func TestRegisterLoadExec(t *testing.T) {
	says := filepath.Join(t.TempDir(), "says")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(says+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(says+".new", says); err != nil {
			t.Fatal(err)
		}
	}
	r := newRegisteringProxy(t, 1, func(e *Element) {
		e.Register[0].Policy, e.Register[0].LoadFrom, e.Register[0].LoadExec = pool.LeastUsed, LoadExec, []string{"/bin/cat", says}
	})
	r.is(regRegistered) // by a program that fails
	if s := r.p.Status().Registrations[0]; r.registry.loadOf("a") != "100%" || !strings.Contains(s.LoadError, "cat") {
		t.Errorf("%s, %+v", r.registry.loadOf("a"), s)
	}
	for _, c := range []struct{ text, load, fault string }{{"25 %\n", "25%", ""}, {"7", "7%", ""}, {"seven", "7%", `"seven"`}, {"99.5%", "99.5%", ""}} {
		write(c.text)
		eventually(t, c.text+" is told", func() bool {
			s := r.p.Status().Registrations[0]
			return r.registry.loadOf("a") == c.load && (c.fault == "") == (s.LoadError == "") && strings.Contains(s.LoadError, c.fault)
		})
	}
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
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

// playedRegistry is a registry that the test plays: it notes what it is asked for, and answers as it is told to.
type playedRegistry struct {
	mu     sync.Mutex
	events []string                // guarded by mu
	live   map[string]pool.Element // guarded by mu: by name
	told   map[string]func(error)  // guarded by mu: by name, of all registrations that there were

	answer  error         // guarded by mu: what is told at once
	refusal error         // guarded by mu: what Register returns
	fails   error         // guarded by mu: what Deregister returns
	gate    chan struct{} // guarded by mu: Register waits until it can be read; nil: it does not wait
	leaving chan struct{} // guarded by mu: likewise Deregister, which ctx ends, too
	waiting int           // guarded by mu: calls that wait for one of them
}

// wait has a call wait for what can be read from the gate, or for the end of ctx.
func (p *playedRegistry) wait(ctx context.Context, gate *chan struct{}) error {
	p.mu.Lock()
	c := *gate
	if c == nil {
		p.mu.Unlock()
		return nil
	}
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waits reports whether a call waits.
func (p *playedRegistry) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting > 0
}

// set has the gates be these from now on.
func (p *playedRegistry) set(gate, leaving chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate, p.leaving = gate, leaving
}

func newPlayedRegistry() *playedRegistry {
	return &playedRegistry{live: make(map[string]pool.Element), told: make(map[string]func(error))}
}

func (p *playedRegistry) note(format string, args ...any) {
	p.events = append(p.events, fmt.Sprintf(format, args...))
}

// Register notes the element (pool.Registry).
func (p *playedRegistry) Register(r pool.Registration, told func(error)) (pool.Registered, error) {
	if err := p.wait(context.Background(), &p.gate); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusal != nil {
		p.note("refuse %s", r.Element.Name)
		return nil, p.refusal
	}
	p.note("register %s in %s", r.Element.Name, r.Handle)
	p.live[r.Element.Name], p.told[r.Element.Name] = r.Element, told
	told(p.answer)
	return &playedRegistered{p, r.Element.Name}, nil
}

type playedRegistered struct {
	p    *playedRegistry
	name string
}

// Revalue notes the load (pool.Registered).
func (r *playedRegistered) Revalue(e pool.Element) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.p.note("revalue %s %s", e.Name, percentOf(e.Load))
	r.p.live[e.Name] = e
}

// Deregister notes that the element is gone (pool.Registered).
func (r *playedRegistered) Deregister(ctx context.Context) error {
	if err := r.p.wait(ctx, &r.p.leaving); err != nil {
		return err
	}
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if _, is := r.p.live[r.name]; is {
		r.p.note("deregister %s", r.name)
	}
	delete(r.p.live, r.name)
	return r.p.fails
}

// took are the events since the last call.
func (p *playedRegistry) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	events := strings.Join(p.events, ", ")
	p.events = nil
	return events
}

func (p *playedRegistry) loadOf(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return percentOf(p.live[name].Load)
}

// registerRig is a pool_element that registers itself, its server, and a pool_user with clients, in virtual time.
type registerRig struct {
	*testing.T
	world    *looptest.World
	server   *looptest.Host
	listener loop.Listener
	user     *looptest.Host
	shard    *Shard // of the pool_element
	registry *playedRegistry
	log      logged
	clients  int
}

func newRegisterRig(t *testing.T, change func(*Element)) *registerRig {
	r := &registerRig{T: t, world: looptest.NewWorld(1), registry: newPlayedRegistry()}
	r.server, r.user = r.world.Host("server"), r.world.Host("user")
	h := r.world.Host("element")
	e := Element{Name: "a", Listen: h.Addr(7001), Server: r.server.Addr(80), Mapping: mapping.TCP, Memory: 64 << 10,
		Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}, Register: []Register{r.to("orders", pool.RoundRobin)}}
	if change != nil {
		change(&e)
	}
	for i := range e.Register {
		if e.Register[i].Registry == nil {
			e.Register[i].Registry = r.registry
		}
	}
	random := func(p []byte) {
		for i := range p {
			p[i] = byte(r.world.Rand().Uint32())
		}
	}
	log := hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.Debug})
	var err error
	if r.shard, err = NewVirtualShard(h, Config{Elements: []Element{e}}, log, nil, random); err != nil {
		t.Fatal(err)
	}
	users, err := NewVirtualShard(r.user, Config{
		Pools: []Pool{{Handle: "orders", Mapping: mapping.TCP, Elements: []pool.Element{{Name: "a", Address: h.Addr(7001)}}}},
		Users: []User{{Name: "orders", Listen: r.user.Addr(clientPort), Pool: "orders", Protocol: protocol.NewStream(protocol.StreamConfig{}), Memory: 64 << 10,
			Heartbeat: mapping.Heartbeat{Interval: time.Second, Misses: 3}, Failover: session.Failover{Deadline: time.Minute, Attempts: 3, Resume: time.Second}}},
	}, hclog.NewNullLogger(), nil, random)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.shard.Close()
		users.Close()
		r.world.RunFor(time.Second)
		if n := h.Timers() + r.user.Timers(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
		if n := len(r.registry.live); n != 0 {
			t.Errorf("%d elements are registered when all has ended", n)
		}
	})
	return r
}

// to is a registration under the name of its pool and the element.
func (r *registerRig) to(handle string, p pool.Policy) Register {
	return Register{Handle: handle, Registry: r.registry, SourceName: "test.r", Policy: p, Name: "a@" + handle, Mapping: mapping.TCP, Every: time.Second}
}

func (r *registerRig) serves(on bool) {
	if !on {
		r.listener.Close()
		return
	}
	var err error
	if r.listener, err = r.server.Listen(r.server.Addr(80), func(c loop.Conn) loop.Handler { return quiet{c} }); err != nil {
		r.Fatal(err)
	}
}

func (r *registerRig) client() *quiet {
	r.clients++
	h, c := r.world.Host(fmt.Sprintf("client%d", r.clients)), &quiet{}
	h.Post(func() { c.Conn = h.Dial(r.user.Addr(clientPort), c) })
	r.world.RunFor(5 * time.Millisecond)
	return c
}

func (r *registerRig) status() RegistrationStatus {
	var s Status
	r.shard.status(&s)
	return s.Registrations[0]
}

// wants checks what the registry was asked for, and how the first registration stands now.
func (r *registerRig) wants(events string, state registrationState) {
	r.Helper()
	if got := r.registry.took(); got != events {
		r.Errorf("%q, not %q", got, events)
	}
	if s := r.status(); s.State != string(state) {
		r.Errorf("it is %+v, not %s", s, state)
	}
}

// An element is in its pool while somebody listens on its server's port, and is gone before the process stops.
func TestRegister(t *testing.T) {
	r := newRegisterRig(t, nil)
	r.wants("", regWaiting)
	r.world.RunFor(10 * time.Second)
	r.wants("", regWaiting)
	if s := r.status(); !strings.Contains(s.Error, "nobody does") || s.Name != "a@orders" || s.Address != r.shard.elements[0].address().String() || s.Load != nil {
		t.Errorf("%+v", s)
	}
	r.serves(true)
	r.world.RunFor(watchEvery + 100*time.Millisecond)
	r.wants("register a@orders in orders", regRegistered)
	if s := r.status(); s.Error != "" || r.world.Now().Sub(s.Since) > 200*time.Millisecond+watchEvery {
		t.Errorf("%+v", s)
	}
	r.serves(false)
	r.world.RunFor(watchEvery + 100*time.Millisecond)
	r.serves(true) // it was started again
	r.world.RunFor(10 * time.Second)
	r.wants("", regRegistered)
	old := r.registry.told["a@orders"]
	r.serves(false)
	r.world.RunFor(watchFall*watchEvery + 200*time.Millisecond)
	r.wants("deregister a@orders", regWaiting)
	old(errors.New("what is said of it now is outdated"))
	r.world.RunFor(time.Second)
	if s := r.status(); !strings.Contains(s.Error, "nobody does") {
		t.Errorf("%+v", s)
	}
	r.serves(true)
	r.world.RunFor(watchEvery + 100*time.Millisecond)
	r.wants("register a@orders in orders", regRegistered)
	gone := 0
	r.shard.withdraw(func() { gone++ })
	r.world.RunFor(time.Millisecond)
	if r.wants("deregister a@orders", regStopped); gone != 1 {
		t.Errorf("it was said %d times that the elements are gone", gone)
	}
	r.world.RunFor(10 * time.Second)
	r.wants("", regStopped)
	r.client() // sessions go on being served
	if live, _ := r.shard.elements[0].rules.Legs(); live != 1 {
		t.Errorf("%d legs", live)
	}
}

// A server's host that falls silent is found out by two looks, each of which takes its time.
func TestRegisterSilent(t *testing.T) {
	r := newRegisterRig(t, nil)
	r.serves(true)
	if !r.world.RunUntil(func() bool { return r.status().State == string(regRegistered) }, 5*time.Second) {
		t.Fatal("never registered")
	}
	r.wants("register a@orders in orders", regRegistered)
	r.server.Vanish()
	r.world.RunFor(2500 * time.Millisecond)
	r.wants("", regRegistered)
	r.world.RunFor(1500 * time.Millisecond)
	r.wants("deregister a@orders", regWaiting)
	if s := r.status(); !strings.Contains(s.Error, "nobody does") {
		t.Errorf("%+v", s)
	}
}

// With a health check it is that which decides, with its own thresholds, and a server is not registered because nothing is known of it.
func TestRegisterHealth(t *testing.T) {
	r := newRegisterRig(t, func(e *Element) {
		e.Health = &HealthCheck{Kind: HealthConnect, Address: e.Server, Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 3, Fall: 5}
	})
	r.world.RunFor(2 * time.Second)
	r.wants("", regWaiting)
	r.serves(true)
	r.world.RunFor(time.Second)
	r.wants("register a@orders in orders", regRegistered)
	r.serves(false)
	r.world.RunFor(3 * time.Second)
	r.wants("", regRegistered)
	r.world.RunFor(3 * time.Second)
	r.wants("deregister a@orders", regWaiting)
	if s := r.status(); !strings.Contains(s.Error, "connect to") {
		t.Errorf("%+v", s)
	}
	r.serves(true)
	r.world.RunFor(1900 * time.Millisecond)
	r.wants("", regWaiting)
	r.world.RunFor(1300 * time.Millisecond)
	r.wants("register a@orders in orders", regRegistered)
}

// Two blocks are two registrations. One that can never be does not harm the other, and is tried again when the server comes back.
func TestRegisterTwice(t *testing.T) {
	other := newPlayedRegistry()
	other.refusal = fmt.Errorf("pool %q: %w", "more", pool.ErrInconsistent)
	r := newRegisterRig(t, func(e *Element) {
		e.Register = append(e.Register, Register{Handle: "more", Registry: other, SourceName: "test.s", Name: "b", Mapping: mapping.TCP})
	})
	r.serves(true)
	r.world.RunFor(10 * time.Second)
	r.wants("register a@orders in orders", regRegistered)
	var s Status
	r.shard.status(&s)
	if second := s.Registrations[1]; second.State != string(regRefused) || !strings.Contains(second.Error, pool.ErrInconsistent.Error()) || other.took() != "refuse b" {
		t.Errorf("%+v", second)
	}
	other.refusal = nil
	r.serves(false)
	r.world.RunFor(5 * time.Second)
	r.serves(true)
	r.world.RunFor(5 * time.Second)
	if got := other.took(); got != "register b in more" {
		t.Error(got)
	}
	gone := 0
	r.shard.withdraw(func() { gone++ })
	r.world.RunFor(time.Millisecond)
	if gone != 1 || len(r.registry.live)+len(other.live) > 0 {
		t.Error(gone, r.registry.live, other.live)
	}
}

// A registry that is down says so, and later that it is not: each is logged once, and shown.
func TestRegisterDown(t *testing.T) {
	r := newRegisterRig(t, nil)
	r.registry.answer = fmt.Errorf("nobody answers: %w", pool.ErrSourceDown)
	r.serves(true)
	r.world.RunFor(2 * time.Second)
	r.wants("register a@orders in orders", regFailing)
	told := r.registry.told["a@orders"]
	say := func(err error, state registrationState) {
		t.Helper()
		told(err)
		told(err)
		r.world.RunFor(time.Second)
		r.wants("", state)
	}
	if s := r.status(); !strings.Contains(s.Error, "nobody answers") {
		t.Errorf("%+v", s)
	}
	say(nil, regRegistered)
	say(pool.ErrDuplicate, regFailing)
	since := r.status().Since
	say(pool.ErrSourceDown, regFailing)
	if s := r.status(); s.Error != pool.ErrSourceDown.Error() || !s.Since.Equal(since) {
		t.Errorf("%+v", s)
	}
	say(nil, regRegistered)
	text := r.log.String()
	for line, want := range map[string]int{"registered in a pool": 2, "not registered: it is tried again": 3} {
		if n := strings.Count(text, line); n != want {
			t.Errorf("%q is there %d times, not %d:\n%s", line, n, want, text)
		}
	}
	r.registry.fails = errors.New("still nobody")
	r.serves(false)
	r.world.RunFor(5 * time.Second)
	r.wants("deregister a@orders", regWaiting)
	if !strings.Contains(r.log.String(), "it ends with its lease") {
		t.Error(r.log.String())
	}
	to := make(gauges)
	r.shard.allRegistrations()[0].measure(to)
	if to[regWanted.of("a")] != 1 || to[regDone.of("a")] != 0 {
		t.Error(to)
	}
}

// The load is that of the sessions; it is told when it has changed by enough, once in Every, whatever happens meanwhile.
func TestRegisterLoad(t *testing.T) {
	const most = 200
	r := newRegisterRig(t, func(e *Element) {
		e.Register[0].Policy, e.Register[0].LoadFrom, e.Register[0].MaxSessions, e.Register[0].Every = pool.LeastUsed, LoadSessions, most, 10*time.Second
	})
	r.serves(true)
	clients := []*quiet{r.client(), r.client()}
	r.world.RunFor(2 * time.Second)
	r.wants("register a@orders in orders", regRegistered)
	if s := r.status(); r.registry.loadOf("a@orders") != "1%" || s.Load == nil || math.Abs(*s.Load-0.01) > 1e-6 {
		t.Errorf("%s, %+v", r.registry.loadOf("a@orders"), s)
	}
	for range 20 {
		clients = append(clients, r.client())
		r.world.RunFor(50 * time.Millisecond)
	}
	r.wants("", regRegistered)
	r.world.RunFor(10 * time.Second)
	r.wants("revalue a@orders 11%", regRegistered)
	clients = append(clients, r.client()) // half a percent
	r.world.RunFor(30 * time.Second)
	r.wants("", regRegistered)
	for _, c := range clients {
		c.Conn.Reset()
	}
	r.world.RunFor(10 * time.Second)
	r.wants("revalue a@orders 0%", regRegistered)
	for range most + 5 {
		r.client()
	}
	r.world.RunFor(10 * time.Second)
	if got := r.registry.loadOf("a@orders"); got != "100%" {
		t.Error(got)
	}
}

// With least_used_degradation pool users count what they send on top of the load, so that the load is told again also when it is the same.
func TestRegisterDegradation(t *testing.T) {
	r := newRegisterRig(t, func(e *Element) {
		e.Register[0].Policy, e.Register[0].Load = pool.LeastUsedDegradation, 1<<31
	})
	r.serves(true)
	r.world.RunFor(10 * time.Second)
	r.wants("register a@orders in orders", regRegistered)
	r.client()
	r.client()
	r.world.RunFor(10 * time.Second)
	r.wants("revalue a@orders 50%", regRegistered)
}

func TestParseLoad(t *testing.T) {
	for text, want := range map[string]string{"0": "0%", "100\n": "100%", " 42.5 % \n": "42.5%", "7%": "7%", "1e1": "10%",
		"": "", "%": "", "NaN": "", "-1": "", "100.1": "", "Inf": "", "load: 5": "", "5 5": "", "5%%": "", "5" + strings.Repeat(" ", 100) + "x": "", strings.Repeat("0", 99): ""} {
		load, err := parseLoad([]byte(text))
		if got := percentOf(load); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Error(err)
		}
	}
	if far(enoughLoad-1, 0) || !far(0, enoughLoad) || !far(math.MaxUint32, 0) {
		t.Error("what is far")
	}
}

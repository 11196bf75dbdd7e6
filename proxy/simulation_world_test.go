package proxy

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// simulation is one schedule: a world with clients, the pool user's sidecar, pool elements' sidecars and servers.
type simulation struct {
	*scenario
	world     *looptest.World
	log       hclog.Logger
	home      *looptest.Host // of the clients
	user      *looptest.Host
	userShard *Shard
	elements  []*element
	clients   []*client
	trace     func(string, ...any)
	err       error // the first violation

	thawed map[*looptest.Host]time.Time // when a frozen host goes on, or went on

	calls   int      // of callbacks
	said    [][]byte // by them
	accepts int      // of servers

	woke map[*looptest.Host]time.Time // when it last was thawed

	named map[string]netip.AddrPort // where the source has last said that elements are

	drains   *drains
	upgrades *upgrades
	chaos    *chaos
	source   *source

	closed map[int]bool // clients of whom a server has closed or reset a connection of its own will
}

// element is one pool element: a server, and with the TCP mapping a sidecar before it.
type element struct {
	index   int
	sidecar *looptest.Host // with mapping none: the pool user's
	server  *looptest.Host
	shard   *Shard   // nil: there is none, or it is dead
	was     []*Shard // whose place that has taken in upgrades
	process *server
	stalled bool // the path between the sidecar and the server
	died    time.Time
	trouble time.Time // when that path last was healed
}

const (
	clientPort  = 1000
	elementPort = 2000
	serverPort  = 3000
)

func newSimulation(s *scenario, trace func(string, ...any)) *simulation {
	m := &simulation{scenario: s, world: looptest.NewWorld(s.seed), trace: trace, closed: map[int]bool{}, named: map[string]netip.AddrPort{}, woke: map[*looptest.Host]time.Time{}}
	m.world.BufferSize = s.buffer
	level := hclog.Warn
	if trace != nil {
		m.world.Trace(trace)
		level = hclog.Trace
		m.tracef("heartbeat %v and %v, callbacks %d, fails %t, goes on %t, drifts %t, longest %v, talks %+v", s.heartbeat, s.beats, s.callbacks, s.fails, s.goesOn, s.drifts, s.longest, s.dialect)
		m.tracef("class %d, %T, mapping %v, %+v, policy %v, memory %d, buffer %d, elements %d, shared %t, differs %t, clients %d",
			s.class, s.dialect, s.mapping, s.failover, s.policy, s.memory, s.buffer, s.elements, s.shared, s.differs, s.clients)
	}
	m.log = hclog.New(&hclog.LoggerOptions{Output: lineWriter(m.logged), Level: level, DisableTime: true})
	m.home, m.user = m.world.Host("clients"), m.world.Host("user")
	m.drift(m.user)
	for i := range s.elements {
		m.elements = append(m.elements, m.newElement(i))
	}
	return m
}

// logged takes a line of a sidecar's log. None of them lies, so none may be said to.
func (m *simulation) logged(line string) {
	m.tracef("%s", line)
	if strings.Contains(line, "broke the session protocol") {
		m.violated("%s", line)
	}
}

// lineWriter is an io.Writer for one line a call.
type lineWriter func(line string)

func (w lineWriter) Write(p []byte) (int, error) {
	w(string(p[:len(p)-1]))
	return len(p), nil
}

var _ io.Writer = lineWriter(nil)

func (m *simulation) tracef(format string, args ...any) {
	if m.trace != nil {
		m.trace("%12v %s", m.world.Now().Sub(began), fmt.Sprintf(format, args...))
	}
}

// began is when every world begins.
var began = looptest.NewWorld(0).Now()

// violated notes a violation. Only the first one of a schedule counts.
func (m *simulation) violated(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("at %v: %s", m.world.Now().Sub(began), fmt.Sprintf(format, args...))
		m.tracef("VIOLATION: %v", m.err)
	}
}

func (m *simulation) newElement(i int) *element {
	e := &element{index: i, server: m.world.Host(fmt.Sprintf("server%d", i))}
	switch {
	case m.mapping == mapping.None:
		e.sidecar = m.user
	case m.shared:
		e.sidecar = e.server
	default:
		e.sidecar = m.world.Host(elementName(i))
	}
	if e.sidecar != m.user {
		m.drift(e.sidecar)
	}
	return e
}

func elementName(i int) string { return fmt.Sprintf("element%d", i) }

// drift gives a host a clock that is up to 1 % wrong.
func (m *simulation) drift(h *looptest.Host) {
	if m.drifts {
		h.Drift(m.rand.IntN(20_001) - 10_000)
	}
}

// startServer starts the server's process on its host, which runs and has none.
func (m *simulation) startServer(e *element) {
	e.process = newServer(m, e)
	if _, err := e.server.Listen(e.server.Addr(serverPort), e.process.accept); err != nil {
		panic(err)
	}
}

// startSidecar starts the pool element's sidecar.
func (m *simulation) startSidecar(e *element) {
	if m.mapping == mapping.None {
		return
	}
	var err error
	e.shard, err = NewVirtualShard(e.sidecar, Config{Limits: Limits{Memory: m.limit}, Elements: []Element{{Name: elementName(e.index),
		Listen: e.sidecar.Addr(elementPort), Server: e.server.Addr(serverPort), Mapping: mapping.TCP,
		SendProxy: m.header, Heartbeat: m.beats, Memory: m.memory, Hold: m.hold, Chaos: true, CookieKey: m.cookieKey(e.index), Card: m.cardFor(e.index)}}},
		m.log.Named(e.sidecar.Name()), nil, m.random)
	if err != nil {
		panic(err)
	}
}

// startUser starts the pool user's sidecar.
func (m *simulation) startUser() {
	p := Pool{Handle: "pool", Policy: m.policy, Mapping: m.mapping, SendProxy: m.headerOfPool(), Chaos: true}
	for _, e := range m.elements {
		p.Elements = append(p.Elements, pool.Element{Name: elementName(e.index), Address: m.addressOf(e), Priority: uint32(e.index)})
	}
	var callbacks []Callback
	for range m.callbacks {
		callbacks = append(callbacks, Callback{Rule: &spokesman{m}})
	}
	if m.goesOn {
		callbacks = append(callbacks, Callback{Rule: &goingOn{m}})
	}
	var err error
	m.userShard, err = NewVirtualShard(m.user, Config{Limits: Limits{Memory: m.limit}, Pools: []Pool{p}, Users: []User{{Name: "user", Listen: m.user.Addr(clientPort),
		Pool: "pool", Protocol: m.dialect.protocol(), Heartbeat: m.heartbeat, Memory: m.memory, Accept: m.accept(),
		Failover: m.failover, Callbacks: callbacks, Associations: m.spread, Rehearsal: m.recorded}}}, m.log.Named("user"), nil, m.random)
	if err != nil {
		panic(err)
	}
}

// addressOf is where the pool user reaches an element.
func (m *simulation) addressOf(e *element) netip.AddrPort {
	if m.mapping == mapping.None {
		return e.server.Addr(serverPort)
	}
	return e.sidecar.Addr(elementPort)
}

// random fills p with the schedule's own chance: it makes tokens.
func (m *simulation) random(p []byte) {
	for i := range p {
		p[i] = byte(m.rand.Uint32())
	}
}

// run runs the schedule and returns the first violation.
func (m *simulation) run() error {
	for _, e := range m.elements {
		m.startServer(e)
		m.startSidecar(e)
		if m.near() {
			m.world.Delay(e.sidecar, e.server, 0, 0)
		}
	}
	m.startUser()
	for i := range m.scenario.clients {
		m.clients = append(m.clients, newClient(m, i))
	}
	m.planDrains()
	m.planUpgrades()
	m.planFaults()
	m.planChaos()
	m.planSource()
	m.watch()
	m.world.RunUntil(func() bool { return m.err != nil }, faultTime)
	m.healAll()
	limit := 3*m.failover.Deadline + 3*m.failover.Resume + 5*m.failover.Fence + 90*time.Second
	m.world.RunUntil(func() bool { return m.finished() || m.err != nil }, limit)
	if m.err == nil {
		m.checkEnd()
	}
	return m.err
}

func (m *simulation) finished() bool {
	for _, c := range m.clients {
		if c.outcome == "" {
			return false
		}
	}
	return true
}

// between draws a time.
func (m *simulation) between(from, to time.Duration) time.Duration {
	return from + time.Duration(m.rand.Int64N(int64(to-from)))
}

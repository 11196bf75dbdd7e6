package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// drains are a fault of their own, in half of the schedules: operators drain elements at the pool user's side and at the elements', sidecars are
// stopped in order and started again, elements leave the pool. In a third of those nothing else goes wrong: then no client may notice, and
// every request is carried out once. They have chance of their own, so that the other half is what it would be without.
type drains struct {
	m       *simulation
	rand    *rand.Rand
	any     bool           // there are some
	alone   bool           // nothing else goes wrong
	stopped map[*Shard]int // sidecars that are being stopped: how often it was looked whether they are empty
	out     map[int]int    // elements that are drained, how often
}

func (m *simulation) planDrains() {
	d := &drains{m: m, rand: rand.New(rand.NewPCG(m.seed, 0xd7a1)), stopped: make(map[*Shard]int), out: make(map[int]int)}
	m.drains = d
	if d.rand.IntN(2) == 0 || m.class == pathOnly { // there nothing may move
		return
	}
	d.any = true
	if d.alone = d.rand.IntN(3) == 0; d.alone {
		m.faults, m.fails = 0, false
	}
	kinds := []func(*element){d.byOperator, d.byOperator, d.unnamed}
	if len(m.elements) > 0 && m.elements[0].sidecar != m.user {
		kinds = append(kinds, d.byElement, d.restart, d.restart)
	}
	for range 1 + d.rand.IntN(8) {
		kind, e := kinds[d.rand.IntN(len(kinds))], m.elements[d.rand.IntN(len(m.elements))]
		m.world.After(time.Duration(d.rand.Int64N(int64(faultTime*3/4))), func() { d.begin(kind, e) })
	}
}

// begin drains an element if another one is left.
func (d *drains) begin(kind func(*element), e *element) {
	others := 0
	for _, other := range d.m.elements {
		if other != e && d.out[other.index] == 0 {
			others++
		}
	}
	if others == 0 {
		return
	}
	d.out[e.index]++
	kind(e)
}

// later does something within so much time, the element being drained until then.
func (d *drains) later(within time.Duration, e *element, do func()) {
	d.m.world.After(time.Duration(d.rand.Int64N(int64(within))), func() { do(); d.out[e.index]-- })
}

func (d *drains) byOperator(e *element) {
	m, name := d.m, elementName(e.index)
	m.tracef("an operator drains %s", name)
	set := func(change func(string) bool) {
		m.user.Post(func() { change(name); m.userShard.drain(name, true) })
	}
	set(m.userShard.layout.pools["pool"].pool.Drain)
	d.later(time.Second, e, func() { m.tracef("%s is drained no more", name); set(m.userShard.layout.pools["pool"].pool.Undrain) })
}

// unnamed has the source leave the element out, for so long that its sessions leave it; then it is there again.
func (d *drains) unnamed(e *element) {
	d.m.source.out[e.index]++
	d.m.source.tell()
	d.later(2*faultTime, e, func() { d.m.source.out[e.index]--; d.m.source.tell() })
}

func (d *drains) byElement(e *element) {
	shard := e.shard
	set := func(on bool) {
		if shard != nil && e.is(shard) && d.stopped[e.shard] == 0 {
			d.m.tracef("%s drains itself: %t", elementName(e.index), on)
			now := e.shard
			e.sidecar.Post(func() { now.drain(elementName(e.index), on) })
		}
	}
	set(true)
	d.later(time.Second, e, func() { set(false) })
}

// restart stops a sidecar as SIGTERM does, and starts another one when it is empty; where other things go wrong it is not waited for longer than
// a second.
func (d *drains) restart(e *element) {
	shard := e.shard
	if shard == nil || d.stopped[shard] > 0 {
		d.out[e.index]--
		return
	}
	d.m.tracef("%s is being stopped", elementName(e.index))
	e.sidecar.Post(func() {
		shard.leave()
		shard.StopAccepting()
		d.look(e, shard)
	})
}

// drainTurn is how often it is looked whether a sidecar is empty, as in Proxy.Stop.
const drainTurn = 20 * time.Millisecond

// look runs on the sidecar's host.
func (d *drains) look(e *element, shard *Shard) {
	if d.stopped[shard]++; e.shard != shard { // it was killed meanwhile
		d.out[e.index]--
		return
	}
	if shard.Busy() && (d.alone || time.Duration(d.stopped[shard])*drainTurn < time.Second) {
		d.m.world.After(drainTurn, func() { e.sidecar.Post(func() { d.look(e, shard) }) })
		return
	}
	d.m.tracef("%s has stopped, with sessions: %t", elementName(e.index), shard.Busy())
	shard.Close()
	e.shard, e.was = nil, nil
	e.died = d.m.world.Now()
	d.later(500*time.Millisecond, e, func() {
		if e.shard == nil {
			d.m.start(e)
		}
	})
}

// checkDrained: where nothing but drains has gone on no client has noticed, and everything happened once.
func (m *simulation) checkDrained() {
	if m.drains.alone && m.upgrades.users+m.upgrades.sides == 0 {
		m.checkUnnoticed("elements were only drained")
	}
}

// checkUnnoticed: no client has noticed what went on, and everything happened once.
func (m *simulation) checkUnnoticed(what string) {
	for _, c := range m.clients {
		if c.outcome == "left" {
			continue
		}
		if n := c.reader.replies(); n != c.dueOf(len(c.requests)) {
			m.violated("client %d has got %d of %d replies, though %s: %s", c.index, n, c.dueOf(len(c.requests)), what, c.outcome)
		}
		for _, r := range c.requests {
			if s, ok := m.dialect.(*streams); ok && s.mute() {
				break
			}
			if r.executed < 1 || r.executed > 1 && r.kind != 'L' && r.kind != 'T' { // a state is set again at the next server
				m.violated("request %d (%c) of client %d was executed %d times, though %s", r.number, r.kind, c.index, r.executed, what)
			}
		}
	}
}

// The schedules do have sessions that leave, also where nothing else goes wrong.
func TestSimulationDrains(t *testing.T) {
	left := map[bool]int{}
	for seed := range uint64(150) {
		m := newSimulation(draw(seed), nil)
		if err := m.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, r := range m.userShard.records {
			if r.Detector == "drain" && r.Kind == session.KindMoved {
				left[m.drains.alone]++
			}
		}
	}
	if left[true] == 0 || left[false] == 0 {
		t.Errorf("sessions that have left: %v", left)
	}
	t.Logf("sessions that have left, by whether nothing else went wrong: %v", left)
}

package proxy

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
)

// upgrades are a fault of their own, in half of the schedules: the pool user's sidecar and those of the elements are replaced by other processes,
// which take over their sessions, or give up, and then the old ones go on. In a quarter of those nothing else goes wrong: then no client may
// notice, and every request is carried out once. They have chance of their own, so that the other half is what it would be without.
type upgrades struct {
	m     *simulation
	rand  *rand.Rand
	alone bool // nothing else goes wrong
	users int  // how often that of the pool user was replaced
	sides int  // the same of elements'
}

func (m *simulation) planUpgrades() {
	u := &upgrades{m: m, rand: rand.New(rand.NewPCG(m.seed, 0x0b9d))}
	m.upgrades = u
	if u.rand.IntN(2) == 0 {
		return
	}
	if u.alone = u.rand.IntN(4) == 0; u.alone {
		m.faults, m.fails = 0, false
	}
	for range 1 + u.rand.IntN(12) {
		do := u.user
		if e := u.rand.IntN(2 * len(m.elements)); e < len(m.elements) {
			do = func() { u.element(m.elements[e]) }
		}
		at := time.Duration(u.rand.Int64N(int64(faultTime)))
		if m.class == pathOnly {
			at = max(at, m.calm())
		}
		m.world.After(at, do)
	}
}

// inTurn has do run at the end of a turn of the host, as the sidecars do it: what was posted before has run.
func inTurn(h *looptest.Host, do func()) { h.Post(func() { h.Later(do) }) }

// gives up: now and then the new process does, and the old one goes on.
func (u *upgrades) givesUp() bool { return u.rand.IntN(4) == 0 }

// user replaces the pool user's sidecar.
func (u *upgrades) user() {
	m := u.m
	old := m.userShard
	m.user.Post(func() { old.undisturb("", "an upgrade") })
	inTurn(m.user, func() {
		if m.userShard != old {
			return
		}
		pieces := u.freeze(old)
		if u.givesUp() || m.err != nil {
			m.tracef("an upgrade of the pool user's sidecar comes to nothing")
			return
		}
		m.tracef("the pool user's sidecar is upgraded, with %d sessions", old.users[0].rules.Count())
		known := old.layout.handles["pool"].Freeze(nil, m.user.Now())
		m.user.Exec()
		m.startUser()
		m.userShard.records = old.records
		m.userShard.common.number.Store(old.common.number.Load())
		if err := m.userShard.layout.handles["pool"].Thaw(known, m.user.Now()); err != nil {
			m.violated("%v", err)
		}
		u.take(m.userShard, pieces)
		for _, e := range m.elements {
			if m.mapping == mapping.None {
				e.shard = nil
			}
		}
		u.users++
		if m.source != nil {
			m.source.tell()
		}
	})
}

// element replaces a pool element's sidecar. One that shares its host with its server has no process of its own here.
func (u *upgrades) element(e *element) {
	m := u.m
	old := e.shard
	if old == nil || e.sidecar == m.user || e.sidecar == e.server {
		return
	}
	e.sidecar.Post(func() { old.undisturb("", "an upgrade") })
	inTurn(e.sidecar, func() {
		if e.shard != old || m.drains.stopped[old] > 0 {
			return
		}
		pieces := u.freeze(old)
		if u.givesUp() || m.err != nil {
			m.tracef("an upgrade of %s comes to nothing", elementName(e.index))
			return
		}
		m.tracef("%s is upgraded", elementName(e.index))
		e.sidecar.Exec()
		m.startSidecar(e)
		e.was = append(e.was, old)
		u.take(e.shard, pieces)
		u.sides++
	})
}

// handedOver is a piece, and its descriptor.
type handedOver struct {
	piece []byte
	fd    int
}

func (u *upgrades) freeze(s *Shard) (pieces []handedOver) {
	s.undisturb("", "an upgrade") // if it has just begun: a Proxy takes no disturbance while it is handed over
	if err := s.freeze(&Frozen{}, func(piece []byte, fd int) error {
		pieces = append(pieces, handedOver{append([]byte{}, piece...), fd})
		return nil
	}); err != nil {
		u.m.violated("%v", err)
	}
	return pieces
}

func (u *upgrades) take(s *Shard, pieces []handedOver) {
	for _, p := range pieces {
		var c carried
		err := c.parse(p.piece)
		if err == nil {
			err = s.take(&c, p.fd)
		}
		if err != nil {
			u.m.violated("an upgrade: %v", err)
			return
		}
	}
	s.resume()
}

// is reports whether the element's sidecar is this one, or one that has taken its place in upgrades since.
func (e *element) is(shard *Shard) bool {
	if e.shard == shard {
		return true
	}
	for _, old := range e.was {
		if old == shard {
			return e.shard != nil
		}
	}
	return false
}

// checkUpgraded: where nothing but upgrades has gone on no client has noticed, and everything happened once.
func (m *simulation) checkUpgraded() {
	patient := m.failover.Resume >= time.Second && m.hold >= time.Second && (m.failover.Fence == 0 || m.failover.Fence >= time.Second)
	if m.upgrades.alone && (m.drains.alone || !m.drains.any) && patient { // else two upgrades in a row may be too much
		m.checkUnnoticed("sidecars were only upgraded")
	}
}

// The schedules do have upgrades of both sides, also where nothing else goes wrong.
func TestSimulationUpgrades(t *testing.T) {
	users, sides := map[bool]int{}, map[bool]int{}
	for seed := range uint64(150) {
		m := newSimulation(draw(seed), nil)
		if err := m.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		users[m.upgrades.alone] += m.upgrades.users
		sides[m.upgrades.alone] += m.upgrades.sides
	}
	for _, alone := range []bool{true, false} {
		if users[alone] == 0 || sides[alone] == 0 {
			t.Errorf("nothing else goes wrong: %t; pool users upgraded: %d, elements: %d", alone, users[alone], sides[alone])
		}
	}
	t.Logf("upgrades of pool users, and of elements, by whether nothing else went wrong: %v, %v", users, sides)
}

package proxy

import (
	"errors"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/loop/looptest"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// fault is one thing that goes wrong with an element; it sees to its own healing.
type fault func(m *simulation, e *element)

// faultsOf are the faults that a class of schedules may meet.
func (m *simulation) faultsOf() []fault {
	path := []fault{(*simulation).cutPath, (*simulation).cutPath, (*simulation).stallPath, (*simulation).slowPath}
	if m.near() && m.mapping == mapping.None {
		path = nil
	}
	deaths := []fault{(*simulation).killServer, (*simulation).killServer, (*simulation).killServer}
	if m.mapping == mapping.TCP {
		deaths = append(deaths, (*simulation).killSidecar, (*simulation).killSidecar, (*simulation).vanish)
	}
	if m.mapping == mapping.TCP {
		deaths = append(deaths, (*simulation).sicken)
	}
	wild := []fault{(*simulation).freezeServer, (*simulation).freezeServer, (*simulation).freezeUser, (*simulation).closeConn, (*simulation).resetConn}
	if m.mapping == mapping.TCP {
		wild = append(wild, (*simulation).freezeSidecar, (*simulation).freezeSidecar)
	}
	if m.mapping == mapping.TCP && !m.shared && !m.near() {
		wild = append(wild, (*simulation).cutServer, (*simulation).stallServer)
	}
	switch {
	case m.class == pathOnly:
		return path
	case m.class == partitions:
		return append(append(append(path, path...), deaths...), append(wild, (*simulation).stallPath, (*simulation).stallPath, (*simulation).stallPath)...)
	case m.class == anything:
		return append(append(path, deaths...), wild...)
	case m.mapping == mapping.None && m.near():
		return deaths
	case m.mapping == mapping.None: // a server that lives and resets means it
		return append(deaths, (*simulation).slowPath)
	}
	return append(path, deaths...)
}

// near: what servers have read is known, so they are where their sidecars are, and nothing is between the two.
func (m *simulation) near() bool { return m.failover.Ack == session.AckRead }

// planFaults draws the faults of the schedule.
func (m *simulation) planFaults() {
	all := m.faultsOf()
	for range m.faults {
		f, e := all[m.rand.IntN(len(all))], m.elements[m.rand.IntN(len(m.elements))]
		m.world.After(m.between(m.calm(), faultTime*3/4), func() { f(m, e) })
	}
}

// cutPath breaks all associations, or one of several.
func (m *simulation) cutPath(e *element) {
	if m.spread > 1 && m.mapping == mapping.TCP && m.rand.IntN(2) == 0 {
		m.world.CutOne(m.user, m.path(e), m.rand.IntN(m.spread))
		return
	}
	m.world.Cut(m.user, m.path(e))
}

// path is the host at the far end of what the pool user talks to.
func (m *simulation) path(e *element) *looptest.Host {
	if m.mapping == mapping.None {
		return e.server
	}
	return e.sidecar
}

func (m *simulation) stallPath(e *element) {
	far := m.path(e)
	if far == e.server && m.mapping == mapping.None {
		e.stalled = true
	}
	m.stall(m.user, far)
	d := m.between(time.Millisecond, m.longest)
	if m.class == partitions && m.rand.IntN(2) == 0 { // often the user has noticed then, and the element not yet
		d = m.between(silenceOf(m.heartbeat), silenceOf(m.beats)+200*time.Millisecond)
	}
	m.world.After(d, func() { m.heal(e) })
}

// silenceOf is how long a silent peer is waited for.
func silenceOf(h mapping.Heartbeat) time.Duration { return h.Interval * time.Duration(h.Misses+1) }

func (m *simulation) stall(a, b *looptest.Host) {
	switch m.rand.IntN(3) {
	case 0:
		m.world.Stall(a, b)
	case 1:
		m.world.StallOneWay(a, b)
	case 2:
		m.world.StallOneWay(b, a)
	}
}

// heal heals all paths of an element.
func (m *simulation) heal(e *element) {
	if e.stalled {
		e.trouble = m.world.Now()
	}
	e.stalled = false
	m.world.Heal(m.user, m.path(e))
	if e.sidecar != e.server && e.sidecar != m.user {
		m.world.Heal(e.sidecar, e.server)
	}
}

func (m *simulation) slowPath(e *element) {
	slow := m.between(0, 50*time.Millisecond)
	m.world.Delay(m.user, m.path(e), slow/2, slow)
}

func (m *simulation) cutServer(e *element) { m.world.Cut(e.sidecar, e.server) }

// stallServer stalls the path before the server. The kernel of a server that dies meanwhile would send its reset in vain, and
// nothing but a limit to waiting for replies would help; so what the server does is done after healing.
func (m *simulation) stallServer(e *element) {
	if e.process == nil {
		return
	}
	e.stalled = true
	m.stall(e.sidecar, e.server)
	m.world.After(m.between(time.Millisecond, time.Second), func() { m.heal(e) })
}

func (m *simulation) killServer(e *element) {
	if e.process == nil {
		return
	}
	m.healServer(e)
	e.noteRead()
	e.process = nil
	if e.sidecar == e.server {
		e.shard = nil
	}
	e.server.Kill()
	m.revive(e)
}

func (e *element) noteRead() {
	if e.process != nil {
		for _, c := range e.process.conns {
			if !c.over {
				c.noteRead()
			}
		}
	}
}

var errSick = errors.New("the health check has failed")

// sicken has the health check find the server ill for a while.
func (m *simulation) sicken(e *element) {
	shard := e.shard
	if shard == nil {
		return
	}
	set := func(err error) {
		e.sidecar.Post(func() {
			if e.is(shard) {
				e.shard.elements[0].rules.SetHealth(err)
			}
		})
	}
	m.tracef("server%d is found ill", e.index)
	set(errSick)
	m.world.After(m.between(0, 1500*time.Millisecond), func() { set(nil) })
}

func (m *simulation) healServer(e *element) {
	if e.stalled {
		m.heal(e)
	}
}

func (m *simulation) killSidecar(e *element) { m.stopSidecar(e, (*looptest.Host).Kill) }
func (m *simulation) vanish(e *element)      { m.stopSidecar(e, (*looptest.Host).Vanish) }

func (m *simulation) stopSidecar(e *element, how func(*looptest.Host)) {
	if e.shard == nil {
		return
	}
	e.shard, e.was = nil, nil
	if e.sidecar == e.server {
		e.noteRead()
		e.process = nil
	}
	how(e.sidecar)
	m.revive(e)
}

// down is how long what died stays dead at the least: a server that is back before anybody has looked seems never to have died
// (docs/failover.md).
const down = 200 * time.Millisecond

// revive starts again what died, after a while in which its sidecar could look at it.
func (m *simulation) revive(e *element) {
	e.died = m.world.Now()
	m.reviveLater(e)
}

func (m *simulation) reviveLater(e *element) {
	m.world.After(m.between(down, faultTime), func() {
		if now := m.world.Now(); now.Sub(m.thawed[e.sidecar]) < down || now.Sub(e.died) < down {
			m.reviveLater(e)
			return
		}
		m.start(e)
	})
}

func (m *simulation) start(e *element) {
	if e.process == nil {
		m.healServer(e)
		e.server.Restart()
		m.startServer(e)
	}
	if e.shard == nil && m.mapping == mapping.TCP {
		if e.sidecar != e.server {
			e.sidecar.Restart()
		}
		m.startSidecar(e)
	}
}

func (m *simulation) freezeServer(e *element)  { m.freeze(e.server) }
func (m *simulation) freezeSidecar(e *element) { m.freeze(e.sidecar) }
func (m *simulation) freezeUser(*element)      { m.freeze(m.user) }

func (m *simulation) freeze(h *looptest.Host) {
	h.Freeze()
	d := m.between(time.Millisecond, m.longest+m.longest/3)
	if m.thawed == nil {
		m.thawed = make(map[*looptest.Host]time.Time)
	}
	if t := m.world.Now().Add(d); t.After(m.thawed[h]) {
		m.thawed[h] = t
	}
	m.world.After(d, func() { m.thaw(h) })
}

func (m *simulation) thaw(h *looptest.Host) {
	m.woke[h] = m.world.Now()
	h.Thaw()
}

func (m *simulation) closeConn(e *element) { m.endConn(e, (loop.Conn).Close) }
func (m *simulation) resetConn(e *element) { m.endConn(e, (loop.Conn).Reset) }

// endConn has the server end one of its connections of its own will.
func (m *simulation) endConn(e *element, how func(loop.Conn)) {
	if e.process == nil {
		return
	}
	var open []*serverConn
	for _, c := range e.process.conns {
		if !c.over {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return
	}
	m.healServer(e)
	c := open[m.rand.IntN(len(open))]
	m.tracef("server%d ends a connection of client %d", e.index, c.client)
	m.closed[c.client] = true
	c.end(how)
}

func (m *simulation) healAll() {
	m.tracef("all is well from now on")
	for _, e := range m.elements {
		m.thaw(e.server)
		m.thaw(e.sidecar)
		m.heal(e)
		m.world.Delay(m.user, m.path(e), 0, time.Millisecond)
		m.start(e)
	}
	m.thaw(m.user)
}

// calm is how long nothing goes wrong. An OPEN that is lost with its association cannot be told from one that was carried out, so
// where every leg has to go on all of them are open before faults begin.
func (m *simulation) calm() time.Duration {
	if m.class == pathOnly {
		return faultTime / 3
	}
	return 0
}

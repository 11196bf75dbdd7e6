package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// elementSide is one pool_element: a listener for the associations of pool users, and the rules of the legs at one server.
type elementSide struct {
	shard    *Shard
	name     string
	server   netip.AddrPort
	rules    *session.Element
	listener loop.Listener
	probe    *probe
	health   *health // nil: it is not checked
	fence    *fence  // nil: there is no program for it
}

// serverTimeout bounds a connect to the server.
const serverTimeout = 3 * time.Second

var errServerTimeout = errors.New("the server did not answer within 3s")

func newElementSide(s *Shard, c Element) (*elementSide, error) {
	e := &elementSide{shard: s, name: c.Name, server: c.Server}
	if len(c.FenceExec) > 0 {
		e.fence = newFence(s, c)
	}
	e.makeRules(c)
	var err error
	e.listener, err = mapping.TCPMapping{}.Listen(s.loop, c.Listen, associationConfig(c.Heartbeat), e.accept)
	if err != nil {
		return nil, err
	}
	if c.Health != nil {
		e.health = newHealth(s, c.Name, *c.Health, e.rules.SetHealth)
	}
	s.log.Info("listening for pool users", "pool_element", c.Name, "address", e.listener.Addr(), "server", c.Server)
	return e, nil
}

// newDirectSide is the element side of mapping none: it runs beside the pool user and connects to the pool element itself.
func newDirectSide(s *Shard, direct *mapping.Direct, to pool.Element, c User) (*elementSide, error) {
	e := &elementSide{shard: s, name: to.Name, server: to.Address}
	e.makeRules(Element{Memory: c.Memory})
	var err error
	e.listener, err = direct.Listen(s.loop, to.Address, mapping.Config{}, e.accept)
	return e, err
}

func (e *elementSide) makeRules(c Element) {
	e.probe = newProbe(e.shard.loop, e.server, e.shard.kernel)
	config := session.ElementConfig{Loop: e.shard.loop, Name: e.name, Instance: e.shard.token(), Memory: c.Memory,
		Hold: c.Hold, MaxLegs: e.shard.maxLegs(), Connect: e.connect, Listening: e.listening, Unread: e.unread,
		Silence: c.Heartbeat.Interval * time.Duration(c.Heartbeat.Misses+1), Trace: e.shard.trace(e.name)}
	if e.fence != nil {
		config.Fence = e.fence.ask
	}
	e.rules = session.NewElement(config)
}

// accept takes the association of a pool user.
func (e *elementSide) accept(a mapping.Association) mapping.Handler {
	h := e.rules.Accept(a)
	if h != nil && a.Remote().IsValid() {
		e.shard.log.Debug("association begun", "pool_element", e.name, "pool_user", a.Remote())
	}
	return h
}

// connect begins to connect a leg to the server.
func (e *elementSide) connect(leg *session.Leg) session.Socket {
	c := &local{shard: e.shard, rules: leg}
	c.again.Func = c.read
	limit := &loop.Timer{}
	s := &serverSocket{local: c, limit: limit, fence: e.fence, leg: leg}
	c.connected = func(err error) {
		e.shard.loop.Cancel(limit)
		if err != nil {
			leg.ConnectFailed(err)
			return
		}
		s.listener = e.probe.connected(c.Local().Addr())
		e.fence.connected(leg)
		leg.Connected()
	}
	limit.Func = func() {
		c.connected = nil
		leg.ConnectFailed(errServerTimeout)
	}
	e.shard.loop.Schedule(limit, e.shard.loop.Now().Add(serverTimeout))
	c.Conn = e.shard.loop.Dial(e.server, c)
	return s
}

// listening asks whether the server of a socket that has ended still listens (session.ElementConfig.Listening).
func (e *elementSide) listening(s session.Socket, answer func(bool)) {
	listener := listenerID(0)
	if c, ours := s.(*serverSocket); ours {
		listener = c.listener
	}
	e.probe.listening(listener, answer)
}

// serverSocket is the socket of a leg's server: with it goes the timer of its connecting.
type serverSocket struct {
	*local
	limit    *loop.Timer
	fence    *fence
	leg      *session.Leg
	listener listenerID
	finished bool // our end has been sent
}

// Close ends the connection in order (session.Socket).
func (c *serverSocket) Close() {
	c.shard.loop.Cancel(c.limit)
	c.fence.closed(c.leg)
	c.local.Close()
}

// Reset ends the connection abortively (session.Socket).
func (c *serverSocket) Reset() {
	c.shard.loop.Cancel(c.limit)
	c.fence.closed(c.leg)
	c.local.Reset()
}

func (e *elementSide) close() {
	e.listener.Close()
	e.health.close()
	e.rules.Close()
	e.fence.close()
	e.probe.close()
}

func (s *Shard) maxLegs() int {
	if s.config.Limits.Sessions > 0 {
		return s.config.Limits.Sessions
	}
	return 1 << 20
}

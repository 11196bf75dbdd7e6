package proxy

import (
	"errors"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// elementSide is one pool_element: a listener for the associations of pool users, and the rules of the legs at one server.
type elementSide struct {
	shard       *Shard
	index       int // in Shard.elements
	name        string
	mapping     mapping.ID
	server      netip.AddrPort
	sendProxy   whence.Version // of the header before all else that the server is told; None: it is told none
	unnamed     time.Time      // when it was last said that a client's address is not known
	association mapping.Config
	rules       elementRules
	listener    loop.Listener // nil: the first shard's hands associations over
	sctp        mapping.SCTPMapping
	newcomers   map[stranger]bool // of which it is not known yet which shard is to have them
	probe       *probe
	health      *health        // nil: it is not checked, or by the first shard
	fence       *fence         // nil: there is no program for it
	counts      *elementCounts // of all shards; nil: a direct side
	native      *native        // nil: the server speaks TCP
	origin      *secure.Origin // nil: the server is spoken to without TLS
	drained     bool           // an operator has drained it

	registrations []*registration // of the first shard
	watch         *health         // whether somebody listens, for the registrations; nil: there are none, or a health check tells
}

// elementRules are what an elementSide goes by: a session.Element where pool users are sidecars, else a nativeElement.
type elementRules interface {
	Accept(a mapping.Association) mapping.Handler
	Refuse()
	Drain(reason string)
	Undrain()
	SetHealth(err error)
	Legs() (live, held int)
	Links(f func(a mapping.Association, up bool, legs int))
	Close()
}

// serverTimeout bounds a connect to the server.
const serverTimeout = 3 * time.Second

var errServerTimeout = errors.New("the server did not answer within 3s")

func newElementSide(s *Shard, c Element) (*elementSide, error) {
	e := &elementSide{shard: s, index: len(s.elements), name: c.Name, mapping: c.Mapping, server: c.Server, sendProxy: c.SendProxy, association: associationConfig(c.Heartbeat),
		newcomers: make(map[stranger]bool), sctp: s.watched(c.sctp(), "pool_element", c.Name), counts: s.common.counts[c.Name]}
	e.origin = s.origin(c.ServerTLS, "pool_element", c.Name)
	if len(c.FenceExec) > 0 {
		e.fence = newFence(s, c, &e.counts.made)
	}
	e.makeRules(c, session.CookieRule{Key: c.CookieKey})
	e.probe.prepare()
	if s.index > 0 {
		return e, nil
	}
	if err := e.listen(c); err != nil {
		return nil, err
	}
	if c.Health != nil {
		e.health = newHealth(s, c.Name, c.introduced(), e.setHealth)
		if c.Health.Address == c.Server {
			e.health.origin = e.origin
		}
	}
	e.register(c)
	s.log.Info("listening for pool users", "pool_element", c.Name, "address", e.listener.Addr(), "mapping", c.Mapping, "server", c.Server)
	return e, nil
}

func (e *elementSide) listen(c Element) (err error) {
	switch {
	case c.Mapping == mapping.SCTP && e.shard.spreads() && !c.Native: // native pool users never say whose legs they want
		e.listener, err = e.sctp.Listen(e.shard.loop, c.Listen, e.association, e.meetSCTP)
	case c.Mapping == mapping.SCTP:
		e.listener, err = e.sctp.Listen(e.shard.loop, c.Listen, e.association, e.accept)
	case c.TLS != nil && e.shard.spreads():
		e.listener, err = secure.Listen(e.shard.loop, c.Listen, e.shard.tls(c.TLS, "pool_element", c.Name), e.association.DialTimeout, e.meetTLS)
	case c.TLS != nil:
		e.listener, err = secure.Mapping{Rules: e.shard.tls(c.TLS, "pool_element", c.Name)}.Listen(e.shard.loop, c.Listen, e.association, e.accept)
	case e.shard.spreads():
		e.listener, err = e.shard.loop.Listen(c.Listen, e.meet)
	default:
		e.listener, err = mapping.TCPMapping{}.Listen(e.shard.loop, c.Listen, e.association, e.accept)
	}
	return err
}

// setHealth tells the legs of all shards what the health check has found.
func (e *elementSide) setHealth(err error) {
	e.rules.SetHealth(err)
	e.shard.onOthers(func(s *Shard) { s.elements[e.index].rules.SetHealth(err) })
}

// directComeback is how long a leg of a direct side waits behind an upgrade until its pool user, which is this process, too, has found it
// again. It never waits else.
const directComeback = 5 * time.Second

// newDirectSide is the element side of mapping none, or of a native element: it runs beside the pool user and connects to the pool
// element itself. n is nil with mapping none.
func newDirectSide(s *Shard, direct *mapping.Direct, to pool.Element, c User, n *native) (*elementSide, error) {
	e := &elementSide{shard: s, name: to.Name, server: to.Address, sendProxy: s.poolConfig(c.Pool).SendProxy, native: n}
	if e.origin = s.origin(s.poolConfig(c.Pool).ServerTLS, "pool_user", c.Name); e.origin != nil && e.origin.Protocols == nil {
		e.origin.Protocols = alpn(c)
	}
	e.makeRules(Element{Memory: c.Memory}, session.CookieRule{Raw: true}) // pool user and element are this process
	var err error
	e.listener, err = direct.Listen(s.loop, to.Address, mapping.Config{}, e.accept)
	return e, err
}

func (e *elementSide) makeRules(c Element, cookies session.CookieRule) {
	e.probe = newProbe(e.shard.loop, e.server, e.shard.kernel)
	if c.Native {
		e.rules = newNativeElement(e, c)
		return
	}
	if e.native != nil {
		e.probe = newProbe(e.shard.loop, e.server, nil) // what listens at that port of TCP is somebody else
		e.probe.dial = e.lookAtNative
	}
	instance, ok := e.shard.common.tokens["pool_element "+c.Name]
	if !ok { // of a direct side: nobody else has it
		instance = e.shard.token()
	}
	config := session.ElementConfig{Loop: e.shard.loop, Name: e.name, Instance: instance, Memory: c.Memory,
		Hold: c.Hold, MaxLegs: e.shard.maxLegs(), Connect: e.connect, Listening: e.listening, Unread: e.unread,
		Cookies: cookies, Card: c.Card.message(c.Mapping), Silence: c.Heartbeat.Interval * time.Duration(c.Heartbeat.Misses+1), Trace: e.shard.trace(e.name)}
	if e.counts == nil {
		config.Comeback = directComeback
	}
	if e.counts != nil && e.shard.spreads() {
		config.Ours = e.shard.ours
		config.Full = func() bool { return e.counts.legs.Load() >= int64(e.shard.maxLegs()) }
	}
	if e.fence != nil {
		config.Fence = e.fence.ask
	}
	if e.native != nil {
		config.Cookies.Raw, config.Undelivered = true, e.undelivered // the cookies are the servers' own
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
	if e.native != nil {
		return e.connectNative(leg)
	}
	return e.dial(leg, leg, leg.Ends)
}

// connecting are rules that hear how a connect has ended, and whose server may have a cookie: a session.Leg or a nativeSession.
type connecting interface {
	rules
	Connected()
	ConnectFailed(err error)
	cookieHolder
}

// dial begins to connect to the server for a leg, or for rules that have none (nil). ends are those of the client's connection.
func (e *elementSide) dial(r connecting, leg *session.Leg, ends whence.Ends) *serverSocket {
	header := e.header(ends)
	s := e.newSocket(r, leg)
	if e.counts != nil {
		e.counts.begun.Add(1)
	}
	s.connect(r, header)
	s.Conn = e.shard.dial(e.origin, e.server, header, s.local)
	s.named() // before the server can ask, where the loop knows it so early
	return s
}

// newSocket makes the socket of a leg's server, or of rules that have no leg (nil), without a connection.
func (e *elementSide) newSocket(r connecting, leg *session.Leg) *serverSocket {
	c := &local{shard: e.shard, rules: r}
	c.again.Func = c.read
	if e.counts != nil {
		e.counts.legs.Add(1)
	}
	return &serverSocket{local: c, limit: &loop.Timer{}, side: e, leg: leg, cookie: cookiePlace{shard: e.shard.index, holder: r}}
}

// connect has the rules hear how connecting ends. The header is what the server is told first (introduce).
func (c *serverSocket) connect(r connecting, header []byte) {
	l := c.shard.loop
	c.connected = func(err error) {
		l.Cancel(c.limit)
		if err == nil && c.side.origin == nil {
			err = introduce(c.local, header)
		}
		if err != nil {
			r.ConnectFailed(err)
			return
		}
		c.named()
		c.listener = c.side.probe.connected(c.Local().Addr())
		c.side.fence.connected(c.leg)
		r.Connected()
	}
	c.limit.Func = func() {
		c.connected = nil
		r.ConnectFailed(errServerTimeout)
	}
	l.Schedule(c.limit, l.Now().Add(serverTimeout))
}

// listening asks whether the server of a socket that has ended still listens (session.ElementConfig.Listening).
func (e *elementSide) listening(s session.Socket, answer func(bool)) {
	if n, is := s.(*nativeSocket); is {
		e.listeningNative(n, answer)
		return
	}
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
	side     *elementSide
	leg      *session.Leg
	listener listenerID
	finished bool // our end has been sent
	gone     bool // it does not count among the legs any more
	cookie   cookiePlace
}

// named makes the session's cookie to be had by the address of our end, once that is known.
func (c *serverSocket) named() {
	c.shard.common.cookies.add(&c.cookie, c.Local(), c.side.server)
}

// Close ends the connection in order (session.Socket).
func (c *serverSocket) Close() {
	c.leave()
	c.local.Close()
}

// Reset ends the connection abortively (session.Socket).
func (c *serverSocket) Reset() {
	c.leave()
	c.local.Reset()
}

func (c *serverSocket) leave() {
	c.shard.loop.Cancel(c.limit)
	c.side.fence.closed(c.leg)
	c.shard.common.cookies.remove(&c.cookie)
	if !c.gone && c.side.counts != nil {
		c.side.counts.legs.Add(-1)
	}
	c.gone = true
}

// stopAccepting closes the listener, and has new legs refused.
func (e *elementSide) stopAccepting() {
	if e.listener != nil {
		e.listener.Close()
	}
	e.rules.Refuse()
}

func (e *elementSide) close() {
	if e.listener != nil {
		e.listener.Close()
	}
	for n := range e.newcomers {
		n.close()
	}
	e.health.close()
	e.watch.close()
	e.rules.Close()
	e.fence.close()
	e.probe.close()
}

// ours reports whether the legs of a pool user are this shard's.
func (s *Shard) ours(instance session.Token) bool {
	return instance.Spread(len(s.common.loops)) == s.index
}

func (s *Shard) maxLegs() int {
	if s.config.Limits.Sessions > 0 {
		return s.config.Limits.Sessions
	}
	return 1 << 20
}

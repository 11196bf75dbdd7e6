package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// elementSide is one pool_element: an entrance for the associations of pool users, and the rules of the legs at one server. Where it is configured
// anew it has a successor, which takes over the rules with all legs and associations; legs that began before keep their connections by it.
type elementSide struct {
	shard       *Shard
	block       *elementBlock // nil: a direct side
	before      *elementSide  // that it is about to take over from; nil: from nobody, or that is done
	after       *elementSide  // that has taken over from it
	name        string
	mapping     mapping.ID
	server      netip.AddrPort
	sendProxy   whence.Version // of the header before all else that the server is told; None: it is told none
	unnamed     time.Time      // when it was last said that a client's address is not known
	association mapping.Config
	rules       elementRules
	config      session.ElementConfig // of the rules; not with native pool users
	entrance    *entrance             // of the first shard, which hands associations over
	listener    loop.Listener         // of a direct side
	gate        *secure.Gate          // of the first shard; nil: without TLS
	sctp        mapping.SCTPMapping
	arrivals    []stranger        // in the order in which they came; some are no newcomers any more
	newcomers   map[stranger]bool // of which it is not known yet which shard is to have them
	probe       *probe
	pace        *pace
	user        *userSide      // of a direct side: whose it is
	health      *health        // nil: it is not checked, or by the first shard
	fence       *fence         // nil: there is no program for it
	counts      *elementCounts // of all shards; nil: a direct side
	native      *native        // nil: the server speaks TCP
	origin      *secure.Origin // nil: the server is spoken to without TLS
	drained     bool           // an operator has drained it
	leaving     bool           // it is not configured any more
	frost       *frost         // it is frozen on purpose; else nil

	registrations []*registration // of the first shard
	goodbyes      []*registration // those that are not to be any more, until they have gone
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

// newElementSide makes the side of a pool_element; nobody has it take up anything yet.
func newElementSide(s *Shard, b *elementBlock) *elementSide {
	c := b.config
	e := &elementSide{shard: s, block: b, name: c.Name, mapping: c.Mapping, server: c.Server, sendProxy: c.SendProxy, association: associationConfig(c.Heartbeat),
		newcomers: make(map[stranger]bool), sctp: s.watched(c.sctp(), "pool_element", c.Name), counts: b.counts}
	e.origin = s.origin(b.servers, c.ServerTLS, "pool_element", c.Name)
	if b.before != nil {
		e.before = s.element(b.before.serial)
	}
	if was := e.before; was != nil && was.server == c.Server {
		e.probe, e.pace = was.probe, was.pace
		if was.fence.as(c) {
			e.fence = was.fence
		}
	}
	if e.fence == nil && len(c.FenceExec) > 0 {
		e.fence = newFence(s, c, &b.counts.made)
		e.fence.serial = b.serial
	}
	e.makeRules(c, session.CookieRule{Key: c.CookieKey})
	e.probe.prepareAgain()
	if c.TLS != nil && s.index == 0 {
		e.gate = secure.NewGate(s.loop, s.tls(b.credentials, c.TLS, "pool_element", c.Name), e.association.DialTimeout, e.shaken)
	}
	return e
}

// number is the serial number of its block.
func (e *elementSide) number() uint64 { return e.block.serial }

// called takes up a connection of a pool user (visited).
func (e *elementSide) called(conn loop.Conn) loop.Handler {
	switch {
	case e.frost != nil:
		return e.frost.called(conn)
	case e.gate != nil:
		return e.gate.Take(conn)
	case e.shard.spreads():
		return e.meet(conn)
	}
	return mapping.TCPMapping{}.Accepted(e.shard.loop, conn, e.association, e.accept)
}

// calledBy takes up a connection that could go to any shard (visited).
func (e *elementSide) calledBy(a loop.Accepted) {
	if e.frost != nil {
		e.frost.calledBy(a)
		return
	}
	e.shard.loop.(loop.Adopter).Adopt(a, e.called)
}

// begun takes up an association of mapping SCTP (visited). Native pool users never say whose legs they want.
func (e *elementSide) begun(a mapping.Association) mapping.Handler {
	if e.shard.spreads() && !e.block.config.Native {
		return e.meetSCTP(a)
	}
	return e.accept(a)
}

// shaken takes up a connection behind its handshake.
func (e *elementSide) shaken(conn *secure.Conn) loop.Handler {
	if e.shard.spreads() {
		return e.meetTLS(conn)
	}
	return mapping.TCPMapping{}.Accepted(e.shard.loop, conn, e.association, e.accept)
}

// address is where it listens; asked on the first shard.
func (e *elementSide) address() netip.AddrPort {
	if e.listener != nil {
		return e.listener.Addr()
	}
	return e.entrance.address()
}

// setHealth tells the legs of all shards what the health check has found.
func (e *elementSide) setHealth(err error) {
	e.rules.SetHealth(err)
	e.shard.onOthers(func(s *Shard) {
		if e := s.element(e.number()); e != nil {
			e.rules.SetHealth(err)
		}
	})
}

// directComeback is how long a leg of a direct side waits behind an upgrade until its pool user, which is this process, too, has found it
// again. It never waits else.
const directComeback = 5 * time.Second

// newDirectSide is the element side of mapping none, or of a native element: it runs beside the pool user and connects to the pool
// element itself. n is nil with mapping none.
func newDirectSide(u *userSide, direct *mapping.Direct, to pool.Element, n *native) (*elementSide, error) {
	s, c, in := u.shard, u.config, u.block.pool
	e := &elementSide{shard: s, user: u, name: to.Name, server: to.Address, sendProxy: in.config.SendProxy, native: n}
	if e.origin = s.origin(in.servers, in.config.ServerTLS, "pool_user", c.Name); e.origin != nil && e.origin.Protocols == nil {
		e.origin.Protocols = alpn(c)
	}
	e.makeRules(Element{Memory: c.Memory}, session.CookieRule{Raw: true}) // pool user and element are this process
	var err error
	e.listener, err = direct.Listen(s.loop, to.Address, mapping.Config{}, e.accept)
	return e, err
}

func (e *elementSide) makeRules(c Element, cookies session.CookieRule) {
	if e.probe == nil {
		e.probe = newProbe(e.shard.loop, e.server, e.shard.kernel)
		e.pace = newPace(e.shard.loop, e.probe.backlog, len(e.shard.common.loops))
	}
	if c.Native {
		e.rules = newNativeElement(e, c)
		return
	}
	if e.native != nil {
		e.probe = newProbe(e.shard.loop, e.server, nil) // what listens at that port of TCP is somebody else
		e.probe.dial = e.lookAtNative
	}
	e.config = session.ElementConfig{Loop: e.shard.loop, Name: e.name, Server: e.server, Memory: c.Memory,
		Hold: c.Hold, MaxLegs: e.most(), Connect: e.connect, Listening: e.listening, Unread: e.unread,
		Cookies: cookies, Card: c.Card.message(c.Mapping), Silence: c.Heartbeat.Interval * time.Duration(c.Heartbeat.Misses+1), Trace: e.shard.trace(e.name)}
	e.config.Short = func() bool { return e.shard.full(false) }
	if e.counts == nil {
		e.config.Comeback = directComeback // and what its clients send is bounded where they are read, in this process
	} else {
		e.config.First, e.config.Window = e.shard.first(), e.shard.widest
	}
	if e.block != nil {
		e.config.Instance = e.block.token
	} else { // of a direct side: nobody else has it
		e.config.Instance = e.shard.common.token()
	}
	if e.counts != nil && e.shard.spreads() {
		e.config.Ours = e.shard.ours
		e.config.Full = e.full
	} else if e.counts != nil {
		e.config.Full = e.shard.scarce
	}
	if e.fence != nil {
		e.config.Fence = e.fence.ask
	}
	if e.native != nil {
		e.config.Cookies.Raw, e.config.Undelivered = true, e.undelivered // the cookies are the servers' own
	}
	if e.before != nil {
		e.rules = e.before.rules
	} else {
		e.rules = session.NewElement(e.config)
	}
}

// accept takes the association of a pool user.
func (e *elementSide) accept(a mapping.Association) mapping.Handler {
	if e.frost != nil {
		e.frost.accept(a)
	}
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
	s := e.newSocket(r, leg)
	if e.counts != nil {
		e.counts.begun.Add(1)
	}
	s.pend(r, e.header(ends))
	e.pace.enter(&s.paced)
	return s
}

// newSocket makes the socket of a leg's server, or of rules that have no leg (nil), without a connection.
func (e *elementSide) newSocket(r connecting, leg *session.Leg) *serverSocket {
	c := &local{shard: e.shard, rules: r}
	c.again.Func = c.read
	if e.counts != nil {
		if e.shard.taken != e.counts {
			e.counts.legs.Add(1)
		}
		e.shard.common.legs.Add(1)
	}
	e.shard.taken = nil
	if e.block != nil {
		e.block.dialled.Add(1)
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
			c.side.pace.failed(&c.paced, err)
			r.ConnectFailed(err)
			return
		}
		c.side.pace.connected(&c.paced)
		c.named()
		c.listener = c.side.probe.connected(c.Local().Addr())
		c.side.fence.connected(c.leg)
		r.Connected()
	}
	c.limit.Func = func() {
		c.connected = nil
		c.side.pace.failed(&c.paced, errServerTimeout)
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

	paced
	waiter connecting // whose it is, until it begins to connect
	header []byte     // likewise
	holds  bool       // a descriptor that was claimed for its session
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
	c.side.pace.left(&c.paced)
	if c.holds {
		c.holds = false
		c.shard.claim(1)
	}
	c.side.fence.closed(c.leg)
	c.shard.common.cookies.remove(&c.cookie)
	if !c.gone && c.side.counts != nil {
		c.side.counts.legs.Add(-1)
		c.shard.common.legs.Add(-1)
	}
	if !c.gone && c.side.block != nil {
		c.side.block.dialled.Add(-1)
	}
	c.gone = true
}

// stopAccepting has new legs refused.
func (e *elementSide) stopAccepting() { e.rules.Refuse() }

func (e *elementSide) close() {
	if e.listener != nil {
		e.listener.Close()
	}
	e.health.close()
	e.watch.close()
	e.rules.Close()
	e.dismantle()
}

// dismantle ends what it has beside the rules, as far as nobody has taken that over.
func (e *elementSide) dismantle() {
	for n := range e.newcomers {
		n.close()
	}
	if e.gate != nil {
		e.gate.Close()
	}
	if e.fence != nil && !e.shared(func(x *elementSide) bool { return x.fence == e.fence }) {
		e.fence.close()
	}
	if !e.shared(func(x *elementSide) bool { return x.probe == e.probe }) {
		e.probe.close()
		e.pace.close()
	}
}

// shared reports whether another side has what this one has.
func (e *elementSide) shared(has func(*elementSide) bool) bool {
	other := func(x *elementSide) bool { return x != e && has(x) }
	return slices.ContainsFunc(e.shard.elements, other) || slices.ContainsFunc(e.shard.former, other)
}

// ours reports whether the legs of a pool user are this shard's.
func (s *Shard) ours(instance session.Token) bool {
	return instance.Spread(len(s.common.loops)) == s.index
}

// full takes a place for the leg that is connected next, unless all are taken: other shards take theirs at the same time.
func (e *elementSide) full() bool {
	if e.shard.scarce() {
		return true
	}
	if e.counts.legs.Add(1) > int64(e.most()) {
		e.counts.legs.Add(-1)
		return true
	}
	e.shard.taken = e.counts
	return false
}

// most is how many sessions the element takes.
func (e *elementSide) most() int {
	if e.block != nil && e.block.config.MaxSessions > 0 {
		return min(e.block.config.MaxSessions, e.shard.maxLegs())
	}
	return e.shard.maxLegs()
}

func (s *Shard) maxLegs() int {
	if s.config.Limits.Sessions > 0 {
		return s.config.Limits.Sessions
	}
	return 1 << 20
}

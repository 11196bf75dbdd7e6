package proxy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/secure"
	"github.com/poolproxy/poolproxy/session"
	"github.com/poolproxy/poolproxy/whence"
)

// userSide is one pool_user: an entrance for clients, and the rules of their sessions. Where it is configured anew it stays, without an entrance, with the
// sessions that it has, and another one has those that begin.
type userSide struct {
	shard    *Shard
	block    *userBlock
	config   User
	rules    *session.User
	entrance *entrance    // nil: the first shard's hands clients over, or nobody may come in any more
	door     *secure.Door // nil: clients come without TLS
	programs *runner      // of callbacks; nil: none is a program
	direct   *directSides // mapping none: the elements' rules, in this process; else nil
	asker    *asker       // protocol redis; else nil
	native   *native      // native elements; else nil
	sweep    loop.Timer   // runs while something leads to elements that are gone
	left     bool         // it is not configured any more, or otherwise

	rehearsal *rehearsalSide // of one of its sessions; nil: there is none

	prefaces map[*preface]bool
	refused  [len(refusals)]uint64    // clients, by the reason
	warned   [len(refusals)]time.Time // when that was last worth a warning

	counted session.Traffic // what the metrics have of it
}

// newUserSide makes the side of a pool_user, to which nobody has been let in yet.
func newUserSide(s *Shard, b *userBlock) (*userSide, error) {
	c, p := b.config, b.pool.config
	u := &userSide{shard: s, block: b, config: c, prefaces: make(map[*preface]bool)}
	u.sweep.Func = u.updated
	if c.TLS != nil {
		u.door = s.door(b)
	}
	dialer, associations, err := u.dialer()
	if err != nil {
		return nil, err
	}
	callbacks := u.makeCallbacks()
	if c.Commands != nil {
		u.asker = newAsker(s, c, b.pool.pool)
		callbacks = append(callbacks, u.asker) // the last: others may have logged in
	}
	u.rules = session.NewUser(session.UserConfig{Loop: s.loop, Name: c.Name, Instance: u.instance(), Pool: b.pool.pool, Dialer: dialer,
		Association: associationConfig(c.Heartbeat), Protocol: c.Protocol, Memory: c.Memory, First: s.first(), Window: s.widest, Failover: c.Failover, Callbacks: callbacks,
		Associations: associations, LateEnd: p.Native, Exact: p.Native, Random: s.random, Number: s.nextNumber, Found: u.found, Room: u.room, Drained: u.drained, Trace: s.trace(c.Name),
		Script: u.scripts()})
	return u, nil
}

// dialer is what its associations are begun by, and how many there are with each element.
func (u *userSide) dialer() (mapping.Dialer, int, error) {
	s, c, p := u.shard, u.config, u.block.pool.config
	switch {
	case p.Mapping == mapping.None || p.Native:
		d, err := u.serve(p)
		return d, 1, err // nothing is between the two ends of it
	case p.Mapping == mapping.SCTP:
		return s.sctp(p, c, u.block.pool.pool), c.Associations, nil
	case p.TLS != nil:
		return s.secured(u.block.pool, c), c.Associations, nil
	}
	return mapping.TCPMapping{}, c.Associations, nil
}

// number is the serial number of its block.
func (u *userSide) number() uint64 { return u.block.serial }

// stand lets clients in by the entrance, on the first shard.
func (u *userSide) stand(d *entrance) {
	if u.entrance == nil && u.asker != nil {
		u.asker.first.begin(u.rules)
	}
	if u.entrance = d; !d.fresh {
		return
	}
	d.fresh = false
	u.shard.log.Info("listening for clients", "pool_user", u.config.Name, "address", d.address(), "pool", u.config.Pool, "protocol", u.config.Protocol.Name())
}

// retire has it take no more clients: it is not in the configuration any more, or otherwise.
func (u *userSide) retire() {
	u.entrance, u.left = nil, true
	u.stopAccepting()
}

// passOn has the one that comes in its place go on counting.
func (u *userSide) passOn(next *userSide) {
	for r, n := range u.refused {
		next.refused[r] += n
	}
	u.refused = [len(refusals)]uint64{}
}

// empty reports whether nothing of it is left (leaver).
func (u *userSide) empty() bool {
	return u.rules.Count() == 0 && len(u.prefaces) == 0 && (u.door == nil || u.door.Shaking() == 0)
}

// over is for pool_elements (leaver).
func (u *userSide) over() bool { return true }

// serve makes the element sides of a pool without sidecars, which run in this process.
func (u *userSide) serve(p Pool) (mapping.Dialer, error) {
	var n *native
	if p.Native {
		n = &native{dialer: u.shard.sctp(p, u.config, u.block.pool.pool), association: associationConfig(u.config.Heartbeat),
			protocol: u.config.Protocol, ppid: p.PPID, sockets: make(map[uint64]*nativeSocket)}
		u.native = n
		if p.dialer != nil {
			n.dialer = p.dialer
		}
	}
	u.direct = newDirectSides(u, n)
	for _, e := range p.Elements {
		if err := u.direct.add(e); err != nil {
			return nil, err
		}
	}
	return u.direct, nil
}

// links calls f for every association with an element: of native ones those of the legs.
func (u *userSide) links(f func(a mapping.Association, up bool, legs int)) {
	if u.native != nil {
		u.native.links(f)
		return
	}
	u.rules.Links(func(_ pool.Element, a mapping.Association, up bool, legs int) { f(a, up, legs) })
}

// instance is this shard's of the pool_user: to pool elements each shard is a pool user of its own.
func (u *userSide) instance() session.Token {
	t := u.block.token
	if u.shard.spreads() {
		t = t.Part(u.shard.index)
	}
	return t
}

// calledBy gives a client to a shard (visited).
func (u *userSide) calledBy(a loop.Accepted) { u.place(a, netip.AddrPort{}) }

// place gives a client to a shard; dialed is where it has connected to, if that is not its connection's own end.
func (u *userSide) place(a loop.Accepted, dialed netip.AddrPort) {
	if !u.admitted(a.Remote()) {
		a.Drop()
		return
	}
	serial, to := u.number(), u.shard.common.choose(u.shard.loop.Now())
	load := &u.shard.common.loads[to]
	load.sessions.Add(1)
	u.shard.handOver(a, to, func(s *Shard, conn loop.Conn) loop.Handler {
		if u := s.user(serial); u != nil {
			return u.begin(conn, dialed)
		}
		load.sessions.Add(-1)
		return nil
	}, func() { load.sessions.Add(-1) })
}

// called begins the session of a client where there is one shard only (visited).
func (u *userSide) called(conn loop.Conn) loop.Handler {
	if !u.admitted(conn.Remote()) {
		return nil
	}
	u.shard.common.loads[0].sessions.Add(1)
	return u.begin(conn, netip.AddrPort{})
}

// begun is for no entrance of a pool_user (visited).
func (u *userSide) begun(mapping.Association) mapping.Handler { return nil }

// admitted reports whether there may be one more session, and that a proxy is trusted. Others are refused.
func (u *userSide) admitted(from netip.AddrPort) bool {
	if !u.trusts(from.Addr()) {
		u.refuse(refusedUntrusted, from, nil)
		return false
	}
	limit := u.shard.config.Limits.Sessions
	if limit <= 0 || u.shard.common.sessions() < int64(limit) {
		return true
	}
	u.refuse(refusedLimit, from, fmt.Errorf("it is %d", limit))
	return false
}

// begin takes up the connection of a client, which is counted already: behind its header, if it is a proxy, and its handshake, if there
// is one. dialed is as in place.
func (u *userSide) begin(conn loop.Conn, dialed netip.AddrPort) loop.Handler {
	if !dialed.IsValid() {
		dialed = conn.Local()
	}
	ends := whence.Ends{Client: conn.Remote(), Dialed: dialed}
	if u.config.Accept != nil {
		return newPreface(u, conn, ends)
	}
	return u.enter(conn, ends)
}

// enter begins the session of a client, behind its handshake if there is one.
func (u *userSide) enter(conn loop.Conn, ends whence.Ends) loop.Handler {
	if u.door == nil {
		return u.serveClient(conn, ends)
	}
	return u.door.Meet(conn, func(c *secure.Conn) loop.Handler { return u.serveClient(c, ends) }, u.turnedAway)
}

// turnedAway says that a client that was counted has no session.
func (u *userSide) turnedAway() { u.shard.common.loads[u.shard.index].sessions.Add(-1) }

// serveClient begins the session of a client.
func (u *userSide) serveClient(conn loop.Conn, ends whence.Ends) *clientSocket {
	c := &clientSocket{local: local{Conn: conn, shard: u.shard, eager: true}}
	c.again.Func = c.read
	c.claim(u)
	c.rules = u.rules.AcceptFrom(c, ends)
	u.shard.count(sessionsAccepted, u.config.Pool, u.config.Name)
	return c
}

// clientSocket is the socket of a client. It counts among the sessions of the process until it is closed.
type clientSocket struct {
	local
	gone   bool
	claims bool // a descriptor for its server
}

// claim claims a descriptor for the session's server, if that is connected to by this process.
func (c *clientSocket) claim(u *userSide) {
	if c.claims = u.direct != nil && u.native == nil; c.claims {
		u.shard.claim(1)
	}
}

// Close ends the connection in order (session.Socket).
func (c *clientSocket) Close() {
	c.leave()
	c.local.Close()
}

// Reset ends the connection abortively (session.Socket).
func (c *clientSocket) Reset() {
	c.leave()
	c.local.Reset()
}

func (c *clientSocket) leave() {
	if !c.gone {
		c.gone = true
		if c.claims {
			c.shard.claim(-1)
		}
		c.shard.common.loads[c.shard.index].sessions.Add(-1)
	}
}

// found has the other shards' sessions that wait for an element look again.
func (u *userSide) found() {
	u.elsewhere((*session.User).Wake)
}

// room has a session of each other shard that waits for room look for it, and of each other pool_user of this one.
func (u *userSide) room() {
	u.elsewhere((*session.User).LookForRoom)
	for _, other := range u.shard.users {
		if other != u && other.rules != nil && other.block.pool.pool == u.block.pool.pool {
			u.shard.loop.Later(other.rules.LookForRoom)
		}
	}
}

// drained has the other shards look which elements are drained.
func (u *userSide) drained() {
	u.elsewhere(func(r *session.User) { r.Drains() })
}

// elsewhere has the other shards' rules of the same pool do something: those of other pool_users, too.
func (u *userSide) elsewhere(do func(*session.User)) {
	in := u.block.pool.pool
	u.shard.onOthers(func(s *Shard) {
		for _, u := range s.users {
			if u.block.pool.pool == in {
				do(u.rules)
			}
		}
	})
}

// stopAccepting ends what this side does of its own.
func (u *userSide) stopAccepting() {
	if u.asker != nil {
		u.asker.first.end()
	}
}

// scripts says which sessions are recorded; nil: none is.
func (u *userSide) scripts() *session.ScriptConfig {
	r := u.config.Rehearsal
	if r == nil {
		return nil
	}
	return &session.ScriptConfig{Memory: r.Memory, Sample: r.Sample, Scarce: u.shard.halfFull}
}

func (u *userSide) close() {
	u.stopAccepting()
	u.endRehearsal("its pool_user has ended")
	u.shard.loop.Cancel(&u.sweep)
	for p := range u.prefaces {
		p.end()
	}
	if u.rules != nil {
		u.rules.Close()
	}
	if u.door != nil {
		u.door.Close()
	}
	u.programs.close()
	u.direct.close()
}

func (s *Shard) nextNumber() uint64 {
	return s.common.number.Add(1)
}

// associationConfig derives the time that an association may take to come up from the time after which a silent one is given up.
func associationConfig(h mapping.Heartbeat) mapping.Config {
	limit := h.Interval * time.Duration(h.Misses)
	return mapping.Config{Heartbeat: h, DialTimeout: min(max(limit, time.Second), 5*time.Second)}
}

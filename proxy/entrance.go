package proxy

import (
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
)

// entrance is a listening socket of the first shard. Who stands behind it may change while it listens, so that a configuration that is read again
// loses nobody who is about to be accepted.
type entrance struct {
	key      entranceKey
	listener loop.Listener
	behind   visited
	users    []*userSide // transparent ones, in place of behind: where a client wanted to go says whose it is
	fresh    bool        // nobody has stood behind it yet
}

// entranceKey tells entrances apart.
type entranceKey struct {
	at    netip.AddrPort
	owner string            // where at leaves the port to the system: whose it is; else ""
	sctp  string            // of mapping SCTP: how it listens, which cannot change; else ""
	led   loop.Interception // how clients that wanted to go elsewhere are led there
}

// visited is a side that stands behind an entrance: the one of its methods is called that is for the kind of the entrance.
type visited interface {
	called(loop.Conn) loop.Handler             // a connection, where there is one shard
	calledBy(loop.Accepted)                    // a connection, where there are several
	begun(mapping.Association) mapping.Handler // an association of mapping SCTP
}

// resumes is the pool_element behind it whose legs may be resumed by who comes in; nil: there is none.
func (d *entrance) resumes() *elementSide {
	if e, is := d.behind.(*elementSide); is && e.resumable() {
		return e
	}
	return nil
}

// prefer has associations come in while clients wait for descriptors already: one carries many sessions, and without it they cannot be resumed, and
// hold what they have at their servers.
func (d *entrance) prefer() {
	if l, is := d.listener.(loop.Reserved); is {
		_, associations := d.behind.(*elementSide)
		l.UseReserve(associations)
	}
}

// key of the entrance that a pool_user has.
func (b *userBlock) entrance() entranceKey {
	k := keyOf(b.config.Listen, "pool_user "+b.config.Name)
	k.led = b.config.Transparent
	return k
}

// key of the entrance that a pool_element has.
func (b *elementBlock) entrance() entranceKey {
	k := keyOf(b.config.Listen, "pool_element "+b.config.Name)
	if c := b.config; c.Mapping == mapping.SCTP {
		k.sctp = fmt.Sprint("sctp", c.Native, c.Paths, c.UDPPort, c.Heartbeat)
	}
	return k
}

func keyOf(at netip.AddrPort, owner string) entranceKey {
	if at.Port() != 0 {
		owner = ""
	}
	return entranceKey{at: at, owner: owner}
}

// open begins to listen; m is asked for mapping SCTP only. Nothing is accepted within this turn.
func (s *Shard) open(key entranceKey, m mapping.SCTPMapping, c mapping.Config) (d *entrance, err error) {
	d = &entrance{key: key, fresh: true}
	switch {
	case key.sctp != "":
		d.listener, err = m.Listen(s.loop, key.at, c, func(a mapping.Association) mapping.Handler { return d.behind.begun(a) })
	case key.led != loop.Addressed:
		d.listener, err = s.intercept(key, d)
	case s.spreads():
		d.listener, err = s.loop.(loop.Adopter).ListenFor(key.at, func(a loop.Accepted) { d.behind.calledBy(a) })
	default:
		d.listener, err = s.loop.Listen(key.at, func(conn loop.Conn) loop.Handler { return d.behind.called(conn) })
	}
	return d, err
}

// address is where it listens, with the port that the system chose; nil: nowhere.
func (d *entrance) address() netip.AddrPort {
	if d == nil {
		return netip.AddrPort{}
	}
	return d.listener.Addr()
}

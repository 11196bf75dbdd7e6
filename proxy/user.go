package proxy

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/session"
)

// userSide is one pool_user: a listener for clients, and the rules of their sessions.
type userSide struct {
	shard    *Shard
	config   User
	rules    *session.User
	listener loop.Listener
	programs *runner        // of callbacks; nil: none is a program
	servers  []*elementSide // mapping none: the element's rules, in this process
	asker    *asker         // protocol redis; else nil

	counted session.Traffic // what the metrics have of it
}

func newUserSide(s *Shard, c User) (*userSide, error) {
	u := &userSide{shard: s, config: c}
	p := s.poolConfig(c.Pool)
	association := associationConfig(c.Heartbeat)
	var dialer mapping.Dialer = mapping.TCPMapping{}
	associations := c.Associations
	if p.Mapping == mapping.None {
		associations = 1 // nothing is between the two ends of it
		direct := mapping.NewDirect()
		dialer = direct
		for _, e := range p.Elements {
			side, err := newDirectSide(s, direct, e, c)
			if err != nil {
				return nil, err
			}
			u.servers = append(u.servers, side)
		}
	}
	callbacks := u.makeCallbacks()
	if c.Commands != nil {
		u.asker = newAsker(s, c)
		callbacks = append(callbacks, u.asker) // the last: others may have logged in
	}
	u.rules = session.NewUser(session.UserConfig{Loop: s.loop, Name: c.Name, Instance: s.token(), Pool: s.pools[c.Pool], Dialer: dialer,
		Association: association, Protocol: c.Protocol, Memory: c.Memory, Failover: c.Failover, Callbacks: callbacks, Associations: associations, Random: s.random,
		Number: s.nextNumber, Trace: s.trace(c.Name)})
	var err error
	u.listener, err = s.loop.Listen(c.Listen, u.accept)
	if err != nil {
		u.close()
		return nil, err
	}
	if u.asker != nil {
		u.asker.first.begin(u.rules)
	}
	s.log.Info("listening for clients", "pool_user", c.Name, "address", u.listener.Addr(), "pool", c.Pool, "protocol", c.Protocol.Name())
	return u, nil
}

// accept begins the session of a client. Beyond the limit the client is refused.
func (u *userSide) accept(conn loop.Conn) loop.Handler {
	if limit := u.shard.config.Limits.Sessions; limit > 0 && u.shard.sessions() >= limit {
		u.shard.log.Warn("client refused: limits.sessions is reached", "pool_user", u.config.Name, "client", conn.Remote(), "limit", limit)
		u.shard.count("sessions.refused", u.config.Name)
		return nil
	}
	c := &local{Conn: conn, shard: u.shard, eager: true}
	c.again.Func = c.read
	s := u.rules.Accept(c, conn.Remote().String())
	c.rules = s
	u.shard.count("sessions.accepted", u.config.Name)
	return c
}

// stopAccepting closes the listener, and ends what this side does of its own.
func (u *userSide) stopAccepting() {
	u.listener.Close()
	if u.asker != nil {
		u.asker.first.end()
	}
}

func (u *userSide) close() {
	if u.listener != nil {
		u.stopAccepting()
	}
	if u.rules != nil {
		u.rules.Close()
	}
	u.programs.close()
	for _, e := range u.servers {
		e.close()
	}
}

func (s *Shard) poolConfig(handle string) Pool {
	for _, p := range s.config.Pools {
		if p.Handle == handle {
			return p
		}
	}
	panic("proxy: the configuration was not checked: no pool " + handle)
}

func (s *Shard) nextNumber() uint64 {
	s.number++
	return s.number
}

// associationConfig derives the time that an association may take to come up from the time after which a silent one is given up.
func associationConfig(h mapping.Heartbeat) mapping.Config {
	limit := h.Interval * time.Duration(h.Misses)
	return mapping.Config{Heartbeat: h, DialTimeout: min(max(limit, time.Second), 5*time.Second)}
}

package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/pool"
	"github.com/poolproxy/poolproxy/session"
)

// Heir is a proxy that takes the place of another process's. It listens, and stands still until Resume. Its methods are for one goroutine.
type Heir struct {
	*Proxy
	registrations []handlespace.Kept
}

// Continue makes a proxy that goes on with what another process has; that one has given (Describe) what it begins with, and the sockets on
// which it listens (package inherit). c may be another configuration than the old one's, as long as what is handed over has a place in it.
func Continue(begin []byte, c Config, log hclog.Logger, m *metrics.Metrics) (*Heir, error) {
	var old past
	if err := json.Unmarshal(begin, &old); err != nil {
		return nil, fmt.Errorf("%w: %w", errCarried, err)
	}
	if old.Version != carriedVersion {
		return nil, fmt.Errorf("%w: it hands over in version %d, this one takes version %d: it has to be restarted", errCarried, old.Version, carriedVersion)
	}
	if old.Shards < 1 || old.Shards > MaxShards {
		return nil, fmt.Errorf("%w: %d shards", errCarried, old.Shards)
	}
	if n := c.Limits.Shards; n > 0 && shards(c) != old.Shards {
		return nil, fmt.Errorf("limits.shards = %d, but the process that runs has %d, and sessions stay on theirs: restart it", n, old.Shards)
	}
	p, err := start(c, log, m, &old)
	if err != nil {
		return nil, err
	}
	return &Heir{Proxy: p}, nil
}

// Take takes a piece of what the old process hands over, and its descriptor. It has no effect outside of this process. After an error the heir is
// of no use: the process has to end, without closing anything in order.
func (h *Heir) Take(piece []byte, fd int) error {
	var c carried
	if err := c.parse(piece); err != nil {
		return err
	}
	if c.shard >= len(h.runners) {
		return fmt.Errorf("%w: a piece of shard %d", errCarried, c.shard)
	}
	switch c.kind {
	case carriedRegistration, carriedPool, carriedTable:
		return h.takeShared(&c)
	}
	err := ErrStopped
	r := h.runners[c.shard]
	r.do(func() { err = r.shard.take(&c, fd) })
	return err
}

// takeShared takes what shards have in common. What has no place in the configuration is of no use.
func (h *Heir) takeShared(c *carried) error {
	switch c.kind {
	case carriedPool:
		if p := h.Pools()[c.block]; p != nil {
			if err := p.Thaw(c.state, time.Now()); err != nil {
				return fmt.Errorf("pool %q: %w", c.block, err)
			}
		}
	case carriedTable:
		for _, b := range h.common.now.Load().users {
			u := b.config
			if u.Name == c.block && u.Commands != nil {
				if err := u.Commands.Thaw(c.state); err != nil {
					return fmt.Errorf("pool_user %q: what servers have said of their commands: %w", c.block, err)
				}
			}
		}
	case carriedRegistration:
		var k handlespace.Kept
		if err := json.Unmarshal(c.state, &k); err != nil {
			return fmt.Errorf("%w: %w", errCarried, err)
		}
		h.registrations = append(h.registrations, k)
	}
	return nil
}

// Resume begins to serve. The old process has given up its place.
func (h *Heir) Resume() *Proxy {
	for _, k := range h.registrations {
		if err := h.handlespace.Adopt(k); err != nil {
			h.log.Warn("an element that was registered here is registered no more", "pool", k.Handle, "element", k.Element.Name, "id", k.ID, "reason", err)
		}
	}
	for _, r := range h.runners {
		r.do(func() { r.shard.resume() })
	}
	h.letGo()
	return h.Proxy
}

// resume has all sides of the shard go on.
func (s *Shard) resume() {
	for _, e := range s.elements {
		e.resume()
	}
	for _, u := range s.users {
		for _, e := range u.direct.all() {
			e.resume()
		}
		u.rules.Resume()
	}
}

func (e *elementSide) resume() {
	if rules, ok := e.rules.(*session.Element); ok {
		rules.Resume()
	}
}

// take takes one piece.
func (s *Shard) take(c *carried, fd int) error {
	switch c.kind {
	case carriedUser, carriedSession, carriedPreface:
		u := s.userNamed(c.block)
		switch {
		case u == nil && c.kind == carriedUser: // it may have no sessions
			return nil
		case u == nil:
			return fmt.Errorf("pool_user %q is not in the new configuration: its sessions have no place", c.block)
		case c.kind == carriedSession:
			return u.take(c, fd)
		case c.kind == carriedPreface:
			return u.takePreface(c, fd)
		}
		if err := u.rules.Thaw(c.state); err != nil {
			return fmt.Errorf("pool_user %q: %w", c.block, err)
		}
	case carriedElement, carriedLeg:
		e, err := s.elementOf(c)
		switch {
		case errors.Is(err, errNoPlace) && c.kind == carriedElement: // it may have no legs
			return nil
		case err != nil:
			return err
		case c.kind == carriedLeg:
			return e.take(c, fd)
		}
		return e.thaw(c)
	}
	return nil
}

// thaw takes what its legs have in common. A drain that its operator has begun goes on.
func (e *elementSide) thaw(c *carried) error {
	if rules, ok := e.rules.(*session.Element); ok && len(c.state) > 0 { // else it was, or is, one for native pool users
		if err := rules.Thaw(c.state); err != nil {
			return fmt.Errorf("element %q: %w", e.name, err)
		}
	}
	if c.drained {
		e.drain(drainAsked)
	}
	return nil
}

func (s *Shard) userNamed(name string) *userSide {
	for _, u := range s.users {
		if u.config.Name == name {
			return u
		}
	}
	return nil
}

// errNoPlace is that of what has no place in the new configuration.
var errNoPlace = errors.New("its sessions have no place")

// elementOf returns the element side that a piece belongs to. Legs go by the rules of a session.Element.
func (s *Shard) elementOf(c *carried) (*elementSide, error) {
	sides := s.elements
	if c.isDirect() {
		u := s.userNamed(c.block)
		if u == nil || u.direct == nil || u.native != nil {
			return nil, fmt.Errorf("pool_user %q has no servers with mapping none in the new configuration: %w", c.block, errNoPlace)
		}
		if u.direct.sides[c.server] == nil {
			if err := u.direct.add(pool.Element{Name: c.element, Address: c.server}); err != nil {
				return nil, err
			}
		}
		sides = []*elementSide{u.direct.sides[c.server]}
	}
	for _, e := range sides {
		if _, ok := e.rules.(*session.Element); (ok || c.kind == carriedElement) && (c.isDirect() || e.name == c.block) {
			return e, nil
		}
	}
	return nil, fmt.Errorf("pool_element %q is not in the new configuration: %w", c.block, errNoPlace)
}

// connection makes the connection of a piece this shard's.
func (s *Shard) connection(c *carried, fd int, h loop.Handler) (loop.Conn, error) {
	var kept loop.Kept
	if len(c.conn) == 0 { // it was closed
		kept, fd = loop.Kept{Spoken: true, HungUp: true, Err: loop.ErrClosed}, -1
	} else if err := kept.UnmarshalBinary(c.conn); err != nil {
		return nil, err
	}
	l, ok := s.loop.(loop.Heir)
	if !ok {
		return nil, fmt.Errorf("%w: on this system connections cannot be taken over", errCarried)
	}
	return l.Inherit(fd, kept, h)
}

// take takes a session with its client's connection.
func (u *userSide) take(c *carried, fd int) (err error) {
	client := &clientSocket{local: local{shard: u.shard, eager: true, ended: c.ended, failed: c.failed}}
	client.again.Func = client.read
	if client.Conn, err = u.shard.connection(c, fd, client); err != nil {
		return err
	}
	s, err := u.rules.ThawSession(c.state, client)
	if err != nil {
		return fmt.Errorf("a session of pool_user %q: %w", c.block, err)
	}
	client.rules = s
	client.claim(u)
	u.shard.common.loads[u.shard.index].sessions.Add(1)
	return nil
}

// take takes a leg with its server's connection.
func (e *elementSide) take(c *carried, fd int) (err error) {
	s := e.newSocket(nil, nil)
	s.ended, s.failed, s.listener = c.ended, c.failed, c.listener
	if s.Conn, err = e.shard.connection(c, fd, s.local); err != nil {
		return err
	}
	leg, err := e.rules.(*session.Element).ThawLeg(c.state, s)
	if err != nil {
		return fmt.Errorf("a leg at element %q: %w", e.name, err)
	}
	s.rules, s.leg, s.cookie.holder = leg, leg, leg
	if len(c.conn) > 0 {
		s.hold()
	}
	s.named()
	switch {
	case leg.Connecting() && len(c.conn) == 0: // it has waited for its turn
		s.pend(leg, e.header(leg.Ends))
		e.pace.again(&s.paced)
		return nil
	case leg.Connecting():
		e.pace.inherited(&s.paced)
		s.connect(leg, e.header(leg.Ends))
		return nil
	}
	e.probe.connected(s.Local().Addr())
	e.fence.connected(leg)
	return nil
}

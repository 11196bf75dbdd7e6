package proxy

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/loop"
)

// Match is a part of the addresses that clients of a transparent pool_user connect to.
type Match struct {
	Network netip.Prefix
	Port    uint16 // 0: any
}

// String is the match as it is written.
func (m Match) String() string {
	network := m.Network.String()
	if m.Network.IsSingleIP() {
		network = m.Network.Addr().String()
	}
	switch {
	case m.Port == 0:
		return network
	case m.Network.Addr().Is6():
		return fmt.Sprintf("[%s]:%d", network, m.Port)
	}
	return fmt.Sprintf("%s:%d", network, m.Port)
}

// covers reports whether an address is in it.
func (m Match) covers(to netip.AddrPort) bool {
	return (m.Port == 0 || m.Port == to.Port()) && m.Network.Contains(to.Addr().Unmap().WithZone(""))
}

// narrower reports whether m says more exactly than other which addresses it means, both covering the same one.
func (m Match) narrower(other Match) bool {
	if m.Network.Bits() != other.Network.Bits() {
		return m.Network.Bits() > other.Network.Bits()
	}
	return m.Port != 0 && other.Port == 0
}

// intercept listens to where connections to others are led.
func (s *Shard) intercept(key entranceKey, x *entrance) (loop.Listener, error) {
	taker, can := s.loop.(loop.Interceptor)
	if !can {
		return nil, fmt.Errorf("transparent: %w by this loop", loop.ErrIntercept)
	}
	return taker.Intercept(key.at, key.led, func(a loop.Accepted) { x.take(s, a) })
}

var (
	errNotIntercepted = errors.New("it has not been led here, but has connected to this listener itself")
	errOwn            = errors.New("it is a connection of poolproxy's own to a server: the rules must leave those out (docs/transparent.md)")
)

// take gives a client to the pool_user whose match is the narrowest that covers where it wanted to go. One that is in no match is refused.
func (i *entrance) take(s *Shard, a loop.Accepted) {
	to, err := a.Dialed()
	if err != nil {
		err = fmt.Errorf("%w: %w", errNotIntercepted, err)
	} else if s.common.cookies.has(a.Remote(), to) { // it would go round in circles, until limits.sessions is reached
		err = errOwn
	}
	u := i.find(to)
	switch {
	case err == nil && u != nil:
		u.place(a, to)
		return
	case err == nil:
		err = fmt.Errorf("it wanted to go to %v", to)
	}
	i.users[0].refuse(refusedStranger, a.Remote(), err)
	a.Drop()
}

// find is the pool_user for that destination, or nil.
func (i *entrance) find(to netip.AddrPort) (found *userSide) {
	var best Match
	for _, u := range i.users {
		for _, m := range u.config.Match {
			if m.covers(to) && (found == nil || m.narrower(best)) {
				found, best = u, m
			}
		}
	}
	return found
}

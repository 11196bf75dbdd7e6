package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// A server knows a session by the connection that it has accepted: by the address of our end. By that address its scripts ask for
// the session's cookie and set it (Proxy.Cookie, Proxy.SetCookie; the admin API). Sessions live on several shards: here is which.

// Errors of Proxy.Cookie and Proxy.SetCookie, beside those of session.Leg.SetCookie.
var (
	// ErrNoSession: no session has such a connection to a server.
	ErrNoSession = errors.New("proxy: no session has a connection to a server with that address at its end")
	// ErrTwoServers: the address is that of several connections, to different servers, and none was named.
	ErrTwoServers = errors.New("proxy: several connections have that address, each to another server: say which server")
)

// cookieHolder is a session at its server, to whose cookie one can get: a *session.Leg, or a native peer's association. It is used on
// its shard's goroutine only.
type cookieHolder interface {
	SetCookie(cookie []byte) error // see session.Leg
	Cookie() []byte                // nil: there is none
}

// cookies are the connections to servers whose sessions may have cookies, by the address of our end. The zero value is empty. Its
// methods may be called from any goroutine; the lock is never held across a call.
type cookies struct {
	mu sync.Mutex
	at map[netip.AddrPort]*cookiePlace // guarded by mu
}

// cookiePlace is one connection to a server.
type cookiePlace struct {
	local, server netip.AddrPort // once they are known
	shard         int
	holder        cookieHolder
	next          *cookiePlace // guarded by cookies.mu: with the same address at our end, to another server. The kernel allows that
}

// add makes a connection findable under its local address, unless it is already, or that is not known yet.
func (c *cookies) add(x *cookiePlace, local, server netip.AddrPort) {
	if x.local.IsValid() || local.Port() == 0 {
		return
	}
	x.local, x.server = unmapped(local), unmapped(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = make(map[netip.AddrPort]*cookiePlace)
	}
	x.next = c.at[x.local]
	c.at[x.local] = x
}

// remove undoes add; twice is harmless.
func (c *cookies) remove(x *cookiePlace) {
	if !x.local.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.at[x.local]
	for at := &first; *at != nil; at = &(*at).next {
		if *at == x {
			*at = x.next
			break
		}
	}
	if first == nil {
		delete(c.at, x.local)
	} else {
		c.at[x.local] = first
	}
	x.local = netip.AddrPort{}
}

// find returns the connection with that address at our end, to that server; an invalid server is any. The errors are ErrNoSession and
// ErrTwoServers.
func (c *cookies) find(local, server netip.AddrPort) (*cookiePlace, error) {
	local, server = unmapped(local), unmapped(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *cookiePlace
	for x := c.at[local]; x != nil; x = x.next {
		switch {
		case server.IsValid() && server != x.server:
		case found != nil:
			return nil, fmt.Errorf("%w: %s, to %s and %s", ErrTwoServers, local, found.server, x.server)
		default:
			found = x
		}
	}
	if found == nil {
		to := ""
		if server.IsValid() {
			to = fmt.Sprintf(", to server %s", server)
		}
		return nil, fmt.Errorf("%w: %s%s", ErrNoSession, local, to)
	}
	return found, nil
}

// has reports whether there is a connection of ours from local to server.
func (c *cookies) has(local, server netip.AddrPort) bool {
	local, server = unmapped(local), unmapped(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	for x := c.at[local]; x != nil; x = x.next {
		if x.server == server {
			return true
		}
	}
	return false
}

// unmapped is an address in the form in which addresses compare.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Cookie is the cookie of a session at its server: what another element has left for it, or what was set here last; nil: there is none.
// The session is named by the address that the server sees as its client's: of our end of the connection to the server. server is the
// server's own address; it matters only where several connections have that address, and may be invalid. The errors are ErrNoSession
// and ErrTwoServers.
func (p *Proxy) Cookie(client, server netip.AddrPort) (cookie []byte, err error) {
	err = p.atCookie(client, server, func(x cookieHolder) error {
		cookie = x.Cookie()
		return nil
	})
	return cookie, err
}

// SetCookie sets the cookie of a session, which is named as for Cookie. When it returns, nothing that the server says from then on
// reaches the session's client ahead of the cookie's reaching the pool user. The errors are ErrNoSession, ErrTwoServers, ErrReplaced,
// and those of session.Leg.SetCookie.
func (p *Proxy) SetCookie(client, server netip.AddrPort, cookie []byte) error {
	return p.unmoved(func() error {
		return p.atCookie(client, server, func(x cookieHolder) error { return x.SetCookie(cookie) })
	})
}

// atCookie runs f with the session on its shard.
func (p *Proxy) atCookie(client, server netip.AddrPort, f func(cookieHolder) error) error {
	x, err := p.common.cookies.find(client, server)
	if errors.Is(err, ErrNoSession) {
		for _, r := range p.runners { // a server on this host may have accepted before the turn in which we connect is over
			r.do(func() {})
		}
		x, err = p.common.cookies.find(client, server)
	}
	if err != nil {
		return err
	}
	ran := p.runners[x.shard].do(func() {
		now, again := p.common.cookies.find(client, x.server)
		switch {
		case again != nil:
			err = again // it has ended meanwhile
		case now.shard != x.shard:
			err = fmt.Errorf("%w: %s has just ended", ErrNoSession, client)
		default:
			err = f(now.holder)
		}
	})
	if !ran {
		return fmt.Errorf("%w: poolproxy is stopping", ErrNoSession)
	}
	return err
}

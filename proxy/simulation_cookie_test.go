package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/session"
)

// Servers of schedules with cookies keep in their session's the client and the last request that they have carried out, before they
// answer that. So whatever fails: a server that comes to know whose connection it has, has been told of every request of which the
// client has the answer, and of no other client.

// note is what is in a cookie.
type note struct {
	there          bool
	client, number int
}

// bakes reports whether servers set cookies.
func (s *scenario) bakes() bool { return s.seed%2 == 0 }

// cookieKey gives an element its key. In some schedules one has another.
func (m *simulation) cookieKey(index int) []byte {
	if !m.bakes() {
		return nil
	}
	key := byte('k')
	if m.seed%14 == 0 && m.class == anything && index == 1 {
		key++
	}
	return bytes.Repeat([]byte{key}, session.LeastCookieKey)
}

// cardFor is the business card of an element: in some schedules the others in some order, and one that there is not.
func (m *simulation) cardFor(index int) *Card {
	if m.seed%5 != 0 || m.elements[index].sidecar == m.user {
		return nil
	}
	c := &Card{Pool: "pool", Order: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}}
	for i := range m.elements {
		other := m.elements[(index+1+i)%len(m.elements)] // the last one is itself
		c.Order = append(c.Order, other.sidecar.Addr(elementPort))
	}
	return c
}

// shelf is where the connection's session is to be found: what a server's script asks over the admin API. nil: its sidecar is dead.
func (c *serverConn) shelf() cookieHolder {
	shard := c.server.element.shard
	if c.server.element.sidecar == c.server.sim.user {
		shard = c.server.sim.userShard
	}
	if shard == nil {
		return nil
	}
	x, err := shard.common.cookies.find(c.conn.Remote(), netip.AddrPort{})
	if err != nil {
		return nil
	}
	return x.holder
}

// taste reads the cookie of a connection that was just accepted.
func (c *serverConn) taste() {
	m := c.server.sim
	if !m.bakes() {
		return
	}
	holder := c.shelf()
	if holder == nil {
		return
	}
	if p := holder.Cookie(); p != nil {
		c.note.there = true
		if _, err := fmt.Sscan(string(p), &c.note.client, &c.note.number); err != nil {
			m.violated("server%d: the cookie %q", c.server.element.index, p)
		}
	}
	c.leg, _ = holder.(*session.Leg)
}

// newest reports whether the connection is that of its session's last leg. Of older ones a server that was frozen may hear when the
// client has got its answers elsewhere.
func (c *serverConn) newest() (yes bool) {
	for _, u := range c.server.sim.userShard.users {
		u.rules.Sessions(func(s *session.Session) {
			yes = yes || c.leg != nil && s.ID == c.leg.Session && s.Info().Leg == c.leg.Number
		})
	}
	return yes
}

// checkNote judges what the cookie has told when it shows whose connection it is.
func (c *serverConn) checkNote(of int) error {
	if c.note.there && c.note.client != of {
		return errors.New("the cookie is another client's")
	}
	if !c.newest() {
		return nil
	}
	last := -1
	if c.note.there {
		last = c.note.number
	}
	for _, r := range c.server.sim.clients[of].requests {
		if r.answered && !r.lost && r.kind != 'O' && r.number > last {
			return fmt.Errorf("the cookie tells of the requests up to %d, and the client has the answer to %d", last, r.number)
		}
	}
	return nil
}

// bake sets the cookie before the request under way is answered.
func (c *serverConn) bake() {
	m := c.server.sim
	if !m.bakes() || c.client < 0 || c.over {
		return
	}
	if c.note = (note{true, c.client, max(c.last, c.note.number)}); c.note.number < 0 {
		return
	}
	if holder := c.shelf(); holder != nil {
		text := fmt.Appendf(nil, "%d %d %*d", c.note.client, c.note.number, m.rand.IntN(3000), 0)
		if err := holder.SetCookie(text); err != nil && !errors.Is(err, session.ErrLegOver) {
			m.violated("server%d cannot set a cookie: %v", c.server.element.index, err)
		}
	}
}

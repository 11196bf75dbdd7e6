package proxy

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/session"
)

// execution is one time that a request was carried out.
type execution struct {
	by *serverConn
	at time.Time
}

// mark says that the bytes of a connection up to end had come by a time: not before that, as far as is known.
type mark struct {
	end int
	at  time.Time
}

// came notes that n bytes more have been read.
func (c *serverConn) came(n int) {
	if n == 0 {
		return
	}
	c.total += n
	now := c.server.sim.world.Now()
	if c.unseen {
		now = c.busy // it may have come as early as that
	}
	if last := len(c.marks) - 1; last >= 0 && c.marks[last].at.Equal(now) {
		c.marks[last].end = c.total
		return
	}
	c.marks = append(c.marks, mark{c.total, now})
}

// since is when the byte before the offset end had come.
func (c *serverConn) since(end int) time.Time {
	for len(c.marks) > 1 && c.marks[0].end < end {
		c.marks = c.marks[1:]
	}
	return c.marks[0].at
}

// legAt is where the element is at which the client's session is now; invalid if it is nowhere, or over.
func (m *simulation) legAt(c *client) (at netip.AddrPort) {
	if c.conn == nil {
		return at
	}
	client := c.conn.Local().String()
	for _, u := range m.userShard.users {
		u.rules.Sessions(func(s *session.Session) {
			if i := s.Info(); i.Client == client && i.State == "open" {
				at = m.whereIs(i.Element)
			}
		})
	}
	return at
}

// whereIs is the address of an element by the name that it has for the pool user: the source may have given that name to another one.
func (m *simulation) whereIs(name string) netip.AddrPort {
	if _, at, moved := strings.Cut(name, " at "); moved {
		return netip.MustParseAddrPort(at)
	}
	if at, told := m.named[name]; told { // also of one that is left out now
		return at
	}
	e, _ := m.userShard.layout.pools["pool"].pool.Element(name)
	return e.Address
}

// checkFence: where an unsafe request is repeated, the old server gets nothing of it once the new one has it. What it had read, or
// its kernel had for it while it was frozen, it may carry out whenever it likes.
func (c *serverConn) checkFence(r *request, came time.Time) error {
	m := c.server.sim
	for _, x := range r.by {
		if x.by == c || !came.After(x.at) || !c.isOlder(x.by) {
			continue
		}
		if e := c.server.element; e.stalled || e.trouble.After(x.at) || m.thawed[e.server].After(x.at) && e.sidecar != e.server {
			continue
		}
		if woke := m.woke[c.server.element.server]; !woke.IsZero() && came.Sub(woke) < turns {
			continue // a shared host: its kernel had it before the process was frozen
		}
		return errors.New("an unsafe request came to an old server behind its repetition at a new one")
	}
	return nil
}

// turns is in how little time after a thaw what comes was there before: less than what the sidecar then says takes on its way.
const turns = 50 * time.Microsecond

// isOlder reports whether c belongs to an older leg of the session than x.
func (c *serverConn) isOlder(x *serverConn) bool {
	m := c.server.sim
	if x.server.element == c.server.element {
		return x.accepted > c.accepted
	}
	return m.legAt(m.clients[c.client]) == m.addressOf(x.server.element)
}

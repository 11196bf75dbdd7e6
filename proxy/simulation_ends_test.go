package proxy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/whence"
)

// In two thirds of the schedules servers want to be told whose connection it is, and in half of them clients are proxies that say it.

// headerOfPool is what servers without sidecars are sent.
func (m *simulation) headerOfPool() whence.Version {
	if m.mapping == mapping.None {
		return m.header
	}
	return whence.None
}

// accept is what the pool_user wants of its clients.
func (m *simulation) accept() *AcceptProxy {
	if !m.proxied {
		return nil
	}
	return &AcceptProxy{Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, Timeout: time.Minute}
}

// introduce sends the header of a client that is a proxy.
func (c *client) introduce() {
	c.ends = whence.Ends{Client: c.conn.Local(), Dialed: c.sim.user.Addr(clientPort)}
	if !c.sim.proxied {
		return
	}
	c.ends.Client = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1+c.index))
	version := whence.V1
	if c.index%2 == 0 {
		version = whence.V2
	}
	for header := version.Append(nil, c.ends); len(header) > 0; {
		n, err := c.conn.Write(header)
		if n == 0 {
			c.sim.tracef("client %d: no header: %v", c.index, err)
			return // Hangup says the rest
		}
		header = header[n:]
	}
}

// unhide takes the header off what has come, and reports whether that is done.
func (c *serverConn) unhide() bool {
	if c.unhidden || c.server.sim.header == whence.None {
		return true
	}
	ends, n, err := whence.Parse(c.in)
	if err != nil {
		c.server.sim.violated("server%d: the first bytes are %.60q: %v", c.server.element.index, c.in, err)
	}
	if n == 0 {
		return false
	}
	c.ends, c.unhidden = ends, true
	c.in = c.in[n:]
	return true
}

// checkEnds checks that the header has said whose requests came behind it.
func (c *serverConn) checkEnds(x *client) error {
	if c.server.sim.header != whence.None && c.ends != x.ends {
		return fmt.Errorf("the header says %v, the requests are of %v", c.ends, x.ends)
	}
	return nil
}

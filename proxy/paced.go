package proxy

import "github.com/poolproxy/poolproxy/session"

// How a server's socket stands in line (pace).

// pend has the socket wait for pace to let it connect. The header is what the server is told first (introduce).
func (c *serverSocket) pend(r connecting, header []byte) {
	c.Conn, c.waiter, c.header = notYet{c.side.server}, r, header
	c.owner = c
	c.moves = c.leg != nil && c.side.moves(c.leg)
}

// moves reports whether a leg's session has been at another element before. Where pool users are other processes all that is known is its number: a
// client that has come to a dead element first counts among those that move.
func (e *elementSide) moves(leg *session.Leg) bool {
	if e.user != nil {
		s := e.user.rules.Session(leg.Session)
		return s != nil && s.Served()
	}
	return leg.Number > 1
}

// begin begins to connect.
func (c *serverSocket) begin() {
	header := c.header
	c.connect(c.waiter, header)
	c.waiter, c.header = nil, nil
	c.hold()
	c.Conn = c.shard.dial(c.side.origin, c.side.server, header, c.local)
	c.named() // before the server can ask, where the loop knows it so early
}

// hold notes that the socket has a descriptor. With mapping none that was claimed for its session.
func (c *serverSocket) hold() {
	if c.holds = c.side.counts == nil; c.holds {
		c.shard.claim(-1)
	}
}

// refused has the rules hear that it does not come to a connect.
func (c *serverSocket) refused(err error) { c.waiter.ConnectFailed(err) }

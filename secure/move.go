package secure

import (
	"errors"

	"github.com/poolproxy/poolproxy/loop"
)

// Peek returns the first bytes that Read would, and takes none of them; see loop.Movable.
func (c *Conn) Peek(p []byte) (int, error) {
	if have := len(c.peeked); have < len(p) {
		more := make([]byte, len(p))
		n, err := c.decrypt(more)
		c.peeked = more[:n]
		if err != nil && (n == 0 || !errors.Is(err, loop.ErrAgain)) {
			return copy(p, c.peeked), err
		}
	}
	return copy(p, c.peeked), nil
}

// Moved is what goes to another loop beside the transport: the state of TLS, and what has been decrypted.
type Moved struct{ conn *Conn }

// Leave takes the connection, whose handshake is over, off its loop, which must be a loop.Adopter; see loop.Movable. Both parts go to the
// other loop: there Adopt is called by the accept function of the transport.
func (c *Conn) Leave() (loop.Accepted, *Moved) {
	transport := c.raw.(loop.Movable).Leave()
	c.closed, c.handler = true, nil
	return transport, &Moved{c}
}

// Adopt makes the connection one of the loop l; raw is its transport there. accept is that of loop.Loop's Listen. What it returns is the
// Handler of raw.
func (m *Moved) Adopt(l loop.Loop, raw loop.Conn, accept func(loop.Conn) loop.Handler) loop.Handler {
	was := m.conn
	c := &Conn{loop: l, raw: raw, tls: was.tls, refused: was.refused, peer: was.peer, up: true, broken: was.broken, peeked: was.peeked, ended: was.ended}
	c.wire = was.wire // crypto/tls has it
	c.wire.raw, c.wire.dry = raw, false
	h := accept(c)
	if h == nil {
		return nil
	}
	if !c.closed {
		c.handler = h
		c.push()
		c.tell() // there may be something to read that the transport says nothing of
	}
	return c
}

package secure

import (
	"errors"
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// A peer that is refused should hear why. If the transport is closed while there is something of the peer's that nobody has read, as a
// client's first data, the kernel sends a reset, which may overtake our alert. So our end is sent, and what the peer says is thrown away.
const (
	partTime  = time.Second // the longest that this may take
	partBytes = 256 << 10   // and the most that is thrown away
)

// dismiss ends a connection whose handshake has failed. done is called when nothing is left of it, but not if it is Reset before.
func (c *Conn) dismiss(done func()) {
	c.end()
	c.parting = true
	c.parted = done
	c.limit.Func = func() { c.depart(c.raw.Reset) }
	c.loop.Schedule(&c.limit, c.loop.Now().Add(partTime))
	c.part()
}

// part goes on with that.
func (c *Conn) part() {
	if flushed, err := c.wire.flush(); err != nil {
		c.depart(c.raw.Reset)
		return
	} else if flushed && !c.shut {
		c.shut = true
		_ = c.raw.CloseWrite() // if it fails the connection has, as the next Read says
	}
	var waste [4 << 10]byte
	for c.wasted < partBytes {
		n, err := c.raw.Read(waste[:])
		c.wasted += n
		switch {
		case errors.Is(err, loop.ErrAgain):
			return
		case err != nil:
			c.depart(c.raw.Close)
			return
		}
	}
	c.depart(c.raw.Reset)
}

func (c *Conn) depart(how func()) {
	c.loop.Cancel(&c.limit)
	c.wire.drop()
	c.parting = false
	how()
	c.parted()
}

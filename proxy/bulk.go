package proxy

import (
	"errors"

	"github.com/poolproxy/poolproxy/loop"
)

// When a connection's bytes are moved as pages: a pipe and five system calls a piece instead of two copies pay for large pieces only.
const (
	bulkRead  = 48 << 10 // what a read must have brought, bytes
	bulkRow   = 8        // reads in a row that brought so much, after which it begins
	bulkLeast = 16 << 10 // a piece that is worth keeping as pages, bytes
	bulkPiece = 60 << 10 // at most in one piece, bytes: one message of the mapping, in whole pages
	bulkRest  = 100      // reads until it is tried again where it did not work
)

// bulk is whether a connection carries bulk.
type bulk struct {
	row int // large reads in a row; negative: they do not count yet
}

// read notes an ordinary read of n bytes where asked were wanted.
func (b *bulk) read(n, asked int) {
	switch {
	case n >= bulkRead:
		b.row++
	case b.row > 0 && n < asked:
		b.row = 0
	}
}

// pageRules are rules to which bytes can be given that nobody has seen.
type pageRules interface {
	TakesPages() bool
	TakePages(data *loop.Buffer)
}

// readPages is readOnce by pages; done is false if that is not to be.
func (c *local) readPages(room int) (n int, done bool) {
	if c.bulk.row < bulkRow || room < bulkLeast {
		return 0, false
	}
	rules, ok := c.rules.(pageRules)
	conn, can := c.Conn.(loop.PageConn)
	if !ok || !can || !rules.TakesPages() {
		return 0, false
	}
	data := c.shard.loop.Buffers().GetPages()
	if data == nil {
		return 0, false
	}
	n, err := conn.ReadPages(data, min(room, bulkPiece))
	switch {
	case errors.Is(err, loop.ErrNoPages):
		data.Drop()
		c.bulk.row = -bulkRest
		return 0, false
	case n >= bulkLeast:
		rules.TakePages(data)
	case n > 0:
		c.bulk.row -= bulkRow / 4 // not for long, if it stays like that
		data.Load()
		if !c.rules.Take(data, n) {
			data.Drop()
		}
	default:
		data.Drop()
		if errors.Is(err, loop.ErrAgain) {
			c.readable = false
		}
	}
	if n >= bulkRead {
		c.bulk.row = bulkRow * 2
	}
	c.readEnded(err)
	return n, true
}

// WritePages writes pages to the connection, if it takes them (session.Socket may have it).
func (c *local) WritePages(b *loop.Buffer) (int, error) {
	conn, ok := c.Conn.(loop.PageConn)
	if !ok {
		return 0, loop.ErrNoPages
	}
	return conn.WritePages(b, false)
}

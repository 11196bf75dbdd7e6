package loop

import (
	"errors"
	"sync/atomic"
)

// ErrNoPages is returned by the methods of a PageConn where bytes cannot be moved as pages: the pipe is full, or the system
// cannot do it. Nothing has been moved; the same bytes can be copied.
var ErrNoPages = errors.New("loop: bytes cannot be moved as pages")

// PageConn is a Conn that can move bytes without copying them to this process (Linux: splice). They are moved in Buffers whose
// bytes lie in a pipe; see Pool.GetPages. No method ever waits.
type PageConn interface {
	Conn

	// ReadPages is Read into a piped Buffer, behind what it holds. A count less than n does not mean that the Conn was drained:
	// only ErrAgain means that. ErrNoPages says that Read has to be used.
	ReadPages(b *Buffer, n int) (int, error)

	// WritePages is Write of all that a piped Buffer holds; more says that another write follows at once. What is written is taken
	// out of the Buffer.
	WritePages(b *Buffer, more bool) (int, error)

	// WriteMore is Write before another Write or WritePages that follows at once, so that they travel together (MSG_MORE).
	WriteMore(bufs ...[]byte) (int, error)
}

// pages are the bytes of a Buffer that lie in a pipe.
type pages interface {
	load(into []byte) // takes all bytes out; into has their size
	duplicate(into pages, n int) bool
	free(left int) // left is how many bytes have to be thrown away
}

// pageSource is where pages come from. get returns nil if there are none to be had.
type pageSource interface{ get() pages }

// LimitPages bounds how many piped Buffers there may be at a time; each takes two descriptors. At first there are none. Pools of several
// loops share the bound if they are given the same count; nil stands for a pool that is alone.
func (p *Pool) LimitPages(n int, count *atomic.Int64) { p.maxPages, p.sharedPages = n, count }

// takePage counts one more piped Buffer, and reports false if there may be none.
func (p *Pool) takePage() bool {
	switch {
	case p.sharedPages == nil && p.outPages >= p.maxPages:
		return false
	case p.sharedPages != nil && p.sharedPages.Add(1) > int64(p.maxPages):
		p.sharedPages.Add(-1)
		return false
	}
	p.outPages++
	return true
}

func (p *Pool) givePage() {
	p.outPages--
	if p.sharedPages != nil {
		p.sharedPages.Add(-1)
	}
}

// Pages tells how many piped Buffers are out, and how many there have been.
func (p *Pool) Pages() (out, all int) { return p.outPages, p.allPages }

// GetPages returns an empty Buffer with one holder whose bytes will lie in a pipe of the system: up to LargeBuffer bytes, and fewer
// if they come in small fragments. It counts as LargeBuffer bytes of memory. It returns nil if none is to be had: then
// bytes have to be copied.
func (p *Pool) GetPages() *Buffer {
	if p.pages == nil || !p.takePage() {
		return nil
	}
	pages := p.pages.get()
	if pages == nil {
		p.givePage()
		return nil
	}
	p.out += LargeBuffer
	p.tell()
	p.allPages++
	return &Buffer{pool: p, holders: 1, pages: pages}
}

// Piped reports whether the bytes lie in a pipe. Bytes is nil then.
func (b *Buffer) Piped() bool { return b.pages != nil }

// Extent tells which part of a piped Buffer is left: what came first has the place 0, and what was written out is gone. After
// Load the bytes have the same places in Bytes.
func (b *Buffer) Extent() (from, to int) { return b.from, b.to }

// Load copies what a piped Buffer holds to memory: from then on it is one like others. For those it does nothing.
func (b *Buffer) Load() {
	if b.pages == nil {
		return
	}
	block := b.pool.Get(LargeBuffer)
	b.pool.out -= LargeBuffer // it was counted when it was piped
	b.pool.tell()
	b.Bytes, block.Bytes = block.Bytes, nil
	b.pages.load(b.Bytes[b.from:b.to])
	b.pages.free(0)
	b.pages = nil
	b.pool.givePage()
}

// Tee returns a second Buffer that holds the same as a piped one, without a copy: one can be written, the other retained. It
// returns nil if that is not possible: then Load is.
func (b *Buffer) Tee() *Buffer {
	second := b.pool.GetPages()
	if second == nil {
		return nil
	}
	second.from, second.to = b.from, b.to
	if !b.pages.duplicate(second.pages, b.to-b.from) {
		second.to = second.from
		second.Drop()
		return nil
	}
	return second
}

// Shared reports whether somebody else holds the Buffer, too.
func (b *Buffer) Shared() bool { return b.holders > 1 }

// putPages takes back a piped Buffer that nobody holds any more.
func (p *Pool) putPages(b *Buffer) {
	p.out -= LargeBuffer
	p.tell()
	p.givePage()
	b.pages.free(b.to - b.from)
	b.pages = nil
}

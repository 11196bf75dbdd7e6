package loop

import "sync/atomic"

// Buffer is a block of pooled memory that may have several holders: the log that retains its bytes, and a queue that has yet
// to write them. It goes back to its pool when the last one lets go. Buffers belong to one loop's goroutine: the count
// is a plain int.
type Buffer struct {
	// Bytes is the whole block. Which part of it means something is the holder's business. It is nil while the bytes lie in a
	// pipe: see Piped.
	Bytes []byte

	holders  int
	pool     *Pool
	pages    pages // not nil: the bytes lie in a pipe
	from, to int   // which of them are left there
}

// Hold adds a holder.
func (b *Buffer) Hold() { b.holders++ }

// Drop takes one holder away; after the last one the block may be used for something else.
func (b *Buffer) Drop() {
	b.holders--
	switch {
	case b.holders == 0:
		b.pool.put(b)
	case b.holders < 0:
		panic("loop: a buffer was dropped more often than held")
	}
}

// The two sizes of blocks: a small one for a request or two, a large one for bulk. A large read is kept as it is; a small
// one is copied to a small block, so that what is retained is never much larger than what it holds.
const (
	SmallBuffer = 4 << 10
	LargeBuffer = 64 << 10
)

// keepFree bounds what a pool keeps for later, in blocks of each size; the rest is left to the garbage collector.
const keepFree = 256

// Pool hands out Buffers of the two sizes and counts what is out. It belongs to one loop's goroutine.
type Pool struct {
	small, large []*Buffer
	out          int           // bytes handed out and not come back
	told         int           // of them, what total has
	total        *atomic.Int64 // of all pools that share it; nil: this one is alone
	pages        pageSource    // nil: there are no pipes
	maxPages     int           // piped Buffers at a time, in all pools that share sharedPages
	sharedPages  *atomic.Int64 // how many there are in them; nil: this pool is alone
	outPages     int           // piped Buffers handed out and not come back or loaded
	allPages     int           // ever handed out
}

// TellEvery is by how much the sum that pools share may be wrong for each of them, in bytes. So an atomic addition is rare.
const TellEvery = LargeBuffer

// Share has the pool add what it hands out to total, with other loops' pools; see Total.
func (p *Pool) Share(total *atomic.Int64) { p.total = total }

// Total is how many bytes are handed out by all pools that share with this one; for each of the others it may be wrong by
// TellEvery.
func (p *Pool) Total() int64 {
	if p.total == nil {
		return int64(p.out)
	}
	return p.total.Load() + int64(p.out-p.told)
}

// Charge counts n bytes of memory that the pool has not handed out, but that are to be bounded like it; less than 0: they are gone.
func (p *Pool) Charge(n int) {
	p.out += n
	p.tell()
}

func (p *Pool) tell() {
	if d := p.out - p.told; p.total != nil && (d >= TellEvery || d <= -TellEvery) {
		p.total.Add(int64(d))
		p.told = p.out
	}
}

// Get returns a Buffer of at least n bytes (SmallBuffer or LargeBuffer; more is the caller's mistake) with one holder.
func (p *Pool) Get(n int) *Buffer {
	free, size := &p.small, SmallBuffer
	if n > SmallBuffer {
		free, size = &p.large, LargeBuffer
	}
	if n > size {
		panic("loop: no buffer is that large")
	}
	var b *Buffer
	if last := len(*free) - 1; last >= 0 {
		b, (*free)[last] = (*free)[last], nil
		*free = (*free)[:last]
	} else {
		b = &Buffer{Bytes: make([]byte, size), pool: p}
	}
	b.holders = 1
	p.out += size
	p.tell()
	return b
}

// Out is how many bytes of memory are handed out.
func (p *Pool) Out() int { return p.out }

func (p *Pool) put(b *Buffer) {
	if b.pages != nil {
		p.putPages(b)
		return
	}
	p.out -= len(b.Bytes)
	p.tell()
	free := &p.small
	if len(b.Bytes) > SmallBuffer {
		free = &p.large
	}
	if len(*free) < keepFree {
		*free = append(*free, b)
	}
}

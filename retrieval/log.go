// Package retrieval keeps what was sent until it is certain that it need never be sent again, so that it can be retrieved and sent
// to another pool element (draft-conrad-rserpool-service-00 §6.1.1, second requirement).
//
// A Log keeps bytes: a stream in blocks of pooled memory, from an offset that only a release moves to an offset that only an append
// moves. A Store adds messages: where each begins and ends, what is known of it, and which of them were never sent or
// never released.
//
// Only a release frees memory. How many bytes may be held is the owner's rule, asked before it reads more: full means wait.
package retrieval

import (
	"sort"

	"github.com/poolproxy/poolproxy/loop"
)

// Log is the retained part of a byte stream. Positions are offsets from the stream's beginning. The zero value is an empty log
// at offset 0. It belongs to one loop's goroutine.
type Log struct {
	blocks []block
	start  int64
	end    int64
}

// block is a run of bytes in one Buffer.
type block struct {
	buffer *loop.Buffer
	at     int64 // offset in the stream of the first byte
	from   int   // the first byte's place in the buffer
	to     int   // behind the last one's
}

func (b *block) end() int64 { return b.at + int64(b.to-b.from) }

// full reports whether nothing can be copied behind the block's bytes.
func (b *block) full() bool { return b.buffer.Piped() || b.to == len(b.buffer.Bytes) }

// growAt is how much a log holds before it takes large blocks for what is appended.
const growAt = 4 * loop.SmallBuffer

// adoptAt is how full a large buffer must be to be kept as it is: emptier ones would retain more memory than they hold.
const adoptAt = loop.LargeBuffer / 2

// Start is the offset of the first byte held, End that behind the last one.
func (l *Log) Start() int64 { return l.start }
func (l *Log) End() int64   { return l.end }

// Len is how many bytes are held.
func (l *Log) Len() int { return int(l.end - l.start) }

// Append copies p to the end of the log.
func (l *Log) Append(pool *loop.Pool, p []byte) {
	for len(p) > 0 {
		last := len(l.blocks) - 1
		if last < 0 || l.blocks[last].full() {
			size := min(len(p), loop.LargeBuffer)
			if l.Len() >= growAt {
				size = loop.LargeBuffer
			}
			l.blocks = append(l.blocks, block{buffer: pool.Get(size), at: l.end})
			last++
		}
		b := &l.blocks[last]
		n := copy(b.buffer.Bytes[b.to:], p)
		b.to += n
		l.end += int64(n)
		p = p[n:]
	}
}

// Take appends the first n bytes of buffer. It either copies them and reports false, or keeps the buffer itself, takes over the
// caller's hold on it, and reports true: then the caller needs another one.
func (l *Log) Take(pool *loop.Pool, buffer *loop.Buffer, n int) (kept bool) {
	if n < adoptAt {
		l.Append(pool, buffer.Bytes[:n])
		return false
	}
	// The buffer's tail is not used: somebody may still be told that the log's last block is full.
	l.blocks = append(l.blocks, block{buffer: buffer, at: l.end, to: n})
	l.end += int64(n)
	return true
}

// At returns the bytes from offset at on that lie in one piece, at most limit of them, and the Buffer that they lie in, for those who
// want to Hold it. The bytes do not change while they are held, by the log or anybody; of what came as pages that is true from the first
// At on (until then it is only as true as the sender's kernel makes it; see docs/replay.md, limits). Offsets outside [Start, End) are
// the caller's mistake and panic.
func (l *Log) At(at int64, limit int) ([]byte, *loop.Buffer) {
	b := l.block(at)
	b.buffer.Load()
	from := b.from + int(at-b.at)
	return b.buffer.Bytes[from:min(b.to, from+limit)], b.buffer
}

// block is the one that holds the byte at an offset.
func (l *Log) block(at int64) *block {
	if at < l.start || at >= l.end {
		panic("retrieval: offset outside the log")
	}
	i := 0
	if at >= l.blocks[0].end() {
		i = sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].end() > at })
	}
	return &l.blocks[i]
}

// Copy appends the bytes [from, to) to p.
func (l *Log) Copy(p []byte, from, to int64) []byte {
	for from < to {
		piece, _ := l.At(from, int(to-from))
		p = append(p, piece...)
		from += int64(len(piece))
	}
	return p
}

// Release lets go of everything before offset to. It never goes back; beyond End it is the caller's mistake and panics.
func (l *Log) Release(to int64) {
	if to > l.end {
		panic("retrieval: release beyond the end of the log")
	}
	if to <= l.start {
		return
	}
	l.start = to
	gone := 0
	for gone < len(l.blocks) && l.blocks[gone].end() <= to {
		l.blocks[gone].buffer.Drop()
		gone++
	}
	if gone == len(l.blocks) {
		clear(l.blocks)
		l.blocks = l.blocks[:0]
		return
	}
	if gone > 0 {
		n := copy(l.blocks, l.blocks[gone:])
		clear(l.blocks[n:])
		l.blocks = l.blocks[:n]
	}
}

// Clear releases all.
func (l *Log) Clear() { l.Release(l.end) }

package retrieval

import "github.com/poolproxy/poolproxy/loop"

// TakePages appends what a piped buffer holds, and takes over the caller's hold on it.
func (l *Log) TakePages(buffer *loop.Buffer) {
	from, to := buffer.Extent()
	l.blocks = append(l.blocks, block{buffer: buffer, at: l.end, from: from, to: to})
	l.end += int64(to - from)
}

// Pages returns the piped buffer that holds the bytes from offset at on and no others, and how many they are; nil if there is no
// such, or it holds more than limit. At, which is for all cases, would copy its bytes to memory. Offsets as for At.
func (l *Log) Pages(at int64, limit int) (*loop.Buffer, int) {
	b := l.block(at)
	if !b.buffer.Piped() {
		return nil, 0
	}
	from, to := b.buffer.Extent()
	if b.from+int(at-b.at) != from || b.to != to || to-from > limit {
		return nil, 0
	}
	return b.buffer, to - from
}

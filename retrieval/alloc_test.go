package retrieval

import (
	"testing"

	"github.com/poolproxy/poolproxy/loop"
)

// A message that comes, is sent and is released costs one allocation, that of what is known of it; its bytes cost none.
func TestAllocations(t *testing.T) {
	pool := new(loop.Pool)
	var s Store[int]
	var scratch *loop.Buffer
	sent := int64(0)
	round := func() {
		if scratch == nil {
			scratch = pool.Get(loop.LargeBuffer)
		}
		if s.Take(pool, scratch, 128) {
			scratch = nil
		}
		s.Mark(128, 1, true)
		for sent < s.End() {
			piece, _ := s.At(sent, 1<<10)
			sent += int64(len(piece))
		}
		s.First().Released = true
		s.Release(s.Trim())
	}
	for range 1000 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 1 {
		t.Errorf("%v allocations a message", n)
	}
	if s.Len() != 0 || s.Messages() != 0 {
		t.Errorf("%d bytes and %d messages are left", s.Len(), s.Messages())
	}
}

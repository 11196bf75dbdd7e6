package main

import (
	"bytes"
	"fmt"
)

// patternPeriod is a prime, so that a piece that is lost, doubled or moved by any usual block size does not match.
const patternPeriod = 65521

// bulkChunk is the most that bulk transfers read or write at once, in bytes.
const bulkChunk = 256 << 10

// pattern is what bulk transfers carry: noise that repeats after patternPeriod bytes. Each connection begins at a place of its own,
// so bytes of two connections cannot be taken for each other. No byte ends a line: where lines are what is carried, a download is one.
var pattern = makePattern()

func makePattern() []byte {
	p := make([]byte, patternPeriod+bulkChunk)
	x := uint64(0x9e3779b97f4a7c15)
	for i := range p[:patternPeriod] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if p[i] = byte(x >> 32); p[i] == '\n' {
			p[i] = 'n'
		}
	}
	for n := patternPeriod; n < len(p); {
		n += copy(p[n:], p[:patternPeriod])
	}
	return p
}

// patternAt is up to max bytes (at most bulkChunk) of the endless pattern from position pos on. The slice is only for reading.
func patternAt(pos int64, max int) []byte {
	from := int(pos % patternPeriod)
	return pattern[from : from+min(max, bulkChunk)]
}

// patternOffset is where the pattern of connection number i begins.
func patternOffset(i int) int64 { return int64(i) * 7919 }

// checkPattern reports bytes that are not the pattern at position pos.
func checkPattern(got []byte, pos int64) error {
	for len(got) > 0 {
		want := patternAt(pos, len(got))
		if !bytes.Equal(got[:len(want)], want) {
			return fmt.Errorf("wrong bytes in the %d at pattern position %d", len(want), pos)
		}
		got = got[len(want):]
		pos += int64(len(want))
	}
	return nil
}

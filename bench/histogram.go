package main

import (
	"math/bits"
	"time"
)

// subBuckets is how many buckets divide each power of two: a latency is known to within 1/128 of itself.
const subBuckets = 64

// histogram counts latencies without keeping them. The zero value is ready; it never allocates.
type histogram struct {
	counts [(64 - 6) * subBuckets]uint64
	total  uint64
}

// add counts one latency; a negative one (a clock oddity) counts as zero.
func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

// quantile is the latency that the share q (0 to 1) of all does not exceed, as the middle of its bucket; 0 if there is none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return bucketMiddle(i)
		}
	}
	return 0
}

// bucketOf maps values below 128 to themselves and every later power of two to subBuckets buckets of equal width.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-7, 0)
	return shift*subBuckets + int(v>>shift)
}

func bucketMiddle(i int) time.Duration {
	if i < 2*subBuckets {
		return time.Duration(i)
	}
	shift := i/subBuckets - 1
	low := uint64(i-shift*subBuckets) << shift
	return time.Duration(low + 1<<shift/2)
}

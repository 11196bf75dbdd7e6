package workload

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// Histogram counts durations, to within 1/16 of each. The zero value is empty. Not for concurrent use.
type Histogram struct {
	counts map[uint16]int64
	longest,
	total time.Duration
	n int64
}

// bucket of a duration: its highest bit and the four behind it.
func bucket(d time.Duration) uint16 {
	v := uint64(max(d, 0))
	if v < 16 {
		return uint16(v)
	}
	high := bits.Len64(v) - 5
	return uint16(high<<4) + uint16(v>>high)
}

// upper is the longest duration in a bucket.
func upper(b uint16) time.Duration {
	if b < 32 {
		return time.Duration(b)
	}
	high := b>>4 - 1
	return time.Duration((uint64(b&15|16)+1)<<high - 1)
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) {
	if h.counts == nil {
		h.counts = make(map[uint16]int64)
	}
	h.counts[bucket(d)]++
	h.n++
	h.total += d
	h.longest = max(h.longest, d)
}

// Merge adds all that o has counted.
func (h *Histogram) Merge(o *Histogram) {
	if h.counts == nil {
		h.counts = make(map[uint16]int64)
	}
	for b, n := range o.counts {
		h.counts[b] += n
	}
	h.n += o.n
	h.total += o.total
	h.longest = max(h.longest, o.longest)
}

// Count is how many were added.
func (h *Histogram) Count() int64 { return h.n }

// Max is the longest.
func (h *Histogram) Max() time.Duration { return h.longest }

// Quantile is the duration that a share q of all (0 to 1) do not exceed; 0 of none.
func (h *Histogram) Quantile(q float64) time.Duration {
	left := int64(q * float64(h.n))
	for _, b := range slices.Sorted(maps.Keys(h.counts)) {
		if left -= h.counts[b]; left < 0 {
			return min(upper(b), h.longest)
		}
	}
	return h.longest
}

// String is p50, p99 and the longest.
func (h *Histogram) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v", round(h.Quantile(0.5)), round(h.Quantile(0.99)), round(h.longest))
}

// round leaves three or four digits.
func round(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(10 * time.Millisecond)
	case d > 10*time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// histogramJSON is a Histogram as others read it: the quantiles are for them, the counts (by bucket) for UnmarshalJSON.
type histogramJSON struct {
	Count   int64            `json:"count"`
	P50     time.Duration    `json:"p50"`
	P99     time.Duration    `json:"p99"`
	Max     time.Duration    `json:"max"`
	Total   time.Duration    `json:"total"`
	Buckets map[uint16]int64 `json:"buckets"`
}

// MarshalJSON writes durations in nanoseconds.
func (h Histogram) MarshalJSON() ([]byte, error) {
	return json.Marshal(histogramJSON{h.n, h.Quantile(0.5), h.Quantile(0.99), h.longest, h.total, h.counts})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var j histogramJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*h = Histogram{counts: j.Buckets, n: j.Count, longest: j.Max, total: j.Total}
	return nil
}

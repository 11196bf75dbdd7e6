package main

import (
	"math"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		values []float64
		want   spread
	}{
		{"odd", []float64{3, 1, 2}, spread{median: 2, low: 1, high: 3, n: 3}},
		{"even", []float64{4, 1, 2, 3}, spread{median: 2.5, low: 1, high: 4, n: 4}},
		{"one", []float64{7}, spread{median: 7, low: 7, high: 7, n: 1}},
		{"missing", []float64{nan, 5, nan, 1, 3}, spread{median: 3, low: 1, high: 5, n: 3}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%s: spreadOf(%v) = %+v, want %+v", c.name, c.values, got, c.want)
		}
	}
	if got := spreadOf([]float64{nan}); got.n != 0 || !math.IsNaN(got.median) {
		t.Errorf("spreadOf of nothing = %+v, want NaN and no rounds", got)
	}
}

func TestSpreadLeavesItsInputAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	spreadOf(values)
	if values[0] != 3 || values[1] != 1 {
		t.Errorf("the rounds were reordered: %v", values)
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	nan := math.NaN()
	got := ratios([]float64{2, 9, nan, 8, 5}, []float64{1, 3, 2, nan, 0})
	if got[0] != 2 || got[1] != 3 {
		t.Errorf("ratios = %v, want 2 and 3 first", got)
	}
	for i, r := range got[2:] {
		if !math.IsNaN(r) {
			t.Errorf("round %d: ratio %v of what is missing or not positive", i+2, r)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	for i := 1; i <= 100000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond} {
		got := h.quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > 1.0/64 {
			t.Errorf("quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if got := new(histogram).quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestHistogramBuckets(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 1 << 20, 1<<20 + 12345, math.MaxInt64} {
		middle := bucketMiddle(bucketOf(v))
		if off := math.Abs(float64(middle) - float64(v)); off > float64(v)/64 {
			t.Errorf("%d is remembered as %d", v, middle)
		}
	}
	var h histogram
	h.add(-5)
	if h.counts[0] != 1 {
		t.Error("a negative latency is not counted as zero")
	}
}

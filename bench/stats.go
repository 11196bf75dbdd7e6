package main

import (
	"math"
	"slices"
)

// spread is what the rounds of one figure come to. Rounds without a value are NaN in, and left out.
type spread struct {
	median, low, high float64
	n                 int // rounds that have a value; when 0 the rest is NaN
}

// spreadOf sorts a copy; of an even number the median is the mean of the middle two.
func spreadOf(values []float64) spread {
	var known []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		nan := math.NaN()
		return spread{median: nan, low: nan, high: nan}
	}
	slices.Sort(known)
	n := len(known)
	return spread{median: (known[(n-1)/2] + known[n/2]) / 2, low: known[0], high: known[n-1], n: n}
}

// ratios divides round by round: only what was measured side by side is compared. Where either is missing, or the base is
// not positive, the round has no ratio (NaN).
func ratios(values, base []float64) []float64 {
	out := make([]float64, len(values))
	for i := range values {
		out[i] = math.NaN()
		if i < len(base) && base[i] > 0 {
			out[i] = values[i] / base[i]
		}
	}
	return out
}

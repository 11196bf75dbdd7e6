package heartbeat

import "time"

// The constants of RFC 6298 §2: alpha = 1/8, beta = 1/4, K = 4; the clock granularity G is ours.
const (
	alphaShift  = 3
	betaShift   = 2
	factor      = 4
	granularity = time.Millisecond
	maxTimeout  = 60 * time.Second // §2.5 allows a ceiling of at least 60 s
)

// estimate smooths round-trip times by RFC 6298 §2.
type estimate struct {
	known               bool
	smoothed, variation time.Duration
}

// add takes a measured round-trip time. A negative one, from a clock that was set back, counts as zero.
func (e *estimate) add(r time.Duration) {
	r = max(r, 0)
	if !e.known { // §2.2
		e.known, e.smoothed, e.variation = true, r, r/2
		return
	}
	// §2.3; the variation first, it uses the old smoothed value.
	e.variation += ((e.smoothed - r).Abs() - e.variation) >> betaShift
	e.smoothed += (r - e.smoothed) >> alphaShift
}

// timeout is RTO. The RFC's rounding up to one second (§2.4) is left out: it protects the network from needless
// retransmission, and nothing is retransmitted here; the number is for people and for comparing paths.
func (e *estimate) timeout() time.Duration {
	return min(e.smoothed+max(granularity, factor*e.variation), maxTimeout)
}

package admin

import (
	"strings"
	"testing"

	"github.com/poolproxy/poolproxy/pool"
)

// A registration may say what its policy looks at, and nothing else: under priority a weight, too, by which equals take turns.
func TestRegistrationValues(t *testing.T) {
	three := uint32(3)
	for _, p := range pool.Standard() {
		r := Registration{Address: "10.0.0.1:1", Weight: &three}
		for _, value := range p.Needs() {
			switch value {
			case "load":
				r.Load = &three
			case "degradation":
				r.Degradation = &three
			}
		}
		e, err := r.made(p)
		switch p {
		case pool.Priority, pool.WeightedRoundRobin, pool.WeightedRandom:
			if err != nil || e.Weight != 3 {
				t.Errorf("%v: weight %d, %v", p, e.Weight, err)
			}
		default:
			if err == nil || !strings.Contains(err.Error(), "weight has no effect") {
				t.Errorf("%v: %v", p, err)
			}
		}
	}
}

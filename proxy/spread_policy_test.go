package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// Pools whose policy draws are seeded, each with a seed of its own: two processes do not choose alike. The others take nothing of what
// is random, so that a simulation goes on as it did.
func TestPoolsAreSeeded(t *testing.T) {
	var elements []pool.Element
	for i := range 9 {
		elements = append(elements, pool.Element{Name: fmt.Sprint(i), Weight: 1})
	}
	for _, policy := range pool.Standard() {
		c := Config{Pools: []Pool{{Handle: "p", Policy: policy, Elements: elements}}}
		taken := 0
		choices := func(first byte) (names string) {
			l, err := newSpread(c, nil, func(b []byte) { b[0] = first; taken += len(b) }).layout(nil, c)
			if err != nil {
				t.Fatal(err)
			}
			for range 50 {
				e, _, _ := l.pools["p"].pool.Choose(time.Time{})
				names += e.Name
			}
			return names
		}
		if a, b := choices(1), choices(2); (a != b) != policy.Draws() || (taken > 0) != policy.Draws() {
			t.Errorf("%v, %d random bytes:\n%s\n%s", policy, taken, a, b)
		}
	}
}

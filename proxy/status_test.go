//go:build linux

package proxy

import (
	"testing"
)

// A status has all sessions, however many shards and slices they are asked in, each at the element that serves it; one that ends meanwhile is left out.
func TestStatusInSlices(t *testing.T) {
	x := newMeasured(t, 1, nil, nil)
	const n = 12
	x.clients(n)
	st := x.user.Status()
	served := 0
	for _, p := range st.Pools {
		for _, e := range p.Elements {
			served += e.Sessions
		}
	}
	if len(st.Sessions) != n || served != n {
		t.Errorf("%d sessions, %d served", len(st.Sessions), served)
	}
	r := x.user.runners[0]
	r.do(func() {
		gone := []sessionAt{{0, 1 << 60}}
		for range someEach + 5 {
			gone = append(gone, gone[0])
		}
		var to Status
		left := r.shard.someSessions(&to, gone)
		if len(left) != 6 || len(to.Sessions) != 0 {
			t.Errorf("%d left, %d sessions", len(left), len(to.Sessions))
		}
		if left = r.shard.someSessions(&to, left); len(left) != 0 {
			t.Errorf("%d left", len(left))
		}
	})
}

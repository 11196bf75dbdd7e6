package proxy

import "testing"

// The shards of a pool_element ask at the same time whether it is full, and connect afterwards: who is told that it is not has its place, so that
// max_sessions holds. A leg that is thawed asks nobody, and counts.
func TestFullOfShards(t *testing.T) {
	counts, block := new(elementCounts), &elementBlock{config: Element{MaxSessions: 2}}
	common := new(spread)
	var sides []*elementSide
	for i := range 3 {
		sides = append(sides, &elementSide{shard: &Shard{index: i, common: common}, block: block, counts: counts})
	}
	for i, e := range sides {
		if full := e.full(); full != (i == 2) {
			t.Fatalf("shard %d: full: %v", i, full)
		}
	}
	for _, e := range sides[:2] {
		e.newSocket(nil, nil)
	}
	if n := counts.legs.Load(); n != 2 {
		t.Errorf("2 legs are counted as %d", n)
	}
	sides[2].newSocket(nil, nil) // thawed
	if n := counts.legs.Load(); n != 3 {
		t.Errorf("3 legs are counted as %d", n)
	}
}

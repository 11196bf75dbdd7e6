package proxy

import (
	"testing"

	"github.com/poolproxy/poolproxy/loop"
)

// reserving is a listener that notes whether it was given a part of the reserve.
type reserving struct {
	loop.Listener
	uses, told bool
}

func (r *reserving) UseReserve(use bool) { r.uses, r.told = use, true }

// Associations are accepted from the descriptors that are kept back, clients are not; whoever stood behind an entrance before.
func TestReserveOfEntrances(t *testing.T) {
	x := newSharded(t, 1, nil)
	for p, want := range map[*Proxy]bool{x.user: false, x.elements[0]: true} {
		first := p.runners[0]
		first.do(func() {
			for _, d := range first.shard.entrances {
				if _, is := d.listener.(loop.Reserved); !is {
					t.Errorf("a %T has no reserve", d.listener)
					return
				}
				was := &reserving{Listener: d.listener, uses: !want}
				d.listener = was
				(&shift{shard: first.shard, next: first.shard.layout}).commitEntrances()
				if d.listener = was.Listener; !was.told || was.uses != want {
					t.Errorf("%v: told %v, uses the reserve: %v", d.key.owner, was.told, was.uses)
				}
			}
		})
	}
}

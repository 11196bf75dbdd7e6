//go:build linux

package proxy

import (
	"errors"
	"testing"
	"time"
)

// Bulk that is moved as pages goes through whatever is done to its association meanwhile, every byte once and in order: both ways, at either side.
func TestChaosBulk(t *testing.T) {
	for _, side := range []string{sideUser, sideElement} {
		t.Run(side, func(t *testing.T) {
			r := newBulkRig(t, 256)
			p, name := r.user, "u"
			if side == sideElement {
				p, name = r.element, "e"
			}
			client, server := r.dial()
			up, down := newFlow(64<<20, 1), newFlow(64<<20, 2)
			up.run(client, server)
			down.run(server, client)
			kinds := []string{ChaosStall, ChaosDelay, ChaosReset, ChaosCut}
			for i := range 40 {
				at := up.got.Load() + down.got.Load()
				r.eventually("more of the bulk", func() bool { return up.got.Load()+down.got.Load() >= min(at+1<<20, 2*64<<20) })
				a := Attack{Kind: kinds[i%len(kinds)], Side: side, Name: name, For: 20 * time.Millisecond, Delay: 2 * time.Millisecond}
				if _, err := p.Disturb(a); err != nil && !errors.Is(err, ErrChaosNothing) {
					t.Fatal(err)
				}
			}
			up.wait(t)
			down.wait(t)
			_, all := pages(p)
			if s := p.Chaos(); s.Done < 3 || all == 0 {
				t.Errorf("%+v, %d pages", s, all)
			}
			t.Logf("%d disturbances, %d pages", p.Chaos().Done, all)
		})
	}
}

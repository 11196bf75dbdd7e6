package proxy

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/poolproxy/poolproxy/loop"
	"github.com/poolproxy/poolproxy/mapping"
	"github.com/poolproxy/poolproxy/pool"
)

// directSides are the element sides of a pool_user whose elements have no sidecars: they run in this process, beside the pool user's
// rules. Those of elements that a source has named are made when the first association with them is begun. It belongs to the shard's
// goroutine.
type directSides struct {
	user   *userSide
	direct *mapping.Direct
	native *native // nil: the servers speak TCP
	sides  map[netip.AddrPort]*elementSide
}

func newDirectSides(u *userSide, n *native) *directSides {
	return &directSides{user: u, direct: mapping.NewDirect(), native: n, sides: make(map[netip.AddrPort]*elementSide)}
}

// add makes the side of one element.
func (d *directSides) add(e pool.Element) error {
	side, err := newDirectSide(d.user, d.direct, e, d.native)
	if err == nil {
		d.sides[e.Address] = side
	}
	return err
}

// Dial begins an association with the side of the element at the address (mapping.Dialer).
func (d *directSides) Dial(l loop.Loop, to netip.AddrPort, c mapping.Config, h mapping.Handler) mapping.Association {
	if d.sides[to] == nil {
		if e, ok := d.user.block.pool.pool.ElementAt(to); ok {
			_ = d.add(e) // if it cannot be, the association is refused
		}
	}
	return d.direct.Dial(l, to, c, h)
}

// updated ends the sides of elements that are gone, if no association leads there any more; left reports that one still does.
func (d *directSides) updated() (left bool) {
	if d == nil {
		return false
	}
	known := make(map[netip.AddrPort]bool)
	for _, e := range d.user.block.pool.pool.States() {
		known[e.Address] = true
	}
	for _, side := range d.all() {
		if known[side.server] {
			continue
		}
		used := false
		side.rules.Links(func(mapping.Association, bool, int) { used = true })
		if live, held := side.rules.Legs(); used || live+held > 0 {
			left = true
			continue
		}
		side.close()
		delete(d.sides, side.server)
	}
	return left
}

// all lists the sides, always in the same order.
func (d *directSides) all() (sides []*elementSide) {
	if d == nil {
		return nil
	}
	for _, at := range slices.SortedFunc(maps.Keys(d.sides), netip.AddrPort.Compare) {
		sides = append(sides, d.sides[at])
	}
	return sides
}

func (d *directSides) close() {
	for _, e := range d.all() {
		e.close()
	}
}

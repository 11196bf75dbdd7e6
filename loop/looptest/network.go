package looptest

import (
	"time"

	"github.com/poolproxy/poolproxy/loop"
)

// path is one direction between two hosts.
type path struct {
	min, max time.Duration // how long a packet is under way
	stalled  bool
	lost     []*pipe // one for each packet lost on the stalled path, in order
}

func (w *World) path(from, to *Host) *path {
	for len(from.paths) <= to.id {
		from.paths = append(from.paths, nil)
	}
	if from.paths[to.id] == nil {
		from.paths[to.id] = &path{min: defaultMinDelay, max: defaultMaxDelay}
	}
	return from.paths[to.id]
}

// Delay sets how long each packet between the hosts is under way: drawn from the seed, between min and max. The order within a
// connection is kept.
func (w *World) Delay(a, b *Host, min, max time.Duration) {
	for _, p := range []*path{w.path(a, b), w.path(b, a)} {
		p.min, p.max = min, max
	}
}

// delay draws how long the next packet is under way.
func (w *World) delay(from, to *Host) int64 {
	p := w.path(from, to)
	if p.max <= p.min {
		return int64(p.min)
	}
	return int64(p.min) + w.rand.Int64N(int64(p.max-p.min)+1)
}

// Stall loses all packets between the hosts, in both directions, until Heal. Attempts to connect wait. After Heal what was lost
// is sent again, in order, as TCP does; but nobody repeats an RST, nor the bytes of an end that has reset: the other end learns
// of that only if it has bytes or a FIN unacknowledged, or when it next sends something.
func (w *World) Stall(a, b *Host) {
	w.StallOneWay(a, b)
	w.StallOneWay(b, a)
}

// StallOneWay is Stall for one direction.
func (w *World) StallOneWay(from, to *Host) {
	w.tracef("stalled: %s to %s", from.name, to.name)
	w.path(from, to).stalled = true
}

// Heal ends Stall and StallOneWay between the hosts.
func (w *World) Heal(a, b *Host) {
	w.tracef("healed: %s and %s", a.name, b.name)
	for _, p := range []*path{w.path(a, b), w.path(b, a)} {
		lost := p.lost
		p.stalled, p.lost = false, nil
		for _, p := range lost {
			p.resend()
		}
	}
	a.probe(b)
	b.probe(a)
}

// Cut resets every connection between the hosts, at both ends, now. What is in flight is dropped; what has arrived can still be read.
func (w *World) Cut(a, b *Host) {
	w.tracef("cut: %s and %s", a.name, b.name)
	for _, c := range w.between(a, b) {
		w.cut(c)
	}
}

// CutOne is Cut for one of the connections, chosen by n: as when something on the way forgets it.
func (w *World) CutOne(a, b *Host, n int) {
	if all := w.between(a, b); len(all) > 0 {
		w.tracef("cut one: %s and %s", a.name, b.name)
		w.cut(all[n%len(all)])
	}
}

// between lists the ends of the connections between the hosts, those at a first.
func (w *World) between(a, b *Host) (ends []*conn) {
	for _, c := range append(a.known(), b.known()...) {
		if here, there := c.host, c.peer.host; !c.gone && (here == a && there == b || here == b && there == a) {
			ends = append(ends, c)
		}
	}
	return ends
}

func (w *World) cut(c *conn) {
	if c.gone { // its other end came first
		return
	}
	c.in.cut, c.out.cut = true, true
	c.fail(c.failure("cut", loop.ErrReset))
	if !c.peer.gone {
		c.peer.fail(c.peer.failure("cut", loop.ErrReset))
	}
}

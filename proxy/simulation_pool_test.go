package proxy

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/poolproxy/poolproxy/pool"
)

// source says meanwhile what elements there are, in half of the schedules: some are left out for a while, names go to other addresses, policy
// values change. Nothing of this may be noticed by a session. It has chance of its own, so that the other half is what it would be
// without.
type source struct {
	m     *simulation
	rand  *rand.Rand
	names []int // by the index of the element
	out   []int // how often it is left out
}

func (m *simulation) planSource() {
	s := &source{m: m, rand: rand.New(rand.NewPCG(m.seed, 0x5001)), out: make([]int, len(m.elements))}
	for i := range m.elements {
		s.names = append(s.names, i)
	}
	m.source = s
	if s.rand.IntN(2) == 0 || m.drains.alone {
		return
	}
	for range 1 + s.rand.IntN(12) {
		m.world.After(time.Duration(s.rand.Int64N(int64(faultTime*3/4))), s.change)
	}
	m.world.After(faultTime+time.Second, func() { // all are there again, where they were
		for i := range s.names {
			s.names[i] = i
		}
		s.tell()
	})
}

func (s *source) change() {
	switch e := s.rand.IntN(len(s.names)); s.rand.IntN(3) {
	case 0:
		s.out[e]++
		s.m.world.After(time.Duration(s.rand.Int64N(int64(time.Second))), func() { s.out[e]--; s.tell() })
	case 1:
		s.rand.Shuffle(len(s.names), func(i, j int) { s.names[i], s.names[j] = s.names[j], s.names[i] })
	}
	s.tell()
}

func (s *source) tell() {
	var elements []pool.Element
	for i, e := range s.m.elements {
		if s.out[i] == 0 {
			elements = append(elements, pool.Element{Name: elementName(s.names[i]), Address: s.m.addressOf(e), Priority: s.rand.Uint32N(3)})
		}
	}
	slices.SortFunc(elements, func(a, b pool.Element) int { return a.Address.Compare(b.Address) })
	s.m.tracef("the source tells %v", elements)
	news := pool.News{Elements: elements}
	s.m.user.Post(func() {
		shard := s.m.userShard
		for _, e := range elements {
			s.m.named[e.Name] = e.Address
		}
		shard.layout.pools["pool"].pool.Learn(shard.loop.Now(), news)
		shard.updated(shard.layout.pools["pool"].pool)
	})
}

// checkLeft: nothing is looked for any more, and nothing leads to who is not there.
func (m *simulation) checkLeft() {
	for _, u := range m.userShard.users {
		if u.sweep.Armed() {
			m.violated("something still leads to elements that are gone")
		}
	}
}

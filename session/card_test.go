package session

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/asap"
)

// cardOf is a business card of the rig's pool with the stations in this order, and before them one that the pool does not have.
func cardOf(r *rig, handle string, order ...int) asap.BusinessCard {
	m := asap.BusinessCard{Handle: asap.PoolHandle(handle)}
	add := func(at netip.AddrPort) {
		m.Elements = append(m.Elements, asap.PoolElement{Life: asap.Infinite, Policy: asap.Policy{Kind: asap.RoundRobin},
			User: asap.Transport{Protocol: asap.TCP, Port: at.Port(), Addresses: []netip.Addr{at.Addr()}}})
	}
	add(netip.MustParseAddrPort("192.0.2.1:7001"))
	for _, i := range order {
		add(r.stations[i].at())
	}
	return m
}

// carded starts a station anew, with a card.
func (s *station) carded(first byte, m asap.BusinessCard) {
	s.host.Kill()
	s.host.Restart()
	s.card = &m
	s.start(first)
}

func (r *rig) orderOf(i int) []string { return r.pool.States()[i].Order }

// When an element fails its sessions go where its card says, whatever the policy and whoever else may be tried, and from there where
// that one's card says.
func TestBusinessCard(t *testing.T) {
	r := newRig(t, options{elements: 4, priority: true})
	r.stations[0].carded(0xa0, cardOf(r, "things", 3, 2))
	r.stations[3].carded(0xa3, cardOf(r, "things", 2))
	c := r.client()
	c.asks(1)
	if got := r.orderOf(0); !slices.Equal(got, []string{"element4", "element3"}) {
		t.Fatalf("the order is %v", got)
	}
	for _, want := range []int{3, 2, 1} { // the last one has no card, and the policy names the second
		from := r.carrying(c)
		from.die(true)
		c.asks(1)
		if got := r.carrying(c); got != r.stations[want] {
			t.Errorf("from %s it went to %s", from.name, got.name)
		}
		r.w.RunFor(time.Second)
	}
	if !r.logged("user i business card", "element1", "[element4 element3]", "unknown 1") {
		t.Error("it is not logged")
	}
	r.only(KindMoved)
	r.close()
}

// A partner that is dead, too, is passed over.
func TestBusinessCardOfTheDead(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true})
	r.stations[0].carded(0xa0, cardOf(r, "things", 2))
	c := r.client()
	c.asks(1)
	r.stations[2].gone = true
	r.stations[0].die(true)
	c.asks(1)
	if got := r.carrying(c); got != r.stations[1] {
		t.Errorf("it went to %s", got.name)
	}
	r.close()
}

// A card of another pool counts for nothing, and neither does one of an incarnation that is gone.
func TestBusinessCardsThatDoNotCount(t *testing.T) {
	r := newRig(t, options{elements: 3, priority: true})
	r.stations[0].carded(0xa0, cardOf(r, "thongs", 2))
	c := r.client()
	c.asks(1)
	if got := r.orderOf(0); got != nil || !r.logged("user w business card ignored", "element1", "thongs") {
		t.Errorf("a card of another pool: %v", got)
	}
	r.stations[0].carded(0xa1, cardOf(r, "things", 2))
	c.asks(1)
	r.until("the card has come", func() bool { return len(r.orderOf(0)) == 1 })
	r.stations[0].host.Kill()
	r.stations[0].host.Restart()
	r.stations[0].card = nil
	r.stations[0].start(0xa2)
	r.until("the next incarnation has shown up", func() bool { return r.orderOf(0) == nil })
	r.close()
}

// Several associations with an element bring its card several times.
func TestBusinessCardOverSeveralAssociations(t *testing.T) {
	r := newRig(t, options{elements: 2, spread: 3})
	for i := range r.stations {
		r.stations[i].carded(0xa0+byte(i), cardOf(r, "things", 1-i))
	}
	var clients []*end
	for range 12 {
		c := r.client()
		c.asks(1)
		clients = append(clients, c)
	}
	r.stations[0].die(false)
	for _, c := range clients {
		c.asks(1)
		if got := r.carrying(c); got != r.stations[1] {
			t.Errorf("it went to %s", got.name)
		}
	}
	r.close()
}

// A card names at most 16 elements: each costs all shards something.
func TestBusinessCardTooLong(t *testing.T) {
	for n, broken := range map[int]bool{maxOrder: false, maxOrder + 1: true} {
		r := newRig(t, options{elements: 2, priority: true})
		r.stations[0].carded(0xa0, cardOf(r, "things", slices.Repeat([]int{1}, n-1)...))
		c := r.client()
		c.asks(1)
		if got := r.orderOf(0); (got == nil) != broken || r.logged("broke the session protocol", "business card") != broken {
			t.Errorf("%d elements: the order is %v", n, got)
		}
		r.close()
	}
}

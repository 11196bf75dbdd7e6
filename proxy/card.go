package proxy

import (
	"net/netip"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// Card is a pool_element's business card: where pool users should carry its sessions to if it fails (RFC 5352 §3.9).
type Card struct {
	Pool  string           // the pool handle of the pool users that it is for
	Order []netip.AddrPort // of other pool elements, as they stand in the pool, the preferred first
}

// message is the card as it is told. Of elements only the addresses count there: a static pool has no identifiers, and its policy
// is the pool user's own.
func (c *Card) message(id mapping.ID) *asap.BusinessCard {
	if c == nil {
		return nil
	}
	m := &asap.BusinessCard{Handle: asap.PoolHandle(c.Pool)}
	for _, at := range c.Order {
		to := asap.Transport{Protocol: asap.TCP, Port: at.Port(), Addresses: []netip.Addr{at.Addr().Unmap().WithZone("")}}
		if id == mapping.SCTP {
			to.Protocol, to.Use = asap.SCTP, asap.DataPlusControl
		}
		m.Elements = append(m.Elements, asap.PoolElement{Life: asap.Infinite, User: to, Policy: asap.Policy{Kind: asap.RoundRobin}})
	}
	return m
}

func cardStatus(c *Card) *CardStatus {
	if c == nil {
		return nil
	}
	s := &CardStatus{Pool: c.Pool, Order: []string{}}
	for _, at := range c.Order {
		s.Order = append(s.Order, at.String())
	}
	return s
}

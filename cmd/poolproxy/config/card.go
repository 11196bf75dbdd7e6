package config

import (
	"fmt"
	"net/netip"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/proxy"
)

// mostOrder bounds the order of a business card.
const mostOrder = 16

// mostHandle bounds the name of a pool in a business card, in bytes.
const mostHandle = 255

// readCard reads a business_card: where the sessions of a pool_element should go if it fails.
func (r *reader) readCard(e *elementBlock, b *hclsyntax.Block) {
	e.Card = &proxy.Card{}
	r.block(b, &shape{
		what: "a business_card",
		attributes: map[string]setter{
			"pool":  r.str(&e.Card.Pool, mostHandle),
			"order": func(a *hclsyntax.Attribute) { r.readOrder(e, a) },
		},
		required: []string{"pool", "order"},
	})
}

// readOrder reads the addresses of other pool_elements, the preferred first.
func (r *reader) readOrder(e *elementBlock, a *hclsyntax.Attribute) {
	hint := `Write the addresses of the other pool_elements as they stand in the pool: order = ["10.0.0.2:7001", "10.0.0.3:7001"]. The preferred first.`
	items, ok := r.some(a, mostOrder, hint)
	if !ok {
		return
	}
	given := map[netip.AddrPort]bool{}
	for _, item := range items {
		text, ok := r.text(a.Name, item, hint)
		if !ok {
			return
		}
		var at netip.AddrPort
		r.parseAddress(&at, text, a.Name, item.Range(), hint, false)
		switch {
		case !at.IsValid(): // reported
		case given[at]:
			r.fail(item.Range(), fmt.Sprintf("%q has %s twice", a.Name, at), hint)
		default:
			given[at] = true
			e.Card.Order = append(e.Card.Order, at)
			e.cardAt = append(e.cardAt, item.Range())
		}
	}
}

// checkCard finds a card that would send sessions back to where they come from.
func (r *reader) checkCard(e *elementBlock) {
	if e.Card == nil {
		return
	}
	for i, at := range e.Card.Order {
		if at == e.Listen {
			r.fail(e.cardAt[i], fmt.Sprintf("pool_element %q names itself in its business_card", e.Name),
				"The order says where its sessions go when it has failed: leave it out there.")
		}
	}
}

package dns

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/pool"
)

// mostAliases bounds a chain of CNAME records.
const mostAliases = 8

// lookup is one look-up.
type lookup struct {
	ctx      context.Context
	c        *Config
	ttl      uint32 // the least of what has been used, in seconds
	elements map[netip.AddrPort]pool.Element
	hosts    map[string][]wire.RR // the addresses of those that were found, by their names in small letters
	put      asks                 // how one server is asked
	knows    netip.AddrPort       // the server that has answered last: it is asked first from then on. A dead one is waited for once
}

// look finds the elements that DNS has under the name.
func look(ctx context.Context, c *Config, name string) ([]pool.Element, time.Duration, error) {
	l := &lookup{ctx: ctx, c: c, put: askServer, ttl: math.MaxUint32, elements: make(map[netip.AddrPort]pool.Element), hosts: make(map[string][]wire.RR)}
	return l.look(name)
}

// look is look.
func (l *lookup) look(name string) ([]pool.Element, time.Duration, error) {
	c := l.c
	var err error
	if c.Port == 0 {
		err = l.services(name)
	} else {
		err = l.host(name, pool.Element{Weight: 1}, c.Port, nil)
	}
	if err == nil && len(l.elements) == 0 {
		err = fmt.Errorf("dns: %s: %w", name, ErrNone)
	}
	if l.ttl > math.MaxInt32 { // RFC 2181 §8; also where nobody has said how long it is true that there is nothing
		l.ttl = 0
	}
	ttl := time.Duration(l.ttl) * time.Second
	if err != nil {
		return nil, ttl, err
	}
	elements := make([]pool.Element, 0, len(l.elements))
	for _, e := range l.elements {
		elements = append(elements, e)
	}
	slices.SortFunc(elements, func(a, b pool.Element) int { return a.Address.Compare(b.Address) })
	return elements, ttl, nil
}

// services finds the elements by SRV records (RFC 2782).
func (l *lookup) services(name string) error {
	records, a, err := l.records(name, wire.TypeSRV)
	if err != nil {
		return err
	}
	if len(records) > MaxElements {
		return fmt.Errorf("dns: %s has %d SRV records, more than %d", name, len(records), MaxElements)
	}
	slices.SortStableFunc(records, func(a, b wire.RR) int { return int(a.(*wire.SRV).Priority) - int(b.(*wire.SRV).Priority) })
	for _, rr := range records {
		srv := rr.(*wire.SRV)
		if srv.Target == "." || srv.Port == 0 { // it says that there is no such service
			continue
		}
		e := pool.Element{Priority: math.MaxUint16 - uint32(srv.Priority), Weight: uint32(srv.Weight)}
		err := l.host(srv.Target, e, srv.Port, &a)
		if err != nil {
			return err
		}
	}
	return nil
}

// host adds the elements at a host's addresses. If along, the answer that named the host, has them all, nobody is asked; nor for a host
// that has been looked for already.
func (l *lookup) host(name string, like pool.Element, port uint16, along *answer) error {
	key := strings.ToLower(name)
	if found, ok := l.hosts[key]; ok {
		return l.add(found, like, port)
	}
	var found []wire.RR
	if along != nil && along.whole {
		found = owned(along.Extra, name, wire.TypeA, wire.TypeAAAA)
	}
	if len(found) == 0 {
		for _, kind := range []uint16{wire.TypeA, wire.TypeAAAA} { // both, or nothing: half of the elements would be taken for all
			records, _, err := l.records(name, kind)
			if err != nil {
				return err
			}
			found = append(found, records...)
		}
	}
	l.hosts[key] = found
	return l.add(found, like, port)
}

// add makes elements of A and AAAA records. The first that has an address is the one with the better priority.
func (l *lookup) add(records []wire.RR, like pool.Element, port uint16) error {
	for _, rr := range records {
		l.ttl = min(l.ttl, rr.Header().Ttl)
		ip, ok := address(rr)
		if !ok { // nobody can be reached there
			continue
		}
		at := netip.AddrPortFrom(ip, port)
		if _, known := l.elements[at]; known {
			continue
		}
		if len(l.elements) == MaxElements {
			return fmt.Errorf("dns: %s: there are more than %d addresses", rr.Header().Name, MaxElements)
		}
		like.Name, like.Address = at.String(), at
		l.elements[at] = like
	}
	return nil
}

// address is that of an A or AAAA record, if it can be one host's.
func address(rr wire.RR) (ip netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *wire.A:
		ip, ok = netip.AddrFromSlice(rr.A)
	case *wire.AAAA:
		ip, ok = netip.AddrFromSlice(rr.AAAA)
	}
	ip = ip.Unmap()
	return ip, ok && !ip.IsUnspecified() && !ip.IsMulticast()
}

// records asks for the records of a name, behind its aliases. That there are none is no error.
func (l *lookup) records(name string, kind uint16) (records []wire.RR, a answer, err error) {
	aliases := 0
	for {
		if a, err = l.ask(name, kind); err != nil {
			return nil, a, err
		}
		asked := name
		for {
			if records = owned(a.Answer, name, kind); len(records) > 0 {
				for _, rr := range records {
					l.ttl = min(l.ttl, rr.Header().Ttl)
				}
				return records, a, nil
			}
			to := owned(a.Answer, name, wire.TypeCNAME)
			if len(to) == 0 {
				break
			}
			if aliases++; aliases > mostAliases {
				return nil, a, errors.New("dns: " + name + ": the chain of aliases does not end")
			}
			l.ttl = min(l.ttl, to[0].Header().Ttl)
			name = to[0].(*wire.CNAME).Target
		}
		if name == asked || a.Rcode == wire.RcodeNameError || a.RecursionAvailable { // who recurses has told all that there is
			l.none(a)
			return nil, a, nil
		}
	}
}

// none notes how long it is true that there are no such records (RFC 2308 §5), if the server says so.
func (l *lookup) none(a answer) {
	for _, rr := range a.Ns {
		if soa, is := rr.(*wire.SOA); is {
			l.ttl = min(l.ttl, soa.Minttl, soa.Hdr.Ttl)
			return
		}
	}
}

// owned picks the records of a name, of one of the types and of the Internet.
func owned(records []wire.RR, name string, kinds ...uint16) (of []wire.RR) {
	for _, rr := range records {
		h := rr.Header()
		if h.Class == wire.ClassINET && slices.Contains(kinds, h.Rrtype) && strings.EqualFold(h.Name, name) {
			of = append(of, rr)
		}
	}
	return of
}

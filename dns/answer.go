package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/pool"
)

// zone is what the Answerer knows all of.
const zone = "pool."

// ServeDNS answers one question. What is no question the library has dropped or refused.
func (a *Answerer) ServeDNS(w wire.ResponseWriter, question *wire.Msg) {
	defer a.busy.Add(-1)
	if a.busy.Add(1) > mostAtOnce {
		return
	}
	size := wire.MinMsgSize
	if w.RemoteAddr().Network() == "tcp" {
		size = wire.MaxMsgSize
	} else if opt := question.IsEdns0(); opt != nil {
		size = min(max(int(opt.UDPSize()), size), payload)
	}
	r := a.answer(question, size, time.Now())
	r.Truncate(size)  // what is left out now is additional
	_ = w.WriteMsg(r) // who has asked does not hear us, and asks again
}

// answer makes the answer to a message with one question, which should not have more than size bytes.
func (a *Answerer) answer(question *wire.Msg, size int, now time.Time) *wire.Msg {
	r := new(wire.Msg)
	r.SetReply(question)
	r.Compress = true
	if opt := question.IsEdns0(); opt != nil {
		r.SetEdns0(payload, false)
		if opt.Version() != 0 {
			r.Rcode = wire.RcodeBadVers
			return r
		}
	}
	q := question.Question[0]
	name := strings.ToLower(q.Name)
	switch {
	case question.Opcode != wire.OpcodeQuery:
		r.Rcode = wire.RcodeNotImplemented
	case q.Qclass != wire.ClassINET || !wire.IsSubDomain(zone, name):
		r.Rcode = wire.RcodeRefused
	default:
		r.Authoritative = true
		a.inZone(r, size, now)
		if len(r.Answer) == 0 && !r.Truncated && (r.Rcode == wire.RcodeSuccess || r.Rcode == wire.RcodeNameError) {
			r.Ns = append(r.Ns, a.soa()) // for how long that is true
		}
	}
	return r
}

// inZone answers for a name of the zone.
func (a *Answerer) inZone(r *wire.Msg, size int, now time.Time) {
	q := r.Question[0]
	name := strings.ToLower(q.Name)
	if name == zone {
		if q.Qtype == wire.TypeSOA {
			r.Answer = append(r.Answer, a.soa())
		}
		return
	}
	handle := strings.TrimSuffix(name, "."+zone)
	if p := a.pool(handle); p != nil {
		a.inPool(r, p, size, now)
		return
	}
	label, handle, _ := strings.Cut(handle, ".")
	p := a.pool(handle)
	if p == nil {
		r.Rcode = wire.RcodeNameError
		return
	}
	found := false
	for _, e := range p.States() {
		if hostLabel(e.Address.Addr()) == label {
			found = true
			if record := a.address(q.Name, e.Address.Addr()); record.Header().Rrtype == q.Qtype {
				r.Answer = append(r.Answer, record)
				return
			}
		}
	}
	if !found {
		r.Rcode = wire.RcodeNameError
	}
}

// inPool answers for a pool. Of an empty one nothing is said: whoever is told that there is no address remembers it, who is told of a
// failure asks again.
func (a *Answerer) inPool(r *wire.Msg, p *pool.Pool, size int, now time.Time) {
	q := r.Question[0]
	p.Forgive(now) // nobody says how those do that are named here
	states := p.States()
	if len(states) == 0 {
		r.Rcode, r.Authoritative = wire.RcodeServerFailure, false
		return
	}
	switch q.Qtype {
	case wire.TypeA, wire.TypeAAAA:
		four := q.Qtype == wire.TypeA
		if e, ok := primary(p, states, now, func(s *pool.State) bool { return s.Address.Addr().Unmap().Is4() == four }); ok {
			r.Answer = append(r.Answer, a.address(q.Name, e.Address.Addr()))
		}
	case wire.TypeSRV:
		if a.services(r, q.Name, states, pool.Element{}); r.Len() > size {
			r.Truncated, r.Answer, r.Extra = true, nil, nil // it will be asked again over TCP: nobody is named yet, that would be two turns of the round
			return
		}
		r.Answer, r.Extra = nil, nil
		e, ok := primary(p, states, now, func(*pool.State) bool { return true })
		if !ok {
			return
		}
		slices.SortStableFunc(states, func(x, y pool.State) int { return cmp.Compare(rank(&x, e), rank(&y, e)) })
		a.services(r, q.Name, states, e)
	}
}

// rank is the SRV priority of an element: first the one that the policy has named, then those believed alive, then those that failed.
func rank(s *pool.State, named pool.Element) int {
	switch {
	case s.Name == named.Name:
		return 0
	case s.Failures == 0:
		return 1
	}
	return 2
}

// services adds the first SRV records, and the addresses of their targets.
func (a *Answerer) services(r *wire.Msg, name string, states []pool.State, named pool.Element) {
	seen := make(map[string]bool)
	for i := range states[:min(len(states), mostServices)] {
		s := &states[i]
		target := hostLabel(s.Address.Addr()) + "." + name
		r.Answer = append(r.Answer, &wire.SRV{Hdr: a.header(name, wire.TypeSRV), Priority: uint16(rank(s, named)), Weight: uint16(min(s.Weight, 65535)),
			Port: s.Address.Port(), Target: target})
		if !seen[target] {
			seen[target] = true
			r.Extra = append(r.Extra, a.address(target, s.Address.Addr()))
		}
	}
}

// primary is the element that the policy names, of those that fit. If none may be tried now, it is the one that has failed the least:
// who asks by DNS cannot be told to wait a moment.
func primary(p *pool.Pool, states []pool.State, now time.Time, fits func(*pool.State) bool) (pool.Element, bool) {
	fitting := make(map[string]bool)
	var least *pool.State
	for i := range states {
		if s := &states[i]; fits(s) {
			fitting[s.Name] = true
			if least == nil || s.Failures < least.Failures {
				least = s
			}
		}
	}
	if least == nil {
		return pool.Element{}, false
	}
	if c, ok := p.ChooseFor(now, pool.Wish{Not: func(name string) bool { return !fitting[name] }}); ok {
		return c.Element, true
	}
	return least.Element, true
}

// pool finds a pool by what stands before the zone: in DNS large letters are small ones.
func (a *Answerer) pool(handle string) *pool.Pool {
	pools := a.c.Pools()
	if p := pools[handle]; p != nil {
		return p
	}
	for h, p := range pools {
		if strings.EqualFold(h, handle) {
			return p
		}
	}
	return nil
}

// hostLabel is what an address is called below its pool: 10-0-0-1, 2001-db8--1.
func hostLabel(ip netip.Addr) string {
	label := strings.NewReplacer(".", "-", ":", "-").Replace(ip.Unmap().WithZone("").String())
	if strings.HasPrefix(label, "-") { // no label of a host begins or ends with one
		label = "0" + label
	}
	if strings.HasSuffix(label, "-") {
		label += "0"
	}
	return label
}

func (a *Answerer) header(name string, kind uint16) wire.RR_Header {
	return wire.RR_Header{Name: name, Rrtype: kind, Class: wire.ClassINET, Ttl: a.seconds()}
}

func (a *Answerer) address(name string, ip netip.Addr) wire.RR {
	if ip = ip.Unmap(); ip.Is4() {
		return &wire.A{Hdr: a.header(name, wire.TypeA), A: ip.AsSlice()}
	}
	return &wire.AAAA{Hdr: a.header(name, wire.TypeAAAA), AAAA: ip.AsSlice()}
}

func (a *Answerer) soa() wire.RR {
	ttl := a.seconds()
	return &wire.SOA{Hdr: a.header(zone, wire.TypeSOA), Ns: "localhost.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: ttl}
}

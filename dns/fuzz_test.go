package dns

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/poolproxy/poolproxy/pool"
)

// FuzzReply: a server that says what it likes, to each question in turn: a look-up ends after so many questions as names can be asked for,
// and finds elements that can be reached, each once, within bounds, or an error.
func FuzzReply(f *testing.F) {
	pack := func(rrs ...string) []byte {
		m := new(wire.Msg)
		m.SetQuestion("_x._tcp.pool.test.", wire.TypeSRV)
		m.Response, m.Authoritative = true, true
		for _, text := range rrs {
			rr, err := wire.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(pack("_x._tcp.pool.test. 5 IN SRV 1 2 80 a.test.", "_x._tcp.pool.test. 7 IN SRV 3 4 81 b.test."), pack("a.test. 9 IN A 192.0.2.1", "a.test. 2 IN AAAA 2001:db8::1"), uint16(0))
	f.Add(pack("pool.test. 5 IN CNAME a.test.", "a.test. 5 IN CNAME pool.test."), pack("a.test. 4294967295 IN A 0.0.0.0"), uint16(80))
	f.Add(pack("_x._tcp.pool.test. 5 IN SRV 1 2 0 .", "_x._tcp.pool.test. 1 IN SOA a. b. 1 2 3 4 5"), []byte{0, 0, 0x84, 0}, uint16(0))
	f.Fuzz(func(t *testing.T, first, others []byte, port uint16) {
		asked := 0
		put := func(_ context.Context, _ netip.AddrPort, _ time.Duration, name string, kind uint16) (answer, error) {
			said := others
			if asked++; asked == 1 {
				said = first
			}
			m, question := new(wire.Msg), new(wire.Msg)
			if err := m.Unpack(said); err != nil {
				return answer{}, err
			}
			question.SetQuestion(name, kind)
			if len(m.Question) == 1 && len(said)%2 == 0 { // it echoes what it was asked, as servers do
				m.Question = question.Question
			}
			return answer{m, true}, judge(m, question)
		}
		c := &Config{Port: port, Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}}
		name := "_x._tcp.pool.test."
		if port != 0 {
			name = "pool.test."
		}
		l := &lookup{ctx: t.Context(), c: c, put: put, ttl: math.MaxUint32, elements: make(map[netip.AddrPort]pool.Element), hosts: make(map[string][]wire.RR)}
		elements, ttl, err := l.look(name)
		if most := rounds * (mostAliases + 2) * (2*MaxElements + 1); asked > most {
			t.Fatalf("%d questions", asked)
		}
		if ttl < 0 || ttl > math.MaxInt32*time.Second || err == nil && len(elements) == 0 || err != nil && len(elements) > 0 || len(elements) > MaxElements {
			t.Fatalf("%d elements for %v, %v", len(elements), ttl, err)
		}
		if err != nil && len(err.Error()) > 64<<10 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
		for i, e := range elements {
			if ip := e.Address.Addr(); ip.IsUnspecified() || ip.IsMulticast() || ip.Is4In6() || e.Address.Port() == 0 || i > 0 && elements[i-1].Address == e.Address {
				t.Fatalf("element %v of %v", e, elements)
			}
		}
		if errors.Is(err, ErrNone) && len(elements) > 0 {
			t.Fatal("there are none, and some")
		}
	})
}

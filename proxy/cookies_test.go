package proxy

import (
	"errors"
	"net/netip"
	"testing"
)

// holder is a cookieHolder.
type holder struct{ cookie []byte }

func (h *holder) SetCookie(cookie []byte) error { h.cookie = cookie; return nil }
func (h *holder) Cookie() []byte                { return h.cookie }

// A connection is found by its own address, however that is written; of several with one address only with the server's.
func TestCookiePlaces(t *testing.T) {
	var c cookies
	here := netip.MustParseAddrPort("127.0.0.1:41234")
	one, two := netip.MustParseAddrPort("127.0.0.1:8081"), netip.MustParseAddrPort("127.0.0.1:8082")
	a, b := &cookiePlace{shard: 1, holder: &holder{}}, &cookiePlace{shard: 2, holder: &holder{}}
	find := func(local, server netip.AddrPort, want *cookiePlace, fails error) {
		t.Helper()
		if got, err := c.find(local, server); got != want || !errors.Is(err, fails) {
			t.Errorf("%v to %v: %v, %v", local, server, got, err)
		}
	}
	find(here, netip.AddrPort{}, nil, ErrNoSession)
	c.add(a, netip.AddrPort{}, one) // not known yet
	c.add(a, here, one)
	c.add(a, here, two) // it is known
	find(here, netip.AddrPort{}, a, nil)
	find(netip.MustParseAddrPort("[::ffff:127.0.0.1]:41234"), one, a, nil)
	find(here, two, nil, ErrNoSession)
	find(netip.MustParseAddrPort("127.0.0.1:41235"), one, nil, ErrNoSession)

	c.add(b, here, two)
	find(here, netip.AddrPort{}, nil, ErrTwoServers)
	find(here, one, a, nil)
	find(here, two, b, nil)
	c.remove(a)
	c.remove(a)
	find(here, netip.AddrPort{}, b, nil)
	find(here, one, nil, ErrNoSession)
	c.remove(b)
	find(here, two, nil, ErrNoSession)
	if len(c.at) > 0 {
		t.Errorf("%v is left", c.at)
	}
}

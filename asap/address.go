package asap

import (
	"fmt"
	"net/netip"
)

// Address is an IPv4 or IPv6 address (RFC 5354 §3.1, §3.2). An IPv4 address mapped into IPv6 stays the IPv6 address that it is.
type Address struct{ netip.Addr }

func (a Address) Type() ParameterType {
	if a.Is4() {
		return ParameterIPv4Address
	}
	return ParameterIPv6Address
}

func (a Address) check(Dialect) error {
	if !a.IsValid() || a.Zone() != "" {
		return fmt.Errorf("%w: %v; an address is IPv4, or IPv6 without a zone (RFC 5354 §3.1, §3.2)", ErrValue, a.Addr)
	}
	return nil
}

func (a Address) appendValue(w *writer) {
	if a.Is4() {
		b := a.As4()
		w.bytes(b[:])
		return
	}
	b := a.As16()
	w.bytes(b[:])
}

func (r *reader) address(t tlv) (Address, error) {
	size := 4
	if t.kind == ParameterIPv6Address {
		size = 16
	}
	v, err := r.exactly(t, size)
	if err != nil {
		return Address{}, err
	}
	addr, _ := netip.AddrFromSlice(v) // 4 or 16 bytes are always an address
	return Address{addr}, nil
}

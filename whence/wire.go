package whence

import (
	"encoding/binary"
	"net/netip"
)

// The lengths of Ends as the session protocol has them, in bytes: those of the address blocks of PROXY protocol version 2 (§2.2).
const (
	wireV4 = 4 + 4 + 2 + 2
	wireV6 = 16 + 16 + 2 + 2
)

// Wire appends e in the form in which the session protocol has it (docs/protocol.md, OPEN): nothing if e is not known, else both addresses
// and both ports, the client's first.
func (e Ends) Wire(p []byte) []byte {
	if !e.Known() {
		return p
	}
	from, to := e.Client.Addr().Unmap(), e.Dialed.Addr().Unmap()
	if from.Is4() && to.Is4() {
		a, b := from.As4(), to.As4()
		p = append(append(p, a[:]...), b[:]...)
	} else {
		a, b := from.As16(), to.As16()
		p = append(append(p, a[:]...), b[:]...)
	}
	p = binary.BigEndian.AppendUint16(p, e.Client.Port())
	return binary.BigEndian.AppendUint16(p, e.Dialed.Port())
}

// FromWire reads what Wire wrote; ok is false where p is none.
func FromWire(p []byte) (e Ends, ok bool) {
	var from, to netip.Addr
	switch len(p) {
	case 0:
		return Ends{}, true
	case wireV4:
		from, to = netip.AddrFrom4([4]byte(p)), netip.AddrFrom4([4]byte(p[4:]))
	case wireV6:
		from, to = netip.AddrFrom16([16]byte(p)).Unmap(), netip.AddrFrom16([16]byte(p[16:])).Unmap()
		if from.Is4() && to.Is4() { // there is one form of each
			return Ends{}, false
		}
	default:
		return Ends{}, false
	}
	ports := p[len(p)-4:]
	return Ends{netip.AddrPortFrom(from, binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:]))}, true
}

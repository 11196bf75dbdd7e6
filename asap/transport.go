package asap

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Protocol is what a transport runs over.
type Protocol ParameterType

const (
	DCCP    = Protocol(ParameterDCCPTransport)
	SCTP    = Protocol(ParameterSCTPTransport)
	TCP     = Protocol(ParameterTCPTransport)
	UDP     = Protocol(ParameterUDPTransport)
	UDPLite = Protocol(ParameterUDPLiteTransport)
	Opaque  = Protocol(ParameterOpaqueTransport) // known to those who use it
)

var (
	// transports are the parameters that are a Transport; single those of them that have exactly one address.
	transports = single | setOf(ParameterSCTPTransport, ParameterOpaqueTransport)
	single     = setOf(ParameterDCCPTransport, ParameterTCPTransport, ParameterUDPTransport, ParameterUDPLiteTransport)
)

// TransportUse is what a transport carries (RFC 5354 §3.4).
type TransportUse uint16

const (
	DataOnly        TransportUse = 0
	DataPlusControl TransportUse = 1 // ASAP's control channel as well
)

// MaxAddresses is how many addresses a transport may have. The RFC sets no limit; this is rsplib's.
const MaxAddresses = 64

// Transport is a transport address (RFC 5354 §3.3 to §3.7, §3.16).
type Transport struct {
	Protocol  Protocol
	Port      uint16
	Use       TransportUse // SCTP; TCP in a dialect that has it. All others carry data only
	Service   uint32       // DCCP: the service code
	Addresses []netip.Addr // SCTP: 1 to MaxAddresses; Opaque: none; all others: one
	Data      []byte       // Opaque
}

func (t Transport) Type() ParameterType { return ParameterType(t.Protocol) }

func (t Transport) check(d Dialect) error {
	if !transports.has(t.Type()) {
		return fmt.Errorf("%w: %v is no transport (RFC 5354 §3.3 to §3.7, §3.16)", ErrValue, t.Type())
	}
	if err := t.checkUse(d); err != nil {
		return err
	}
	if t.Service != 0 && t.Protocol != DCCP || t.Data != nil && t.Protocol != Opaque || t.Port != 0 && t.Protocol == Opaque {
		return fmt.Errorf("%w: a field is set that only another transport has (RFC 5354 §3.3 to §3.7, §3.16)", ErrValue)
	}
	if err := t.checkAddresses(); err != nil {
		return err
	}
	return checkOpaque(t.Data)
}

func (t Transport) checkUse(d Dialect) error {
	if t.Use > DataPlusControl {
		return fmt.Errorf("%w: Transport Use %d; it is 0 or 1 (RFC 5354 §3.4)", ErrValue, t.Use)
	}
	if t.Use != DataOnly && t.Protocol != SCTP && (t.Protocol != TCP || !d.TCPUse) {
		return fmt.Errorf("%w: control is carried by SCTP only (RFC 5354 §3.3, §3.5 to §3.7)", ErrValue)
	}
	return nil
}

func (t Transport) checkAddresses() error {
	n := len(t.Addresses)
	switch {
	case t.Protocol == Opaque && n != 0:
		return fmt.Errorf("%w: %d addresses; it has none (RFC 5354 §3.16)", ErrValue, n)
	case t.Protocol != Opaque && n == 0:
		return fmt.Errorf("%w: no address (RFC 5354 §3.3 to §3.7)", ErrMissing)
	case single.has(t.Type()) && n > 1:
		return fmt.Errorf("%w: %d addresses; it has one (RFC 5354 §3.3, §3.5 to §3.7)", ErrValue, n)
	case n > MaxAddresses:
		return fmt.Errorf("%w: %d addresses, more than %d", ErrLimit, n, MaxAddresses)
	}
	for _, addr := range t.Addresses {
		if err := (Address{addr}).check(Dialect{}); err != nil {
			return err
		}
	}
	return nil
}

func (t Transport) appendValue(w *writer) {
	if t.Protocol == Opaque {
		w.bytes(t.Data)
		return
	}
	w.u16(t.Port)
	w.u16(uint16(t.Use)) // 0 where the field is reserved, see check
	if t.Protocol == DCCP {
		w.u32(t.Service)
	}
	for _, addr := range t.Addresses {
		w.parameter(Address{addr})
	}
}

func (r *reader) transport(at tlv) (Transport, error) {
	t := Transport{Protocol: Protocol(at.kind)}
	if t.Protocol == Opaque {
		t.Data = r.value(at)
		return t, nil
	}
	fixed := 4
	if t.Protocol == DCCP {
		fixed = 8
	}
	v, err := r.atLeast(at, fixed)
	if err != nil {
		return Transport{}, err
	}
	t.Port = binary.BigEndian.Uint16(v)
	if t.Protocol == SCTP || t.Protocol == TCP && r.dialect.TCPUse { // reserved fields are ignored
		t.Use = TransportUse(binary.BigEndian.Uint16(v[2:]))
	}
	if t.Protocol == DCCP {
		t.Service = binary.BigEndian.Uint32(v[4:])
	}
	err = r.each(at.at+headerSize+fixed, at.end, func(p tlv) error { return r.addAddress(&t, p) })
	if err != nil {
		return Transport{}, err
	}
	return t, r.judge(at, t)
}

// addAddress stops at one address too many, so that a transport of thousands costs nothing.
func (r *reader) addAddress(t *Transport, p tlv) error {
	if p.kind != ParameterIPv4Address && p.kind != ParameterIPv6Address {
		return misplaced(p, fmt.Sprintf("in %v; it holds addresses (RFC 5354 §3.3 to §3.7)", t.Type()))
	}
	if len(t.Addresses) > MaxAddresses {
		return nil // check refuses it
	}
	addr, err := r.address(p)
	if err != nil {
		return err
	}
	t.Addresses = append(t.Addresses, addr.Addr)
	return nil
}

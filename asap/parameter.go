package asap

import (
	"fmt"
	"math/bits"
)

// ParameterType is the type of a parameter (RFC 5354 §3). Its two high bits say what to do for those who do not know it.
type ParameterType uint16

const (
	ParameterIPv4Address       ParameterType = 0x0001
	ParameterIPv6Address       ParameterType = 0x0002
	ParameterDCCPTransport     ParameterType = 0x0003
	ParameterSCTPTransport     ParameterType = 0x0004
	ParameterTCPTransport      ParameterType = 0x0005
	ParameterUDPTransport      ParameterType = 0x0006
	ParameterUDPLiteTransport  ParameterType = 0x0007
	ParameterPolicy            ParameterType = 0x0008
	ParameterPoolHandle        ParameterType = 0x0009
	ParameterPoolElement       ParameterType = 0x000a
	ParameterServerInformation ParameterType = 0x000b
	ParameterOperationError    ParameterType = 0x000c
	ParameterCookie            ParameterType = 0x000d
	ParameterPEIdentifier      ParameterType = 0x000e
	ParameterPEChecksum        ParameterType = 0x000f
	ParameterOpaqueTransport   ParameterType = 0x0010
	// ParameterResolutionOption is draft-dreibholz-rserpool-asap-hropt-27's. Registrars that do not know it skip it.
	ParameterResolutionOption ParameterType = 0x803f
)

var parameterNames = [...]string{
	ParameterIPv4Address:       "IPv4 Address",
	ParameterIPv6Address:       "IPv6 Address",
	ParameterDCCPTransport:     "DCCP Transport",
	ParameterSCTPTransport:     "SCTP Transport",
	ParameterTCPTransport:      "TCP Transport",
	ParameterUDPTransport:      "UDP Transport",
	ParameterUDPLiteTransport:  "UDP-Lite Transport",
	ParameterPolicy:            "Pool Member Selection Policy",
	ParameterPoolHandle:        "Pool Handle",
	ParameterPoolElement:       "Pool Element",
	ParameterServerInformation: "Server Information",
	ParameterOperationError:    "Operation Error",
	ParameterCookie:            "Cookie",
	ParameterPEIdentifier:      "PE Identifier",
	ParameterPEChecksum:        "PE Checksum",
	ParameterOpaqueTransport:   "Opaque Transport",
}

func (t ParameterType) String() string {
	switch {
	case t == ParameterResolutionOption:
		return "Handle Resolution Option"
	case t.known():
		return parameterNames[t]
	}
	return fmt.Sprintf("parameter 0x%04x", uint16(t))
}

func (t ParameterType) known() bool {
	return t >= ParameterIPv4Address && t <= ParameterOpaqueTransport || t == ParameterResolutionOption
}

// skipped and reported are the two high bits (RFC 5354 §3): whether an unknown parameter is passed over, or the whole message
// is discarded for it; and whether the sender is told.
func (t ParameterType) skipped() bool  { return t&0x8000 != 0 }
func (t ParameterType) reported() bool { return t&0x4000 != 0 }

// Parameter is a parameter: Address, Transport, Policy, PoolHandle, PoolElement, ServerInformation, OperationError, Cookie,
// PEIdentifier, PEChecksum or ResolutionOption.
type Parameter interface {
	Type() ParameterType
	// check finds what cannot be written, or is not allowed to be. Errors wrap the package's.
	check(d Dialect) error
	// appendValue writes all behind the header.
	appendValue(w *writer)
}

// parameterSet is a set of known types.
type parameterSet uint32

func setOf(types ...ParameterType) parameterSet {
	var s parameterSet
	for _, t := range types {
		s |= t.bit()
	}
	return s
}

// bit is the type's place in a set.
func (t ParameterType) bit() parameterSet {
	switch {
	case t == ParameterResolutionOption:
		return 1
	case t.known():
		return 1 << t
	}
	return 0
}

func (s parameterSet) has(t ParameterType) bool { return s&t.bit() != 0 }

// first is the member with the smallest number, of a set that has one and not the option.
func (s parameterSet) first() ParameterType { return ParameterType(bits.TrailingZeros32(uint32(s))) }

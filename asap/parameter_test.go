package asap

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"
)

// parameters are one of each, as they lie on the wire, with their padding.
var parameters = []struct {
	wire    string
	dialect Dialect
	want    Parameter
}{
	{"00010008c0000201", Dialect{}, Address{addrs("192.0.2.1")[0]}},
	{"0002001420010db8000000000000000000000001", Dialect{}, Address{addrs("2001:db8::1")[0]}},
	{"0002001400000000000000000000ffffc0000201", Dialect{}, Address{addrs("::ffff:192.0.2.1")[0]}},
	{
		"00030014 1389 0000 53504f54 00010008c0000201", Dialect{},
		Transport{Protocol: DCCP, Port: 5001, Service: 0x53504f54, Addresses: addrs("192.0.2.1")},
	},
	{
		"00040018 1389 0001 00010008c0000201 00010008c0000202", Dialect{},
		Transport{Protocol: SCTP, Port: 5001, Use: DataPlusControl, Addresses: addrs("192.0.2.1", "192.0.2.2")},
	},
	{"00050010 1389 0000 00010008c0000201", Dialect{}, Transport{Protocol: TCP, Port: 5001, Addresses: addrs("192.0.2.1")}},
	{
		"00050010 1389 0001 00010008c0000201", RSPLIB(),
		Transport{Protocol: TCP, Port: 5001, Use: DataPlusControl, Addresses: addrs("192.0.2.1")},
	},
	{
		"0006001c 1389 0000 0002001420010db8000000000000000000000001", Dialect{},
		Transport{Protocol: UDP, Port: 5001, Addresses: addrs("2001:db8::1")},
	},
	{"00070010 1389 0000 00010008c0000201", Dialect{}, Transport{Protocol: UDPLite, Port: 5001, Addresses: addrs("192.0.2.1")}},
	{"0008000800000001", Dialect{}, Policy{Kind: RoundRobin}},
	{"0008000c0000000200000007", Dialect{}, Policy{Kind: WeightedRoundRobin, Weight: 7}},
	{"0008000800000003", Dialect{}, Policy{Kind: Random}},
	{"0008000c0000000400000007", Dialect{}, Policy{Kind: WeightedRandom, Weight: 7}},
	{"0008000c0000000500000007", Dialect{}, Policy{Kind: Priority, Priority: 7}},
	{"0008000c4000000180000000", Dialect{}, Policy{Kind: LeastUsed, Load: 1 << 31}},
	{"00080010400000028000000000000007", Dialect{}, Policy{Kind: LeastUsedDegradation, Load: 1 << 31, Degradation: 7}},
	{"00080010400000038000000000000007", Dialect{}, Policy{Kind: PriorityLeastUsed, Load: 1 << 31, Degradation: 7}},
	{"0008000c4000000480000000", Dialect{}, Policy{Kind: RandomizedLeastUsed, Load: 1 << 31}},
	{"00080009b000100301000000", Dialect{}, Policy{Kind: 0xb0001003, Data: []byte{1}}},
	{"00090005" + "61000000", Dialect{}, PoolHandle("a")},
	{elementAHex, Dialect{}, elementA},
	{elementBHex, Dialect{}, elementB},
	{
		"000a0038 00000007 00000008 00000000 00060010 1389 0000 00010008c0000201 0008000800000003 00040010 0f17 0001 00010008c0000202",
		Dialect{},
		PoolElement{
			ID: 7, Home: 8,
			User:   Transport{Protocol: UDP, Port: 5001, Addresses: addrs("192.0.2.1")},
			Policy: Policy{Kind: Random},
			ASAP:   &Transport{Protocol: SCTP, Port: Port, Use: DataPlusControl, Addresses: addrs("192.0.2.2")},
		},
	},
	{
		"000b0018 22222222 00040010 26ad 0000 00010008c0000201", Dialect{},
		ServerInformation{ID: 0x22222222, Transport: Transport{Protocol: SCTP, Port: 9901, Addresses: addrs("192.0.2.1")}},
	},
	{
		"000c0011 0006 0004 0001 0009 8abc0005 63000000", Dialect{},
		OperationError{{CauseLackOfResources, []byte{}}, {CauseUnrecognizedParameter, []byte{0x8a, 0xbc, 0, 5, 0x63}}},
	},
	{"000c0008f0070004", RSPLIB(), OperationError{{0xf007, []byte{}}}},
	{"000d0004", Dialect{}, Cookie{}},
	{"000d000868617368", Dialect{}, Cookie("hash")},
	{"000e000811223344", Dialect{}, PEIdentifier(0x11223344)},
	{"000f0006abcd0000", Dialect{}, PEChecksum(0xabcd)},
	{"00100006abcd0000", Dialect{}, Transport{Protocol: Opaque, Data: []byte{0xab, 0xcd}}},
	{"803f0008ffffffff", Dialect{}, ResolutionOption(math.MaxUint32)},
}

func TestParameters(t *testing.T) {
	seen := map[ParameterType]bool{}
	for _, p := range parameters {
		seen[p.want.Type()] = true
		t.Run(p.want.Type().String(), func(t *testing.T) {
			wire := unhex(t, p.wire)
			got, n, err := p.dialect.ParseParameter(append(wire, 0xff))
			if err != nil || n != len(wire) || !reflect.DeepEqual(got, p.want) {
				t.Errorf("parsed\n%+v, %d, %v, want\n%+v, %d", got, n, err, p.want, len(wire))
			}
			out, err := p.dialect.AppendParameter([]byte("x"), p.want)
			if err != nil || !bytes.Equal(out, append([]byte("x"), wire...)) {
				t.Errorf("wrote\n%x, %v, want\n%x", out[1:], err, wire)
			}
		})
	}
	if want := len(parameterNames); len(seen) != want { // 0 has no name, 0x803f has one beside the table
		t.Errorf("%d types of parameter are tested, want %d", len(seen), want)
	}
}

// The padding of a parameter in a cause is not part of the cause's information.
func TestUnpaddedParameter(t *testing.T) {
	got, n, err := Dialect{}.ParseParameter(unhex(t, "000d000968656c6c6f"))
	if err != nil || n != 9 || !reflect.DeepEqual(got, Cookie("hello")) {
		t.Errorf("%v, %d, %v", got, n, err)
	}
}

func TestLife(t *testing.T) {
	element := func(life time.Duration) PoolElement {
		e := elementB
		e.Life = life
		return e
	}
	for _, tt := range []struct {
		dialect Dialect
		life    time.Duration
		wire    string // of the four bytes; empty: it cannot be written
	}{
		{Dialect{}, Infinite, "ffffffff"},
		{Dialect{}, 0, "00000000"},
		{Dialect{}, 1800 * time.Second, "00000708"},
		{Dialect{}, math.MaxInt32 * time.Second, "7fffffff"},
		{Dialect{}, (math.MaxInt32 + 1) * time.Second, ""},
		{Dialect{}, 1500 * time.Millisecond, ""},
		{Dialect{}, -2, ""},
		{Dialect{}, -time.Second, ""},
		{RSPLIB(), Infinite, "ffffffff"},
		{RSPLIB(), 1500 * time.Millisecond, "000005dc"},
		{RSPLIB(), 0xfffffffe * time.Millisecond, "fffffffe"},
		{RSPLIB(), 0xffffffff * time.Millisecond, ""},
		{RSPLIB(), time.Microsecond, ""},
	} {
		b, err := tt.dialect.AppendParameter(nil, element(tt.life))
		if tt.wire == "" {
			wantError(t, tt.life.String(), err, ErrValue, "Registration Life")
			continue
		}
		if err != nil || !bytes.Equal(b[12:16], unhex(t, tt.wire)) {
			t.Errorf("%v was written as %x, %v, want %s", tt.life, b, err, tt.wire)
			continue
		}
		if got, _, err := tt.dialect.ParseParameter(b); err != nil || got.(PoolElement).Life != tt.life {
			t.Errorf("%v was read as %+v, %v", tt.life, got, err)
		}
	}
}

// Reserved fields, unused flags and padding are ignored when read (RFC 5354 §3, §4).
func TestIgnored(t *testing.T) {
	m, report, err := Parse(unhex(t, "0bfe000d000d000968656c6c6fabcdef"))
	if err != nil || report != nil || !reflect.DeepEqual(m, CookieMessage{Cookie: Cookie("hello")}) {
		t.Errorf("flags and padding: %+v, %v, %v", m, report, err)
	}
	want := Transport{Protocol: TCP, Port: 80, Addresses: addrs("192.0.2.1")}
	p, _, err := Dialect{}.ParseParameter(unhex(t, "00050010 0050 0001 00010008c0000201"))
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("the reserved field of TCP: %+v, %v", p, err)
	}
}

// What is parsed may alias the input, but appending to it must not write there.
func TestAliasIsClipped(t *testing.T) {
	wire := unhex(t, "0d00003c"+echoPoolHex+elementBHex)
	m, _, err := Parse(wire)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(wire)
	_ = append(m.(BusinessCard).Handle, "and more"...)
	if !bytes.Equal(wire, before) {
		t.Error("appending to a handle changed the buffer")
	}
}

// The rules of parameters that no ASAP message holds.
func TestParametersRefused(t *testing.T) {
	for _, tt := range []struct {
		wire     string
		sentinel error
		says     string
	}{
		{"000f0008abcd0000", ErrLength, "PE Checksum: bad length: 8; it is always 6"},
		{"000b000622220000", ErrLength, "Server Information: bad length: 6; it is at least 8"},
		{"000b000822222222", ErrMissing, "SCTP Transport"},
		{"000b0010222222220009000547000000", ErrMisplaced, "Pool Handle in Server Information"},
		{"000b00182222222200050010 0050 0000 00010008c0000201", ErrValue, "TCP Transport; a registrar is reached over SCTP"},
		{"000b00282222222200040010 0050 0000 00010008c000020100040010 0050 0000 00010008c0000201", ErrMisplaced, "it holds one transport"},
		{"000e0004", ErrLength, "it is always 8"},
		{"803f0004", ErrLength, "it is always 8"},
		{"000d0009aabbccdd", ErrLength, "byte 2: bad length: 9; here it is 4 to 8"},
		{"00110004", ErrUnknown, "parameter 0x0011"},
	} {
		p, n, err := Dialect{}.ParseParameter(unhex(t, tt.wire))
		wantError(t, tt.wire, err, tt.sentinel, tt.says)
		if p != nil || n != 0 {
			t.Errorf("%s: %v, %d", tt.wire, p, n)
		}
	}
}
